"""A part of a file as a file of its own: where HDF5 lies inside an archive."""

from __future__ import annotations

import io
import zlib
from typing import IO, Any, cast

_CHUNK = 1 << 18
"""Bytes read at a time: into the same place, which stays in the processor's cache."""


class Window(io.RawIOBase):
    """The bytes of a file from `start` on.

    Args:
        file: read from, and written to if it was opened for that.
        start: where the part begins.
        size: of the part in bytes; 0 for one that is written, whose size grows.
    """

    def __init__(self, file: IO[bytes], start: int, size: int = 0) -> None:
        self._file, self.start, self.size, self._position = file, start, size, 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return self._file.writable()

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self.size - self._position))
        self._file.seek(self.start + self._position)
        got = int(cast(io.BufferedRandom, self._file).readinto(view[:length]))
        self._position += got
        return got

    def write(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        self._file.seek(self.start + self._position)
        self._file.write(view)
        self._position += len(view)
        self.size = max(self.size, self._position)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self.size = self._position if size is None else size
        self._file.truncate(self.start + self.size)
        return self.size

    def crc32(self) -> int:
        """The checksum over all bytes, as an archive's directory has it."""
        position, value, buffer = self._position, 0, memoryview(bytearray(_CHUNK))
        self.seek(0)
        while size := self.readinto(buffer):
            value = zlib.crc32(buffer[:size], value)
        self.seek(position)
        return value
