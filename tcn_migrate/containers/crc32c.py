"""The checksum of LevelDB's tables and TensorFlow's bundles."""

from __future__ import annotations

import google_crc32c


def masked_crc32c(*parts: bytes | memoryview) -> int:
    """The masked CRC-32C (Castagnoli) of the parts one behind the other.

    Masked: rotated right by 15 bits and 0xA282EAD8 added, so that a checksum of data with checksums in them stays good.
    Source: tensorflow/core/lib/hash/crc32c.h.
    """
    crc = 0
    for part in parts:
        crc = google_crc32c.extend(crc, bytes(part))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFF_FFFF
