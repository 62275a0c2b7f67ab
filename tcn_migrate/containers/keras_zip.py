"""The `.keras` archive of Keras 2.12 and later: metadata.json, config.json, model.weights.h5.

Nothing is unpacked. The members are read by name, and the weights where they lie in the archive.
"""

from __future__ import annotations

import io
import stat
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

from tcn_migrate.checkpoint import Checkpoint, Content, Json, Origin, tree_of
from tcn_migrate.containers.bounds import (
    ALWAYS_ALLOWED,
    LARGEST_EXPANSION,
    LARGEST_JSON,
    MIB,
    parse_json,
    parse_model,
)
from tcn_migrate.containers.h5 import weight_store
from tcn_migrate.containers.hdf5 import open_hdf5
from tcn_migrate.containers.window import Window
from tcn_migrate.errors import ContainerError, MigrationError, UnsafeError, quoted

_LARGEST_DIRECTORY = 8 * MIB
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_BROKEN = (
    zipfile.BadZipFile,
    struct.error,
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


def matches(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def read(path: Path, architecture: Json | None = None) -> Checkpoint:
    """The checkpoint in a `.keras` archive.

    Raises:
        ContainerError: cut off, damaged, members missing, or two of one name.
        UnsafeError: a member that is a link, or far larger than what is stored.
    """
    try:
        return unchecked(path)
    except MigrationError:
        compare_checksum(path)  # which says where it came from
        raise


def unchecked(path: Path) -> Checkpoint:
    """The same; but of what is wrong with it, damage need not be the first that is said."""
    archive, members = _opened(path)
    config = parse_model(_text(archive, members[CONFIG]), CONFIG)
    metadata: Json = {}
    if METADATA in members:
        parsed = parse_json(_text(archive, members[METADATA]), METADATA)
        metadata = parsed if isinstance(parsed, dict) else {}
    version = metadata.get("keras_version")
    weights = open_hdf5(_weights(path, archive, members[WEIGHTS]), WEIGHTS)
    paths = weight_store(weights, WEIGHTS)
    training = config.get("compile_config")
    content = Content((path,), lambda: compare_checksum(path))
    return Checkpoint(
        config=config,
        arrays={array.name: array for array in paths.values()},
        layout="store",
        root=tree_of(paths),
        origin=Origin(str(path), "keras zip", version if isinstance(version, str) else None, content),
        training=training if isinstance(training, dict) else None,
    )


def compare_checksum(path: Path) -> None:
    """Compares the checksum of the weights, if they are stored as they are; else inflating them does so.

    Raises:
        ContainerError: it does not agree.
    """
    archive, members = _opened(path)
    weights = members[WEIGHTS]
    if _stored(weights) and _window(path, archive, weights).crc32() != weights.CRC:
        raise ContainerError("is damaged: its checksum does not agree", address=WEIGHTS)


def read_metadata(path: Path) -> Json:
    """What the archive says of itself; nothing where it does not say anything.

    Raises:
        ContainerError, UnsafeError: as `read`.
    """
    if not matches(path):
        raise ContainerError("is no .keras archive", address=quoted(path))
    archive, members = _opened(path)
    with archive:
        parsed = parse_json(_text(archive, members[METADATA]), METADATA) if METADATA in members else {}
    return parsed if isinstance(parsed, dict) else {}


def open_archive(path: Path) -> zipfile.ZipFile:
    """Opens a zip archive, unless its directory alone would take the memory of many models.

    Raises:
        UnsafeError: it has too many members.
        OSError, ValueError, zipfile.BadZipFile and others: it is damaged.
    """
    size = _size_of_directory(path)
    if size > _LARGEST_DIRECTORY:
        raise UnsafeError(
            "the archive holds too many members",
            expected=f"a directory of at most {_LARGEST_DIRECTORY // MIB} MiB",
            found=f"{size // MIB} MiB",
        )
    return zipfile.ZipFile(path)


def _opened(path: Path) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """The archive and its members by name, config and weights among them."""
    try:
        archive = open_archive(path)
        members = archive.infolist()
    except _BROKEN:
        raise ContainerError(
            "the archive is truncated: its directory, at the end of the file, is missing or damaged",
            found=f"{path.stat().st_size} bytes",
            hint="Copy the file again from where it came",
        ) from None
    by_name: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        if member.filename in (CONFIG, METADATA, WEIGHTS):
            if member.filename in by_name:
                raise ContainerError(f"the archive holds {member.filename} twice, and only one can be meant")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise UnsafeError(f"{member.filename} is a link; everything must be in the file itself")
            if member.flag_bits & 1:
                raise ContainerError(
                    f"{member.filename} is encrypted",
                    hint="Unpack the archive with its password and zip it without one",
                )
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ContainerError(
                    f"{member.filename} is packed by method {member.compress_type}", expected="stored or deflated"
                )
            by_name[member.filename] = member
    for name in (CONFIG, WEIGHTS):
        if name not in by_name:
            held = ", ".join(quoted(member.filename, 40) for member in members[:6]) or "nothing"
            raise ContainerError(f"not a Keras archive: {name} is missing", found=held)
    return archive, by_name


def _size_of_directory(path: Path) -> int:
    """How many bytes the end record gives to the directory, which `zipfile` reads at once; 0 if there is no record."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 256))
        tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + 16:
        return 0
    large = tail.rfind(b"PK\x06\x06", 0, place)
    sizes = [int(struct.unpack("<L", tail[place + 12 : place + 16])[0])]
    if large >= 0 and len(tail) >= large + 48:
        sizes.append(int(struct.unpack("<Q", tail[large + 40 : large + 48])[0]))
    return max(size for size in sizes if size != 0xFFFFFFFF or len(sizes) == 1)


def _text(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A small member, counted while it streams: what the directory says of its size need not be true."""
    try:
        with archive.open(member) as stream:
            text = stream.read(LARGEST_JSON + 1)
    except _BROKEN:
        raise ContainerError("is damaged in the archive", address=member.filename) from None
    if len(text) > LARGEST_JSON:
        raise UnsafeError(
            "is too large",
            address=member.filename,
            expected=f"at most {LARGEST_JSON // MIB} MiB",
            found=f"{max(member.file_size, len(text)) // MIB} MiB or more",
        )
    return text


def _weights(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> io.BufferedIOBase:
    """The weights as a seekable file: in place if they are stored, else inflated into an unnamed temporary file."""
    if _stored(member):
        return io.BufferedReader(_window(path, archive, member), 1 << 16)
    try:
        with archive.open(member) as stream:
            limit = max(ALWAYS_ALLOWED, LARGEST_EXPANSION * member.compress_size)
            inflated = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115  (it lives as long as its reader)
            size = 0
            while chunk := stream.read(MIB):
                size += len(chunk)
                if size > limit:
                    raise UnsafeError(
                        "is too large for what is stored",
                        address=member.filename,
                        expected=f"at most {limit // MIB} MiB out of {member.compress_size // 1024} KiB",
                        found="more",
                    )
                inflated.write(chunk)
            inflated.seek(0)
            return cast(io.BufferedIOBase, inflated)
    except _BROKEN:
        raise ContainerError("is damaged in the archive", address=member.filename) from None


def _stored(member: zipfile.ZipInfo) -> bool:
    return member.compress_type == zipfile.ZIP_STORED and member.file_size == member.compress_size


def _window(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Window:
    """The bytes of a stored member."""
    try:
        archive.open(member).close()  # compares the member's own header with the directory
        file = path.open("rb")
        return Window(file, _start_of(file, member), member.file_size)
    except _BROKEN:
        raise ContainerError("is damaged in the archive", address=member.filename) from None


def _start_of(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: behind its local header of 30 bytes, its name and its extra field."""
    file.seek(member.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    return int(member.header_offset + 30 + name + extra)
