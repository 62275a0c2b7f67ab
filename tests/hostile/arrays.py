"""Hostile HDF5: arrays, attributes, filters and groups that lie, in a file of their own and in an archive."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import h5py
import numpy as np

from tests.hostile import bend
from tests.hostile.bend import (
    KERNEL,
    MIB,
    STORE_KERNEL,
    TCN,
    h5,
    linked,
    member,
    members,
    recast,
    replaced,
    widened,
)
from tests.hostile.table import EITHER, PASSES, Hostile, Place

Bend = Callable[[h5py.File], Any]
DENSE = "model_weights/dense/dense/kernel:0"


def both(id: str, attempts: str, make: Callable[[str, Place], Bend], expect: str = "refused", words: Any = ()) -> Any:
    """The same in a file of Keras 2 and in an archive of Keras 3, whose weights are stored and deflated."""

    def archive(place: Place, method: int) -> bytes:
        held = members(weights=make(STORE_KERNEL, place))
        return bend.zipped(*(member(n, d, method=method if n.endswith("h5") else 0) for n, d in held.items()))

    yield Hostile(f"{id}-h5", attempts, ".h5", lambda p: h5(change=make(KERNEL, p)), expect, words)
    yield Hostile(f"{id}-keras", attempts, ".keras", lambda p: archive(p, 0), expect, words)
    yield Hostile(f"{id}-packed", attempts, ".keras", lambda p: archive(p, 8), expect, words)


def plain(id: str, attempts: str, change: Bend, expect: str = "refused", words: Any = ()) -> Hostile:
    return Hostile(id, attempts, ".h5", lambda p: h5(change=change), expect, words)


def packed(
    path: str,
    chunk: bytes,
    *filters: int,
    values: tuple[int, ...] = (),
    mask: int = 0,
    shape: tuple[int, ...] | None = None,
) -> Bend:
    """The array behind filters, its only chunk with bytes of our own."""

    def change(file: h5py.File) -> None:
        sizes = shape or file[path].shape
        del file[path]
        if shape is not None and len(shape) < 2:
            file[path] = np.ones(shape, "f4")
            return
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_chunk(sizes)
        for number in filters:
            layout.set_filter(number, h5py.h5z.FLAG_OPTIONAL, values or ((9,) if number == 1 else ()))
        made = h5py.h5d.create(file.id, path.encode(), h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(sizes), layout)
        made.write_direct_chunk((0,) * len(sizes), chunk, mask)

    return change


@cache
def squeezed(mib: int, times: int = 1) -> bytes:
    """So many MiB of zeros, deflated."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = squeeze.compress(bytes(MIB)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    checksum = (mib * MIB % 65521) << 16 | 1
    data = b"\x78\xda" + block * mib + squeeze.flush(zlib.Z_FINISH) + struct.pack(">L", checksum)
    for _ in range(times - 1):
        data = zlib.compress(data, 9)
    return data


@cache
def lzf(mib: int) -> bytes:
    """So many MiB of zeros as LZF packs them: 264 bytes out of 3."""
    return b"\0\0" + b"\xe0\xff\0" * (mib * MIB // 264)


def filled(value: float) -> Bend:
    """Never written, but with a value for what is not."""
    return lambda file: replaced(KERNEL, shape=file[KERNEL].shape, dtype="f4", fillvalue=value, chunks=True)(file)


def typed(path: str, kind: Any) -> Bend:
    """The array's bytes under another type of the same or another size."""

    def change(file: h5py.File) -> None:
        values = file[path][()]
        del file[path]
        if isinstance(kind, h5py.h5t.TypeID):
            made = h5py.h5d.create(file.id, path.encode(), kind, h5py.h5s.create_simple(values.shape))
            data = np.zeros(values.shape, f"V{kind.get_size()}")
            made.write(h5py.h5s.ALL, h5py.h5s.ALL, data, mtype=kind)
        else:
            file.create_dataset(path, data=np.zeros(values.shape, kind))

    return change


def _odd_float(size: int) -> Any:
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(30, 25, 5, 0, 25)
    kind.set_ebias(15)
    return kind


def _same_text(count: int, mib: int) -> bytes:
    """An attribute of many texts that are all the one text of so many MiB: 16 bytes each."""
    text = b"q" * (mib * MIB)

    def change(file: h5py.File) -> None:
        weights = file["model_weights"]
        del weights.attrs["layer_names"]
        weights.attrs.create("layer_names", [text.decode(), *["x"] * (count - 1)], dtype=h5py.string_dtype())

    return _aliased(h5(change=change), len(text), count)


def _aliased(data: bytes, size: int, count: int) -> bytes:
    """Lets all references of variable length (size, address of a heap, number) be those of the first."""
    out = bytearray(data)
    place = out.find(struct.pack("<L", size))
    while place >= 0:
        reference = bytes(out[place : place + 16])
        address, number = struct.unpack_from("<QL", reference, 4)
        if out[address : address + 4] == b"GCOL" and 0 < number < 1 << 16:
            for item in range(1, count):
                out[place + 16 * item : place + 16 * item + 16] = reference
            return bytes(out)
        place = out.find(struct.pack("<L", size), place + 1)
    raise AssertionError("no such reference")


def _nested_text(mib: int, count: int) -> bytes:
    """An attribute of one value: a list of lists, all of them the same one of so many MiB."""
    inner = h5py.h5t.vlen_create(h5py.h5t.NATIVE_UINT8)
    outer = h5py.h5t.vlen_create(inner)

    def change(file: h5py.File) -> None:
        if "model_config" in file.attrs:
            del file.attrs["model_config"]
        space = h5py.h5s.create_simple((1,))
        attribute = h5py.h5a.create(file.id, b"model_config", outer, space)
        value = np.empty(1, object)
        kind = h5py.vlen_dtype(h5py.vlen_dtype("u1"))
        list_ = np.empty(count, object)
        list_[0] = np.full(mib * MIB, 113, "u1")
        for number in range(1, count):
            list_[number] = np.full(1, 1, "u1")
        value[0] = list_
        attribute.write(np.array(value, dtype=kind))

    return _aliased(h5(change=change), mib * MIB, count)


def _twins(count: int, names: int) -> Bend:
    """So many layers that are all one group, with so many names of weights each."""

    def change(file: h5py.File) -> None:
        weights = file["model_weights"]
        group = weights.create_group("l0")
        group.attrs["weight_names"] = np.array([b"w%d" % n for n in range(names)])
        for number in range(names):
            group[f"w{number}"] = np.ones(1, "f4") if number < 1 else group["w0"]
        for number in range(1, count):
            weights[f"l{number}"] = group
        weights.attrs["layer_names"] = np.array([b"l%d" % n for n in range(count)])

    return change


def _decoys_before(bomb: Bend) -> Bend:
    """Arrays of no use that are declared large, in front of one that is not what it says."""

    def change(file: h5py.File) -> None:
        decoys = file.create_group("optimizer_weights")
        decoys.create_dataset("a", shape=(1 << 40,), dtype="f4", chunks=(1 << 20,))
        bomb(file)

    return change


def _real_decoys_before(bomb: Bend) -> Bend:
    def change(file: h5py.File) -> None:
        for number in range(12):
            file.create_dataset(
                f"optimizer_weights/a{number}", data=np.zeros(1 << 22, "f4"), chunks=(1 << 22,), compression=9
            )
        bomb(file)

    return change


def _committed(file: h5py.File) -> None:
    file["model_weights/kind"] = np.dtype("f4")
    replaced(KERNEL, data=file[KERNEL][()], dtype=file["model_weights/kind"])(file)


def _is_a_type(file: h5py.File) -> None:
    del file[KERNEL]
    file[KERNEL] = np.dtype("f4")


def _region(file: h5py.File) -> None:
    other = file[KERNEL.replace("conv1D_0", "conv1D_1")]
    shape = file[KERNEL].shape
    del file[KERNEL]
    data = np.empty(shape, object)
    data[...] = other.regionref[:1]
    file.create_dataset(KERNEL, data=data, dtype=h5py.regionref_dtype)


def _scaled(file: h5py.File) -> None:
    values = file[KERNEL][()]
    del file[KERNEL]
    file.create_dataset(KERNEL, data=values, scaleoffset=2)


def _circles(file: h5py.File) -> None:
    tcn = file[TCN]
    for number in range(30):
        tcn[f"up{number}"] = file["/"]
        tcn[f"own{number}"] = tcn


def _web(file: h5py.File) -> None:
    """Groups of which each holds all: 250 of them make 62 500 ways."""
    groups = [file.create_group(f"model_weights/w{number}") for number in range(250)]
    for group in groups:
        for number, other in enumerate(groups):
            group[f"o{number}"] = other


def _names(where: str, attribute: str, values: Any) -> Bend:
    return lambda file: file[where].attrs.__setitem__(attribute, values)


def _zero(file: h5py.File) -> None:
    replaced(KERNEL, shape=(2, 0, 1 << 40), dtype="f4", chunks=(1, 1, 1), maxshape=(None,) * 3)(file)


def _soft_group(file: h5py.File) -> None:
    file.move(TCN, "hidden")
    file[TCN] = h5py.SoftLink("/hidden")


def _group_outside(path: str, place: Place) -> Bend:
    return linked(path.rpartition("/")[0], h5py.ExternalLink(str(place.secret / "secret.h5"), "/"))


def _compound(file: h5py.File) -> None:
    kind = np.dtype([(f"m{number}", h5py.string_dtype()) for number in range(100)])
    value = np.array([("x" * 1000,) * 100], dtype=kind)
    del file.attrs["keras_version"]
    file.attrs.create("keras_version", value, dtype=kind)


def _config_is_a_path(file: h5py.File) -> None:
    file.attrs["model_config"] = h5py.Empty("S1")


ARRAYS = [
    # bytes that come out larger than the array is
    *both(
        "size-chunk-bomb",
        "inflates a chunk to 2 GiB that is 48 bytes of the array",
        lambda path, p: packed(path, squeezed(2048, 2), 1, 1),
    ),
    Hostile(
        "size-chunk-bomb-once",
        "the same with one filter: 1 MiB becomes 1 GiB",
        ".h5",
        lambda p: widened(700, lambda f, path, shape: packed(path, squeezed(1024), 1, shape=shape)(f)),
    ),
    *both(
        "size-lzf-says",
        "allocates what the filter's settings say",
        lambda path, p: packed(path, lzf(1), 32000, values=(4, 261, (1 << 32) - 1)),
        EITHER,
    ),
    plain(
        "size-decoys",
        "tries the decoys and not what stands behind them",
        _decoys_before(packed(KERNEL, squeezed(2048, 2), 1, 1)),
    ),
    plain(
        "size-real-decoys",
        "the same, with decoys that are there",
        _real_decoys_before(packed(KERNEL, squeezed(2048, 2), 1, 1)),
    ),
    plain("whole-chunk-short", "takes what lies behind a chunk that is too short", packed(KERNEL, squeezed(0), 1)),
    plain(
        "whole-chunk-masked",
        "takes packed bytes for floats",
        lambda file: packed(KERNEL, b"z" * file[KERNEL][()].nbytes, 1, mask=1)(file),
        EITHER,
    ),
    plain("whole-chunk-junk", "an exception of the filter", packed(KERNEL, b"no deflate" * 9, 1)),
    plain("whole-chunk-shuffled", "shuffles by 0 bytes", packed(KERNEL, squeezed(0), 2, values=(0,)), EITHER),
    plain("whole-scale-offset", "a filter that loses digits", _scaled, words=("filter",)),
    plain("whole-filters", "thirty filters in a row", lambda file: packed(KERNEL, b"x", *[1] * 30)(file)),
    # types
    plain("whole-type-committed", "a type that lies beside the arrays", _committed, PASSES),
    plain("whole-type-alone", "reads a type for an array", _is_a_type),
    plain("whole-type-region", "reads another array's region", _region, words=("conv1d_0",)),
    *(
        plain(f"whole-odd-{name}", "casts without a word", typed(KERNEL, kind), words=("conv1d_0",))
        for name, kind in {
            "opaque": h5py.h5t.create(h5py.h5t.OPAQUE, 4),
            "enum": h5py.enum_dtype({"a": 0, "b": 1}, "i4"),
            "pair": np.dtype([("r", "f4"), ("i", "f4")]),
            "parts": np.dtype(("f4", (2,))),
            "time": np.dtype("u8"),
        }.items()
    ),
    plain("whole-odd-float", "a float with five bits of mantissa", typed(KERNEL, _odd_float(4)), EITHER),
    plain("whole-odd-long-double", "a float of 16 bytes", typed(KERNEL, np.longdouble), words=("conv1d_0",)),
    plain(
        "whole-dense-type",
        "casts in another layer than the TCN",
        recast(DENSE, lambda v: v.astype("i4")),
        words=("dense",),
    ),
    plain("whole-dense-complex", "the same", recast(DENSE, lambda v: v.astype("c8")), words=("dense",)),
    # shapes
    plain("whole-no-size", "0 × 2⁴⁰", _zero, words=("conv1d_0",)),
    plain(
        "whole-rank",
        "32 axes",
        lambda file: replaced(KERNEL, shape=(1,) * 32, dtype="f4", data=np.ones((1,) * 32, "f4"))(file),
        words=("conv1d_0",),
    ),
    plain("whole-fill-value", "takes the value for what was never written", filled(0.5), words=("written",)),
    plain(
        "whole-null",
        "no values at all",
        lambda file: replaced(KERNEL, data=h5py.Empty("f4"))(file),
        words=("conv1d_0",),
    ),
    # attributes
    Hostile("size-same-texts", "makes 40 GB of 4 000 texts that are one", ".h5", lambda p: _same_text(4_000, 10)),
    Hostile(
        "size-nested-texts",
        "makes 40 GB of a list that holds one text 20 000 times",
        ".h5",
        lambda p: _nested_text(2, 20_000),
    ),
    plain("whole-version-record", "a version that is a record", _compound, EITHER),
    plain("whole-config-empty", "a config without a value", _config_is_a_path, words=("config",)),
    plain("whole-config-number", "a config that is a number", _names("/", "model_config", 7.5), words=("config",)),
    plain(
        "whole-config-reference",
        "a config that is a reference",
        lambda file: file.attrs.__setitem__("model_config", file[TCN].ref),
        words=("config",),
    ),
    plain(
        "whole-names-matrix",
        "names in rows",
        _names("model_weights", "layer_names", np.array([[b"tcn", b"dense"]])),
        EITHER,
    ),
    plain("whole-names-numbers", "names that are numbers", _names("model_weights", "layer_names", np.arange(3))),
    plain(
        "whole-names-bytes",
        "names that are no text",
        _names("model_weights", "layer_names", np.array([b"\xff\xfe", b"tcn", b"dense"])),
        EITHER,
    ),
    plain(
        "outside-names-dots",
        "walks out of the layer by its weights' names",
        _names(TCN, "weight_names", np.array([b"./../dense/dense/kernel:0"])),
    ),
    plain(
        "outside-names-root",
        "walks to the root by the layers' names",
        _names("model_weights", "layer_names", np.array([b"/", b"../tcn", b"dense"])),
    ),
    plain("size-twins", "looks at 9 million names of 3 000 layers that are one", _twins(3_000, 3_000)),
    # groups
    plain("size-circles", "walks up and round", _circles, EITHER),
    plain("size-web", "walks every way through 250 groups that all hold each other", _web, EITHER),
    plain("outside-soft-group", "follows a soft link to a group", _soft_group, words=("link",)),
    *both(
        "outside-group", "follows a link to another file's group", _group_outside, words=("link|not found in the file",)
    ),
    plain(
        "outside-optimizer",
        "follows a link where nobody looks",
        lambda file: file.__setitem__("optimizer_weights", h5py.ExternalLink("/etc/passwd", "/")),
        EITHER,
    ),
    Hostile(
        "outside-archive-link-in-packed",
        "looks into stored members alone",
        ".keras",
        lambda p: bend.zipped(
            *(
                member(n, d, method=8)
                for n, d in members(
                    weights=linked(STORE_KERNEL, h5py.ExternalLink(str(p.secret / "secret.h5"), "kernel"))
                ).items()
            )
        ),
        words=("link",),
    ),
    Hostile("whole-superblock", "HDF5 that says it lies elsewhere", ".h5", lambda p: _moved()),
]


def _moved() -> bytes:
    """The base address of the superblock beyond the file."""
    data = bytearray(h5())
    struct.pack_into("<Q", data, 24 if data[8] == 0 else 12, 1 << 62)
    return bytes(data)
