"""Ways to damage a checkpoint, each a function of a file's bytes and a source of chance."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

INTERESTING = (0, 1, 2, 7, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        3.5,
        2**31,
        10**9,
        10**30,
        1e308,
        math.nan,
        "",
        "TCN",
        "linear",
        "../x",
        "\x1b[2J\n",
    ),
    *(
        "\ud800",
        "a" * 5000,
        [],
        {},
        [0],
        [None],
        ["tcn", 0, 0],
        [[["tcn", 0, 0, {}]]],
        {"class_name": "Lambda", "config": {}},
    ),
    *({"class_name": "__lambda__", "config": {}}, {"module": "os", "class_name": "function", "config": "system"}),
    *([1] * 2000, {"class_name": "__keras_tensor__", "config": {"keras_history": ["tcn", 0, 0]}}),
)
DTYPES = ("<f2", ">f4", "<f8", "<i4", "?", "<c8", "S8", "<u8")


def flip_bits(data: bytes, chance: Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def set_numbers(data: bytes, chance: Random) -> bytes:
    """Sizes and addresses are little-endian numbers of 1 to 8 bytes."""
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        width = chance.choice((1, 2, 4, 8))
        place = chance.randrange(max(1, len(damaged) - width))
        damaged[place : place + width] = (chance.choice(INTERESTING) % 256**width).to_bytes(width, "little")
    return bytes(damaged)


def cut(data: bytes, chance: Random) -> bytes:
    return data[: chance.randrange(len(data))]


def move_pieces(data: bytes, chance: Random) -> bytes:
    """A piece left out, doubled, or put over another place."""
    start = chance.randrange(len(data))
    piece = data[start : start + chance.choice((1, 8, 64, 512, 4096))]
    end, to = start + len(piece), chance.randrange(len(data))
    way = chance.randrange(3)
    if way == 0:
        return data[:start] + data[end:]
    if way == 1:
        return data[:end] + piece + data[end:]
    return data[:to] + piece + data[to + len(piece) :]


def mutated_json(config: Any, chance: Random) -> Any:
    """The same JSON with one to four places replaced, removed, doubled, or exchanged for another place's value."""
    config = json.loads(json.dumps(config))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        places: list[tuple[Any, Any]] = []
        waiting = [config]
        while waiting:
            held = waiting.pop()
            keys = list(held) if isinstance(held, dict) else range(len(held)) if isinstance(held, list) else ()
            for key in keys:
                places.append((held, key))
                if isinstance(held[key], dict | list):
                    waiting.append(held[key])
        if not places:
            return copy.deepcopy(chance.choice(VALUES))
        held, key = chance.choice(places)
        way = chance.randrange(5)
        if way < 2:
            held[key] = copy.deepcopy(chance.choice(VALUES))  # or two places share it, and it may come to hold itself
        elif way == 2:
            del held[key]
        elif way == 3 and isinstance(held, list):
            held.insert(key, json.loads(json.dumps(held[key])))
        else:
            other, place = chance.choice(places)
            held[key] = json.loads(json.dumps(other[place])) if _has(other, place) else None
    return config


def _has(held: Any, key: Any) -> bool:
    return key in held if isinstance(held, dict) else key < len(held)


def hdf5_objects(data: bytes, chance: Random) -> bytes:
    """Arrays and attributes of an HDF5 file replaced, removed, linked and renamed."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        for _ in range(chance.choice((1, 1, 2, 4))):
            names: list[str] = []
            file.visit(names.append)
            if not names:
                break
            name = chance.choice(names)
            thing = file[name]
            way = chance.randrange(9)
            if way == 0:
                del file[name]
            elif way == 1:
                file[f"{name}_"] = thing
            elif way == 2:
                del file[name]
                file[name] = chance.choice(
                    (h5py.SoftLink("/" + chance.choice(names)), h5py.ExternalLink("/etc/passwd", "x"))
                )
            elif way == 3:
                file.move(name, chance.choice((f"{name}2", "x", "a" * 300, "\x1b[2J", "0")))
            elif way < 6 and len(thing.attrs):
                key = chance.choice(list(thing.attrs))
                thing.attrs[key] = chance.choice((b"", 3, ["x"] * 9, np.float32(1), [b"kernel:0"], np.arange(4)))
            elif (
                isinstance(thing, h5py.Dataset) and thing.shape and thing.dtype.kind == "f" and max(thing.shape) < 10**6
            ):
                _rewrite(file, name, thing[()], chance)  # and none that was declared huge a moment ago
    return buffer.getvalue()


def _rewrite(file: h5py.File, name: str, values: np.ndarray[Any, Any], chance: Random) -> None:
    del file[name]
    way = chance.randrange(6)
    if way == 0:
        file.create_dataset(name, data=values.astype(chance.choice(DTYPES)))
    elif way == 1:
        file.create_dataset(name, data=values.T)
    elif way == 2:
        file.create_dataset(name, data=values[: chance.randrange(len(values) + 1)])
    elif way == 3:
        file.create_dataset(name, shape=values.shape, dtype="f4", chunks=chance.choice((None, True)))
    elif way == 4:
        file.create_dataset(name, shape=(10**6,) * values.ndim, dtype="f4", chunks=(1,) * values.ndim)
    else:
        file.create_dataset(name, data=np.full_like(values, chance.choice((np.nan, np.inf, -1, 0))), compression="gzip")


def hdf5_config(data: bytes, chance: Random) -> bytes:
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        stored = file.attrs.get("model_config")
        if stored is None:
            return data
        text = json.dumps(mutated_json(json.loads(stored), chance))
        file.attrs["model_config"] = text if chance.random() < 0.9 else _mutated_text(text, chance)
    return buffer.getvalue()


def _mutated_text(text: str, chance: Random) -> bytes:
    return chance.choice((flip_bits, cut, move_pieces))(text.encode("utf-8", "surrogatepass"), chance)


def zip_members(data: bytes, chance: Random) -> bytes:
    """One member of an archive mutated, removed, doubled or compressed; the archive itself stays whole."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    number = chance.randrange(len(members))
    name, content = members[number]
    way = chance.randrange(6)
    if way == 0:
        del members[number]
    elif way == 1:
        members.append((name, content))
    elif name.endswith(".json"):
        text = json.dumps(mutated_json(json.loads(content), chance))
        members[number] = (name, text.encode("utf-8", "surrogatepass") if way < 5 else _mutated_text(text, chance))
    elif name.endswith(".h5"):
        members[number] = (
            name,
            chance.choice((hdf5_objects, hdf5_objects, flip_bits, set_numbers, cut))(content, chance),
        )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


Mutation = Callable[[bytes, Random], bytes]
ANY: tuple[Mutation, ...] = (flip_bits, set_numbers, cut, move_pieces)


def mutate(data: bytes, chance: Random) -> bytes:
    """The file's bytes, damaged in one way that suits its kind, or in two."""
    ways: tuple[Mutation, ...] = ANY
    if data.startswith(b"PK"):
        ways = (*ANY, *(zip_members,) * 6)
    elif data.startswith(b"\x89HDF"):
        ways = (*ANY, *(hdf5_config,) * 4, *(hdf5_objects,) * 4)
    damaged = data
    refusals = (OSError, RuntimeError, LookupError, ValueError, TypeError, MemoryError)  # HDF5 refuses some changes
    with contextlib.suppress(*refusals):
        damaged = chance.choice(ways)(data, chance)
    while damaged and chance.random() < 0.2:
        damaged = chance.choice(ANY)(damaged, chance)
    return damaged


def mutate_source(source: Path, target: Path, chance: Random) -> None:
    """Writes a damaged copy of a file, or of a folder in which one file is damaged."""
    if source.is_file():
        target.write_bytes(mutate(source.read_bytes(), chance))
        return
    files = sorted(file for file in source.rglob("*") if file.is_file())
    victim = chance.choice(files)
    for file in files:
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        data = file.read_bytes()
        copy.write_bytes(mutate(data, chance) if file == victim and data else data)
