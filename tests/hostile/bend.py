"""Good old files with one thing bent."""

from __future__ import annotations

import base64
import io
import json
import marshal
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.cases import FIXTURES

Json = dict[str, Any]
H5 = FIXTURES / "keras2/batch-norm-skip-tf21-302/old.h5"
KERAS = FIXTURES / "keras3/one-block/old.keras"
SAVED_MODEL = FIXTURES / "keras2/savedmodel-tf26-340/old"
TCN = "model_weights/tcn"
MIB = 1 << 20
FEATURES = 2
"""Features of the HDF5 file's input; its TCN has more filters."""


def _kernel() -> str:
    with h5py.File(H5) as file:
        names: list[str] = []
        file[TCN].visit(names.append)
    return f"{TCN}/{next(name for name in names if name.endswith('conv1D_0/kernel:0'))}"


KERNEL = _kernel()
STORE_KERNEL = "layers/tcn/residual_block_0/conv1D_0/vars/0"


def h5(
    config: Callable[[Json], Any] | None = None,
    change: Callable[[h5py.File], Any] | None = None,
    text: Any = None,
    libver: str | None = None,
) -> bytes:
    """A Keras 2 file, its config edited in place or replaced by `text`, and the open file changed.

    Args:
        libver: the version of the format in which the changes are written, as h5py names it.
    """
    buffer = io.BytesIO(H5.read_bytes())
    with h5py.File(buffer, "r+", libver=libver) as file:
        stored = json.loads(file.attrs["model_config"])
        if config:
            config(stored)
            file.attrs["model_config"] = json.dumps(stored)
        if text is not None:
            file.attrs["model_config"] = text
        if change:
            change(file)
    return buffer.getvalue()


def members(
    config: Callable[[Json], Any] | None = None,
    weights: Callable[[h5py.File], Any] | None = None,
    text: str | None = None,
) -> dict[str, bytes]:
    """The members of a Keras 3 archive, bent likewise."""
    with zipfile.ZipFile(KERAS) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    if config:
        stored = json.loads(held["config.json"])
        config(stored)
        held["config.json"] = json.dumps(stored).encode()
    if text is not None:
        held["config.json"] = text.encode()
    if weights:
        buffer = io.BytesIO(held["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            weights(file)
        held["model.weights.h5"] = buffer.getvalue()
    return held


def keras(*more: bytes, without: tuple[str, ...] = (), **bent: Any) -> bytes:
    """A Keras 3 archive, bent; `more` are members as `member` makes them."""
    return zipped(*(member(name, data) for name, data in members(**bent).items() if name not in without), *more)


def layer(config: Json, class_name: str) -> Json:
    """The first layer of a class."""
    found: Json = next(entry for entry in config["config"]["layers"] if entry["class_name"].endswith(class_name))
    return found


def setting(class_name: str = "TCN", /, **values: Any) -> Callable[[Json], None]:
    return lambda config: layer(config, class_name)["config"].update(values)


def inserted(class_name: str, settings: Any, **more: Any) -> Callable[[Json], None]:
    """Puts a layer `extra` between the TCN and the Dense behind it, in either form of config."""

    def edit(config: Json) -> None:
        layers, head = config["config"]["layers"], layer(config, "Dense")
        calls = json.loads(json.dumps(head["inbound_nodes"]))
        own = {"name": "extra", "trainable": True, **settings} if isinstance(settings, dict) else settings
        entry = {"class_name": class_name, "config": own, "name": "extra", "inbound_nodes": calls}
        if "module" in head:
            entry |= {"module": "keras.layers", "registered_name": None}
            head["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "extra"
        else:
            head["inbound_nodes"][0][0][0] = "extra"
        layers.insert(layers.index(head), {**entry, **more})

    return edit


def code(canary: Path) -> str:
    """The marshalled code of a function that leaves a file, as Keras stores a Lambda."""
    function = eval(f"lambda x: open({str(canary)!r}, 'w')")
    return base64.encodebytes(marshal.dumps(function.__code__)).decode()


def lambda2(canary: Path) -> Json:
    return {"function": [code(canary), None, None], "function_type": "lambda", "module": "__main__", "arguments": {}}


def lambda3(canary: Path) -> Json:
    return {"class_name": "__lambda__", "config": {"code": code(canary), "defaults": None, "closure": None}}


class Pickled:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


def replaced(path: str, **dataset: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[path]
        file.create_dataset(path, **dataset)

    return change


def recast(path: str, bend: Callable[[Any], Any]) -> Callable[[h5py.File], None]:
    """The array at `path` bent by a function of its values."""
    return lambda file: replaced(path, data=bend(file[path][()]))(file)


def linked(path: str, link: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[path]
        file[path] = link

    return change


def stored_outside(path: str, outside: Path) -> Callable[[h5py.File], None]:
    """The array's bytes lie in another file."""

    def change(file: h5py.File) -> None:
        shape = file[path].shape
        del file[path]
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_external(str(outside).encode(), 0, 4 * int(np.prod(shape)))
        h5py.h5d.create(file.id, path.encode(), h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(shape), layout)

    return change


def virtual(path: str, outside: Path) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        shape = file[path].shape
        del file[path]
        layout = h5py.VirtualLayout(shape, "f4")
        layout[:] = h5py.VirtualSource(str(outside), "kernel", shape)
        file.create_virtual_dataset(path, layout)

    return change


def filtered(path: str, number: int) -> Callable[[h5py.File], None]:
    """The array behind an HDF5 filter that has no parameters."""

    def change(file: h5py.File) -> None:
        values = file[path][()]
        del file[path]
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_chunk(values.shape)
        layout.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple(values.shape)
        made = h5py.h5d.create(file.id, path.encode(), h5py.h5t.IEEE_F32LE, space, layout)
        made.write_direct_chunk((0,) * values.ndim, values.tobytes(), 0)

    return change


@cache
def _twice_deflated(size: int) -> bytes:
    return zlib.compress(zlib.compress(bytes(size), 9), 9)


def deflated_twice(path: str, shape: tuple[int, ...]) -> Callable[[h5py.File], None]:
    """Zeros by the hundred MiB in a few hundred bytes: one deflate makes 1 032 out of 1, two make a million."""

    def change(file: h5py.File) -> None:
        del file[path]
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_chunk(shape)
        layout.set_deflate(9)
        layout.set_deflate(9)
        space = h5py.h5s.create_simple(shape)
        made = h5py.h5d.create(file.id, path.encode(), h5py.h5t.IEEE_F32LE, space, layout)
        made.write_direct_chunk((0,) * len(shape), _twice_deflated(4 * int(np.prod(shape))))

    return change


def widened(filters: int, store: Callable[[h5py.File, str, tuple[int, ...]], Any]) -> bytes:
    """A config that asks for so many filters, and arrays whose headers agree with it."""

    def change(file: h5py.File) -> None:
        old: list[tuple[str, tuple[int, ...]]] = []
        file["model_weights"].visititems(
            lambda name, thing: old.append((name, thing.shape)) if isinstance(thing, h5py.Dataset) else None
        )
        for name, shape in old:
            sizes = [filters] * len(shape)
            if len(shape) == 3:
                sizes = [shape[0], shape[1] if shape[1] == FEATURES else filters, filters]
            if name.startswith("dense"):
                sizes = [filters, shape[1]] if len(shape) == 2 else list(shape)
            store(file, f"model_weights/{name}", tuple(sizes))

    return h5(setting(nb_filters=filters), change)


def endless_heap() -> bytes:
    """The free space of an HDF5 global heap with size 0: HDF5 1.14.6 never comes to its end."""
    data = bytearray((FIXTURES / "mixed/k315-h5-batch-norm/old.h5").read_bytes())
    start = data.index(b"GCOL")
    end = start + int(struct.unpack_from("<Q", data, start + 8)[0])
    place = start + 16
    while place < end:
        number, _, _, size = struct.unpack_from("<HHLQ", data, place)
        if number == 0:
            struct.pack_into("<Q", data, place + 8, 0)
            break
        place += 16 + (size + 7) // 8 * 8
    return bytes(data)


def lying_attribute() -> bytes:
    """An attribute that says it is a text of 1 GiB."""
    text = np.bytes_(b"J" * 977)

    def change(file: h5py.File) -> None:
        del file.attrs["model_config"]
        file.attrs.create("model_config", text, dtype="S977")

    data = bytearray(h5(change=change))
    place = data.index(struct.pack("<L", 977), data.index(b"model_config"))
    data[place : place + 4] = struct.pack("<L", 1 << 30)
    return bytes(data)


def member(name: str, data: bytes, **lies: Any) -> tuple[dict[str, Any], bytes]:
    """One member of an archive: its header's fields, some of them lies, and its packed bytes."""
    fields = {
        "name": name,
        "inner": name,
        "method": 0,
        "flags": 0,
        "attributes": 0,
        "packed": None,
        "says": None,
        **lies,
    }
    packed = fields["packed"]
    if packed is None:
        packed = data if fields["method"] == 0 else zlib.compress(data, 9)[2:-4]
    return {"crc": zlib.crc32(data), "size": len(data), **fields}, packed


def bomb(name: str, start: bytes, mib: int, **lies: Any) -> tuple[dict[str, Any], bytes]:
    """A member that is `mib` MiB of blanks behind `start`, about a kB for each MiB."""
    squeeze, block = zlib.compressobj(9, zlib.DEFLATED, -15), b" " * MIB
    head = squeeze.compress(start) + squeeze.flush(zlib.Z_FULL_FLUSH)
    body = (squeeze.compress(block) + squeeze.flush(zlib.Z_FULL_FLUSH)) * mib
    crc = zlib.crc32(start)
    for _ in range(mib):
        crc = zlib.crc32(block, crc)
    packed = head + body + squeeze.flush(zlib.Z_FINISH)
    fields, _ = member(name, b"", method=8, **lies)
    return {**fields, "crc": crc, "size": len(start) + mib * MIB}, packed


def zipped(*parts: tuple[dict[str, Any], bytes]) -> bytes:
    """An archive, byte by byte, so that it can lie."""
    out, directory = bytearray(), bytearray()
    for fields, packed in parts:
        place, inner, name = len(out), str(fields["inner"]).encode(), str(fields["name"]).encode()
        versions = (20, fields["flags"] | 0x800, fields["method"], 0, 0x5821, fields["crc"], len(packed))
        out += b"PK\3\4" + struct.pack("<HHHHHLLL", *versions, fields["size"]) + struct.pack("<HH", len(inner), 0)
        out += inner + packed
        says = fields["size"] if fields["says"] is None else fields["says"]
        directory += b"PK\1\2" + struct.pack("<H", 0x31E) + struct.pack("<HHHHHLLL", *versions, says)
        directory += struct.pack("<HHHHHLL", len(name), 0, 0, 0, 0, fields["attributes"], place) + name
    count = min(len(parts), 65535)
    end = struct.pack("<HHHHLLH", 0, 0, count, count, len(directory), len(out), 0)
    return bytes(out + directory + b"PK\5\6" + end)
