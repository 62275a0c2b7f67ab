"""CRC-32C (Castagnoli) in NumPy: some hundred megabytes a second, enough to check every array of a checkpoint.

A CRC is linear: the data are cut into lanes, all lanes advance together, and neighbours are joined in pairs, the left
one shifted by the length of the right one. Zero bytes in front change nothing, and a state before the data is the same
as that state added to their first four bytes; so lanes need no remainder.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # bit-reversed 0x1EDC6F41
_CHUNK = 1 << 24
_BITS = np.arange(32, dtype=np.uint32)


def _byte_table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ np.where(table & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return table


_TABLE = _byte_table()


def masked_crc32c(*parts: bytes | memoryview) -> int:
    """The checksum of the parts one behind the other as LevelDB's tables and TensorFlow's bundles store it.

    Masked: rotated right by 15 bits and 0xA282EAD8 added, so that a checksum of data with checksums in them stays good.
    """
    state = 0xFFFF_FFFF
    for part in parts:
        data = np.frombuffer(part, dtype=np.uint8)
        for start in range(0, len(data), _CHUNK):
            state = _advance(state, data[start : start + _CHUNK])
    crc = state ^ 0xFFFF_FFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFF_FFFF


def _advance(state: int, data: NDArray[np.uint8]) -> int:
    if len(data) < 4:
        for byte in data.tolist():
            state = int(_TABLE[(state ^ byte) & 0xFF]) ^ (state >> 8)
        return state
    steps = 1 << (len(data).bit_length() // 2)
    lanes = 1 << (-(-len(data) // steps) - 1).bit_length()
    padded = np.zeros(lanes * steps, dtype=np.uint8)
    padded[-len(data) :] = data
    first = len(padded) - len(data)
    padded[first : first + 4] ^= np.frombuffer(state.to_bytes(4, "little"), dtype=np.uint8)
    states = np.zeros(lanes, dtype=np.uint32)
    for column in np.ascontiguousarray(padded.reshape(lanes, steps).T):
        states = _TABLE[(states ^ column) & np.uint32(0xFF)] ^ (states >> np.uint32(8))
    while len(states) > 1:
        states = _apply(_shift(steps), states[0::2]) ^ states[1::2]
        steps *= 2
    return int(states[0])


@lru_cache(maxsize=64)
def _shift(length: int) -> NDArray[np.uint32]:
    """What `length` (a power of two) zero bytes make of each of the 32 bits of a state."""
    if length == 1:
        unit = np.uint32(1) << _BITS
        return np.asarray(_TABLE[unit & np.uint32(0xFF)] ^ (unit >> np.uint32(8)))
    half = _shift(length // 2)
    return _apply(half, half)


def _apply(shift: NDArray[np.uint32], states: NDArray[np.uint32]) -> NDArray[np.uint32]:
    result = np.zeros_like(states)
    for bit in range(32):
        result ^= np.where(states >> np.uint32(bit) & np.uint32(1), shift[bit], np.uint32(0))
    return result
