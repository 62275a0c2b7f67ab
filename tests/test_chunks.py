"""Chunks are unpacked as HDF5 unpacks them, and a damaged one gives its exact bytes or an error."""

from __future__ import annotations

import contextlib
import io
import tempfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn_migrate.containers import chunks
from tcn_migrate.containers.hdf5 import datasets
from tcn_migrate.errors import MigrationError

FILTERS = st.sampled_from([(), (1,), (2, 1), (2, 1, 3), (3, 1), (32000,), (2, 32000), (1, 1), (1, 2), (3,), (1, 32000)])
KINDS = st.sampled_from(["<f4", ">f4", "<f2", "<f8", "<i8", "u1"])


@st.composite
def packed_files(draw: st.DrawFn) -> tuple[bytes, np.ndarray[Any, Any]]:
    """A file with one chunked array, `x`, and its values."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    chunk = tuple(draw(st.integers(1, length)) for length in shape)
    longest = tuple(draw(st.sampled_from([length, 64, None])) for length in shape)
    chance = np.random.default_rng(draw(st.integers(0, 1000)))
    values = np.asarray(chance.integers(1, draw(st.sampled_from([3, 100])), shape), draw(KINDS))
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk(chunk)
    for number in draw(FILTERS):
        parameters = {1: (6,), 32000: (4, 261, 1 << 16)}.get(number, ())
        properties.set_filter(number, h5py.h5z.FLAG_OPTIONAL, parameters)
    userblock = draw(st.sampled_from([0, 512]))
    libver = draw(st.sampled_from(["earliest", "latest"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.h5")
        file = h5py.File(path, "w", libver=libver, userblock_size=userblock)
        space = h5py.h5s.create_simple(shape, tuple(h5py.h5s.UNLIMITED if most is None else most for most in longest))
        made = h5py.h5d.create(file.id, b"x", h5py.h5t.py_create(values.dtype), space, properties)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
        file.close()
        return path.read_bytes(), values


def read(data: bytes) -> np.ndarray[Any, Any]:
    with h5py.File(io.BytesIO(data)) as file:
        (array,) = (array for _, array in datasets(file, "file"))
        return array.read()


@settings(max_examples=300, deadline=None)
@given(packed_files())
def test_a_chunked_array_is_read_as_hdf5_reads_it(file: tuple[bytes, np.ndarray[Any, Any]]) -> None:
    data, values = file

    found = read(data)

    assert found.dtype == values.dtype.newbyteorder("=")
    assert np.array_equal(found, values)


@settings(max_examples=300, deadline=None)
@given(packed_files(), st.integers(0, 1 << 30), st.integers(1, 255))
def test_a_damaged_chunk_gives_its_exact_bytes_or_an_error(
    file: tuple[bytes, np.ndarray[Any, Any]], where: int, flip: int
) -> None:
    data, values = file
    index: list[Any] = []
    with h5py.File(io.BytesIO(data)) as opened:
        opened["x"].id.chunk_iter(index.append)
        filters = [opened["x"].id.get_create_plist().get_filter(i)[0] for i in range(len(opened["x"]._filters))]
    info = index[where % len(index)]
    damaged = bytearray(data)
    damaged[info.byte_offset + where % info.size] ^= flip

    try:
        found = read(bytes(damaged))
    except MigrationError:
        return

    differ = int((found.view(np.uint8) != values.astype(found.dtype).view(np.uint8)).sum())
    if 3 in filters or 1 in filters:  # a checksum covers every byte
        assert differ == 0
    elif 32000 not in filters:
        assert differ <= 1


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(0, 200), st.lists(st.sampled_from([1, 2, 3, 32000]), max_size=4))
def test_whatever_is_stored_gives_as_many_bytes_as_the_chunk_has(stored: bytes, size: int, numbers: list[int]) -> None:
    filters = [(number, (4,)) for number in numbers]

    with contextlib.suppress(chunks.DamagedChunk):
        assert len(chunks.unpacked(stored, filters, 0, size)) == size


@given(st.binary(max_size=2000))
def test_the_checksum_is_that_of_hdf5(content: bytes) -> None:
    """As H5_checksum_fletcher32 adds it up, two bytes at a time."""
    first = second = 0
    padded = content + b"\0" * (len(content) % 2)
    for place in range(0, len(padded), 2):
        first += padded[place] << 8 | padded[place + 1]
        second += first
        first = (first & 0xFFFF) + (first >> 16)
        second = (second & 0xFFFF) + (second >> 16)
    first = (first & 0xFFFF) + (first >> 16)
    second = (second & 0xFFFF) + (second >> 16)

    assert chunks.fletcher32(content) == second << 16 | first


def test_a_chunk_that_inflates_to_gibibytes_stops_at_its_own_size() -> None:
    squeeze = zlib.compressobj(9)
    bomb = b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(64)) + squeeze.flush()

    with pytest.raises(chunks.DamagedChunk, match="inflates to more than 4096 bytes"):
        chunks.unpacked(bomb, [(1, (6,))], 0, 4096)
