"""HDF5 arrays whose chunks, or whose space in the file, do not hold what the header says."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from tests.hostile.bend import KERNEL, h5
from tests.hostile.table import PASSES, REFUSED, Hostile

Write = Callable[[h5py.h5d.DatasetID, np.ndarray[Any, Any]], Any]
DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000
OLD, NEW = "earliest", "latest"


def array(
    *filters: int,
    write: Write,
    chunk: tuple[int, ...] | None = None,
    longest: tuple[int | None, ...] | None = None,
    libver: str = OLD,
    early: bool = False,
    never_filled: bool = False,
    kind: Any = h5py.h5t.IEEE_F32LE,
    layout: int | None = None,
    after: Callable[[bytes, list[Any]], bytes] | None = None,
) -> Callable[[Any], bytes]:
    """A file whose first kernel is an array of our own.

    Args:
        filters: in a row.
        write: puts the old kernel's values, or something else, into the new array.
        chunk: shape of a chunk; that of the whole array by default, unless there is another layout.
        longest: to which it may grow.
        libver: how old the format is.
        early: allocate the space at once.
        after: changes the file's bytes at the end, given the index of the chunks.
    """

    def change(file: h5py.File) -> None:
        values = file[KERNEL][()]
        del file[KERNEL]
        pipeline = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if layout is None:
            pipeline.set_chunk(chunk or values.shape)
        else:
            pipeline.set_layout(layout)
        for number in filters:
            parameters = {DEFLATE: (6,), LZF: (4, 261, values.nbytes)}.get(number, ())
            pipeline.set_filter(number, h5py.h5z.FLAG_OPTIONAL, parameters)
        if early:
            pipeline.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        if never_filled:
            pipeline.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        unlimited = None
        if longest is not None:
            unlimited = tuple(h5py.h5s.UNLIMITED if length is None else length for length in longest)
        space = h5py.h5s.create_simple(values.shape, unlimited)
        write(h5py.h5d.create(file.id, KERNEL.encode(), kind, space, pipeline), values)

    def make(place: Any) -> bytes:
        made = h5(change=change, libver=libver)
        if after is None:
            return made
        found: list[Any] = []
        with h5py.File(io.BytesIO(made)) as file:
            file[KERNEL].id.chunk_iter(found.append)
        return after(made, found)

    return make


def whole(dataset: h5py.h5d.DatasetID, values: np.ndarray[Any, Any]) -> None:
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values)


def nothing(dataset: h5py.h5d.DatasetID, values: np.ndarray[Any, Any]) -> None:
    """The array is declared, and never written."""


def stored(content: bytes | Callable[[bytes], bytes], mask: int = 0) -> Write:
    """The only chunk has bytes of our own, or made of the old ones."""

    def write(dataset: h5py.h5d.DatasetID, values: np.ndarray[Any, Any]) -> None:
        chunk = content(values.tobytes()) if callable(content) else content
        dataset.write_direct_chunk((0,) * values.ndim, chunk, mask)

    return write


def half_grown(dataset: h5py.h5d.DatasetID, values: np.ndarray[Any, Any]) -> None:
    """One column less is written, and the array grown by it."""
    shape = (*values.shape[:-1], values.shape[-1] - 1)
    dataset.set_extent(shape)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(values[..., :-1]))
    dataset.set_extent(values.shape)


def readdressed(change: Callable[[bytes, list[Any]], int]) -> Callable[[bytes, list[Any]], bytes]:
    """Lets the index find the last chunk somewhere else."""

    def after(data: bytes, index: list[Any]) -> bytes:
        old = struct.pack("<Q", index[-1].byte_offset)
        assert data.count(old) == 1
        return data.replace(old, struct.pack("<Q", change(data, index)))

    return after


def _float24() -> Any:
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(23, 15, 8, 0, 15)
    kind.set_size(3)
    return kind


EIGHT = b"\0\0\x10\x41" * 2
SQUEEZED = zlib.compress(EIGHT)


def _with_checksum(content: bytes) -> bytes:
    from tcn_migrate.containers.chunks import fletcher32

    return content + struct.pack("<L", fletcher32(content))


def _row(id: str, attempts: str, make: Callable[[Any], bytes], *words: str, expect: str = REFUSED) -> Hostile:
    return Hostile(id, attempts, ".h5", make, expect, words)


def _short(name: str, content: bytes | Callable[[bytes], bytes], *filters: int, mask: int = 0) -> Hostile:
    attempts = "takes what lies behind a short chunk in the process's memory"
    return _row(f"whole-short-{name}", attempts, array(*filters, write=stored(content, mask)), "conv1d_0", "chunk")


PIECES = [
    _short("deflate", SQUEEZED, DEFLATE),
    _short("half", lambda data: zlib.compress(data[: len(data) // 2]), DEFLATE),
    _short("by-one", lambda data: zlib.compress(data[:-1]), DEFLATE),
    _short("masked", EIGHT, DEFLATE, mask=1),
    _short("plain", EIGHT),
    _short("deflate-twice", zlib.compress(SQUEEZED), DEFLATE, DEFLATE),
    _short("deflate-half-masked", SQUEEZED, DEFLATE, DEFLATE, mask=1),
    _short("shuffled", SQUEEZED, SHUFFLE, DEFLATE),
    _short("shuffled-masked", EIGHT, SHUFFLE, DEFLATE, mask=2),
    _short("checksum", _with_checksum(EIGHT), FLETCHER32),
    _short("checksum-inside", zlib.compress(_with_checksum(EIGHT)), FLETCHER32, DEFLATE),
    _short("lzf", b"\x07" + EIGHT, LZF),
    _short("lzf-cut", b"\x1f" + EIGHT, LZF),
    _short("lzf-before", b"\xe0\xff\xff" * 9, LZF),
    _short("stream-cut", lambda data: zlib.compress(data)[:-6], DEFLATE),
    _short("stream-goes-on", lambda data: zlib.compress(data) + b"more", DEFLATE),
    _short("long", lambda data: zlib.compress(data + b"more"), DEFLATE),
    _short("long-plain", lambda data: data + b"more"),
    *(
        _row(
            f"whole-short-{name}",
            "the same behind another index of chunks",
            array(DEFLATE, write=stored(SQUEEZED), chunk=chunk, longest=longest, libver=NEW),
            "conv1d_0",
        )
        for name, chunk, longest in (
            ("single-chunk", None, None),
            ("fixed-array", (1, 1, 1), None),
            ("extensible-array", (1, 1, 1), (None, 64, 64)),
            ("b-tree-2", (1, 1, 1), (None, None, 64)),
        )
    ),
    _row(
        "whole-chunk-beyond",
        "reads behind the end of the file",
        array(write=whole, chunk=(1, 1, 1), after=readdressed(lambda data, index: len(data) - 2)),
        "conv1d_0",
    ),
    _row(
        "whole-chunk-again",
        "takes one chunk's bytes for two",
        array(write=whole, chunk=(1, 1, 1), after=readdressed(lambda data, index: index[0].byte_offset)),
        "conv1d_0",
        "overlap",
    ),
    _row(
        "whole-chunk-overlaps",
        "takes a part of one chunk for another",
        array(write=whole, chunk=(1, 2, 2), after=readdressed(lambda data, index: index[0].byte_offset + 4)),
        "conv1d_0",
        "overlap",
    ),
    _row(
        "whole-compact-unwritten",
        "takes zeros that nobody wrote, in the array's own header",
        array(write=nothing, layout=h5py.h5d.COMPACT),
        "written",
    ),
    _row(
        "whole-early-unwritten",
        "takes what was in this place of the file before",
        array(write=nothing, layout=h5py.h5d.CONTIGUOUS, early=True),
        "written",
    ),
    _row("whole-early-chunks", "the same in chunks", array(write=nothing, chunk=(1, 1, 2), early=True), "written"),
    _row(
        "whole-implicit-chunks",
        "the same without an index",
        array(write=nothing, chunk=(1, 1, 2), early=True, libver=NEW),
        "written",
    ),
    _row(
        "whole-never-filled",
        "the same in chunks",
        array(write=nothing, chunk=(1, 1, 2), early=True, never_filled=True),
        "written",
    ),
    _row(
        "whole-grown",
        "takes zeros at the end of an array that was made longer",
        array(write=half_grown, longest=(None, None, None)),
        "written",
    ),
    _row(
        "whole-float-24",
        "casts a float of 24 bits without a word",
        array(write=whole, layout=h5py.h5d.CONTIGUOUS, kind=_float24()),
        "conv1d_0",
        "type",
    ),
    *(
        _row(f"whole-good-{name}", "refuses what is only packed otherwise", make, expect=PASSES)
        for name, make in {
            "compact": array(write=whole, layout=h5py.h5d.COMPACT),
            "early-chunks": array(write=whole, chunk=(1, 1, 2), early=True),
            "can-grow": array(write=whole, chunk=(1, 2, 2), longest=(None, None, None)),
            "edges": array(SHUFFLE, DEFLATE, FLETCHER32, write=whole, chunk=(2, 2, 2)),
            "lzf": array(SHUFFLE, LZF, write=whole),
            "masked": array(DEFLATE, write=stored(lambda data: data, 1)),
            "twice": array(DEFLATE, DEFLATE, write=whole),
            "single-chunk": array(DEFLATE, write=whole, libver=NEW),
            "implicit": array(write=whole, chunk=(1, 1, 2), early=True, libver=NEW),
            "fixed-array": array(DEFLATE, write=whole, chunk=(1, 1, 2), libver=NEW),
            "extensible-array": array(SHUFFLE, write=whole, chunk=(1, 1, 2), longest=(None, 64, 64), libver=NEW),
            "b-tree-2": array(DEFLATE, write=whole, chunk=(1, 1, 2), longest=(None, None, 64), libver=NEW),
        }.items()
    ),
]
