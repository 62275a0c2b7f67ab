"""Chunked HDF5 arrays, read without HDF5's filter pipeline.

HDF5's pipeline trusts the bytes of a chunk. Where a deflate stream ends early, or the filter mask skips it, HDF5 1.14.6
hands on what lies behind the short buffer in the memory of the process, or crashes; and a stream may inflate to any
size. So the chunk index is compared with the shape first, each chunk is read as it is stored, and its filters are
undone here: every step has a known size, and the last one must give exactly the bytes that the chunk holds.

Source: https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html (chunk indices, filter masks), H5Zshuffle.c
and H5checksum.c of HDF5 1.14, and lzf_d.c of LibLZF as h5py has it.
"""

from __future__ import annotations

import math
import zlib
from itertools import pairwise, product
from typing import Any

import h5py
import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.containers.bounds import MIB, MOST_CHUNKS, MOST_FILTERS

DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000
FILTERS = {DEFLATE: "deflate", SHUFFLE: "shuffle", FLETCHER32: "fletcher32", LZF: "lzf"}
_PACKS = (DEFLATE, LZF)

Filter = tuple[int, tuple[int, ...]]
"""The number of a filter, and its parameters."""


class DamagedChunk(ValueError):
    """A chunk does not hold what the array's header says; the message is a predicate, such as "is cut off"."""


def flaw(
    dataset: h5py.h5d.DatasetID, properties: h5py.h5p.PropDCID, shape: tuple[int, ...], itemsize: int, end: int
) -> str | None:
    """What the header and the index of a chunked array alone tell that is wrong with it, or None.

    Args:
        shape: of the array.
        itemsize: bytes of one value.
        end: the size of the file in bytes.
    """
    filters = _filters(properties)
    odd = [number for number, _ in filters if number not in FILTERS]
    if odd:
        return f"is packed with the HDF5 filter {odd[0]}; allowed are {', '.join(FILTERS.values())}"
    if len(filters) > MOST_FILTERS:
        return f"is packed with {len(filters)} filters in a row; allowed are {MOST_FILTERS}"
    if any(number == SHUFFLE and (len(values) != 1 or not values[0]) for number, values in filters):
        return "is shuffled by an unknown number of bytes"
    chunk = properties.get_chunk()
    held = math.prod(chunk) * itemsize
    if held > max(math.prod(shape) * itemsize, MIB):
        return f"is cut into chunks of {held // MIB} MiB, more than the whole array has"
    count = math.prod(-(-length // step) for length, step in zip(shape, chunk, strict=True))
    if count > MOST_CHUNKS:
        return f"is cut into {count} chunks; allowed are {MOST_CHUNKS}"
    stored = _index(dataset, count)
    if len(stored) < count:
        return "was declared, but not (or not wholly) written; it would read as zeros"
    # Where the growing axis is not the first one, HDF5 1.14.6 iterates over chunks at wrong offsets (extensible array),
    # which differ from each other all the same.
    if len({info.chunk_offset for info in stored}) != count or len(stored) != count:
        return "has a chunk twice, or one that lies outside of the array"
    for info in stored:
        least, most = _stored_sizes(filters, info.filter_mask, held)
        if not least <= info.size <= most:
            return f"has a chunk of {held} bytes of which {info.size} are stored"
    places = sorted((info.byte_offset, info.byte_offset + info.size) for info in stored)
    if places[-1][1] > end:
        return "has a chunk that lies beyond the end of the file"
    if any(behind < before for (_, before), (behind, _) in pairwise(places)):
        return "has chunks that overlap in the file"
    return None


def read(
    dataset: h5py.h5d.DatasetID, properties: h5py.h5p.PropDCID, shape: tuple[int, ...], kind: np.dtype[Any]
) -> Array:
    """The values of a chunked array in which `flaw` found nothing.

    Args:
        shape: of the array.
        kind: of its values, exactly as they are stored.

    Raises:
        DamagedChunk: a chunk cannot be unpacked to exactly what it holds.
    """
    filters, chunk = _filters(properties), properties.get_chunk()
    size = math.prod(chunk) * kind.itemsize
    values = np.empty(shape, kind)
    for start in product(*(range(0, length, step) for length, step in zip(shape, chunk, strict=True))):
        mask, stored = dataset.read_direct_chunk(start)
        least, most = _stored_sizes(filters, mask, size)
        if not least <= len(stored) <= most:
            raise DamagedChunk(f"has a chunk of {size} bytes of which {len(stored)} are stored")
        held = np.frombuffer(unpacked(stored, filters, mask, size), kind).reshape(chunk)
        ends = [min(first + step, length) for first, step, length in zip(start, chunk, shape, strict=True)]
        inside = tuple(slice(first, end) for first, end in zip(start, ends, strict=True))
        values[inside] = held[tuple(slice(0, part.stop - part.start) for part in inside)]  # at an edge there is a rest
    return values


def unpacked(stored: bytes, filters: list[Filter], mask: int, size: int) -> bytes:
    """The bytes of one chunk with its filters undone.

    Args:
        stored: as it lies in the file.
        filters: in the order in which they were applied.
        mask: bit i is set where filter i was skipped.
        size: of the chunk in bytes; what comes out has exactly this many.

    Raises:
        DamagedChunk: it cannot be had from these bytes.
    """
    content = stored
    for place, (number, values) in reversed(_applied(filters, mask)):
        # What went into this filter, at most: all but the packing ones know the size of what they made.
        most = _stored_sizes(filters[:place], mask, size)[1]
        if number == DEFLATE:
            content = _inflated(content, most)
        elif number == LZF:
            content = _lzf_unpacked(content, most)
        elif number == FLETCHER32:
            content = _compared(content)
        else:
            content = _unshuffled(content, values[0])
    if len(content) != size:
        raise DamagedChunk(f"has a chunk of {size} bytes that unpacks to {len(content)}")
    return content


def _filters(properties: h5py.h5p.PropDCID) -> list[Filter]:
    found = (properties.get_filter(place) for place in range(properties.get_nfilters()))
    return [(int(number), tuple(values)) for number, _, values, _ in found]


def _applied(filters: list[Filter], mask: int) -> list[tuple[int, Filter]]:
    """The filters that a chunk with this mask went through, with their places in the row."""
    return [(place, filter_) for place, filter_ in enumerate(filters) if not mask >> place & 1]


def _index(dataset: h5py.h5d.DatasetID, most: int) -> list[Any]:
    """The entries of the chunk index: one more than `most` at most, since a damaged index may lead round."""
    found: list[Any] = []

    def note(info: Any) -> bool | None:
        found.append(info)
        return True if len(found) > most else None

    dataset.chunk_iter(note)
    return found


def _stored_sizes(filters: list[Filter], mask: int, size: int) -> tuple[int, int]:
    """The fewest and the most bytes that a chunk of `size` bytes has behind these filters.

    Deflate adds at most 5 bytes to each block that it cannot shrink, and 6 in all; LZF adds one to every 32.
    """
    least = most = size
    for _, (number, _) in _applied(filters, mask):
        if number in _PACKS:
            least, most = 1, most + most // 16 + 64
        elif number == FLETCHER32:
            least, most = least + 4, most + 4
    return least, most


def _inflated(content: bytes, most: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        made = stream.decompress(content, most + 1)  # one byte more, so that the stream's own end is seen
    except zlib.error:
        raise DamagedChunk("has a chunk that is no deflate stream") from None
    if len(made) > most:
        raise DamagedChunk(f"has a chunk that inflates to more than {most} bytes")
    if not stream.eof or stream.unused_data:
        raise DamagedChunk("has a chunk whose deflate stream does not end where the chunk does")
    return made


def _lzf_unpacked(content: bytes, most: int) -> bytes:
    """LZF: a byte below 32 announces as many bytes and one more; any other is a copy of what was made before."""
    made, place, end = bytearray(), 0, len(content)
    try:
        while place < end:
            control = content[place]
            place += 1
            if control < 32:
                behind = place + control + 1
                if behind > end:
                    raise DamagedChunk("has a chunk whose LZF stream is cut off")
                made += content[place:behind]
                place = behind
            else:
                length = control >> 5
                if length == 7:
                    length += content[place]
                    place += 1
                start = len(made) - ((control & 31) << 8 | content[place]) - 1
                place += 1
                if start < 0:
                    raise DamagedChunk("has a chunk whose LZF stream copies from before its start")
                copied = made[start : start + length + 2]
                while len(copied) < length + 2:  # the copy reaches into itself: a pattern that repeats
                    copied += copied[: length + 2 - len(copied)]
                made += copied
            if len(made) > most:
                raise DamagedChunk(f"has a chunk that unpacks to more than {most} bytes")
    except IndexError:
        raise DamagedChunk("has a chunk whose LZF stream is cut off") from None
    return bytes(made)


def _compared(content: bytes) -> bytes:
    """What the checksum at the end is of.

    HDF5 also accepts the bytes of each half in the other order, which HDF5 1.6.2 wrote.
    """
    body, checksum = content[:-4], content[-4:]
    if len(checksum) < 4:
        raise DamagedChunk("has a chunk that is cut off")
    computed = fletcher32(body)
    swapped = (computed & 0x00FF00FF) << 8 | (computed >> 8) & 0x00FF00FF
    if int.from_bytes(checksum, "little") not in (computed, swapped):
        raise DamagedChunk("has a chunk that does not match its checksum")
    return body


def fletcher32(content: bytes) -> int:
    """HDF5's checksum of big-endian words of two bytes; an odd last byte is the high one of a word.

    Source: H5_checksum_fletcher32 in H5checksum.c.
    """
    words = np.frombuffer(content + b"\0" * (len(content) % 2), ">u2")
    first = second = 0
    for start in range(0, len(words), 1 << 16):  # so that no sum passes 64 bits
        piece = words[start : start + (1 << 16)].astype(np.uint64)
        weights = np.arange(len(piece), 0, -1, dtype=np.uint64)
        second += len(piece) * first + int((piece * weights).sum())
        first += int(piece.sum())
    return _folded(second) << 16 | _folded(first)


def _folded(total: int) -> int:
    """A sum modulo 65535, of which only 0 itself is 0: its carries are added to it instead of being divided out."""
    return (total - 1) % 0xFFFF + 1 if total else 0


def _unshuffled(content: bytes, size: int) -> bytes:
    """Bytes back where they were: all first bytes of the values of `size` bytes come first, then all second ones.

    What is left behind the last whole value stays where it is.
    """
    count = len(content) // size
    if size <= 1 or count <= 1:
        return content
    whole = np.frombuffer(content, np.uint8, count * size).reshape(size, count).T.tobytes()
    return whole + content[count * size :]
