"""Protocol buffers without their schema: the fields of a message, one after the other.

Source: https://protobuf.dev/programming-guides/encoding/. Only what TensorFlow's files use; groups (wire types 3 and 4)
were deprecated before TensorFlow existed and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from tcn_migrate.errors import ContainerError, UnsafeError

MAX_FIELDS = 1_000_000
"""Fields of one message. An object graph has one for each of its nodes: 10 000 layers have some 100 000."""

MOST_FIELDS = 3_000_000
"""Fields of all messages of one file. Models of 3 000 layers, which is the most, have some 1 200 000 with Adam.
Reading so many takes a few seconds; a file of 200 MB could hold 100 million."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Allowance:
    """How many fields of the messages of one file may still be read."""

    def __init__(self, left: int = MOST_FIELDS) -> None:
        self.left = left


def varint(data: memoryview, start: int) -> tuple[int, int]:
    """The variable-length integer (at most 64 bits) at `start`, and the position behind it.

    Raises:
        ContainerError: the data end within the integer, or it has more than 64 bits.
    """
    value = shift = 0
    for position in range(start, min(start + 10, len(data))):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position + 1
        shift += 7
    raise ContainerError("an integer is cut off or has more than 64 bits", address=f"byte {start} of a message")


def fields(message: bytes | memoryview, allowance: Allowance | None = None) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message in their order: (number, value).

    Integers and fixed-size numbers come as unsigned int, everything else (strings, bytes, messages) as a view of the
    bytes. Nothing is copied.

    Args:
        message: the bytes.
        allowance: of the file that the message is of; each field is taken from it.

    Raises:
        ContainerError: the message is cut off or none. Fields in front of the damage have been yielded by then.
        UnsafeError: more than `MAX_FIELDS` fields, or more than the file may have.
    """
    data = memoryview(message)
    position = count = 0
    while position < len(data):
        count += 1
        if count > MAX_FIELDS:
            raise UnsafeError("a message has too many fields", expected=f"at most {MAX_FIELDS}")
        if allowance is not None:
            allowance.left -= 1
            if allowance.left < 0:
                raise UnsafeError("its messages have too many fields in all", expected=f"at most {MOST_FIELDS}")
        tag, position = varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = varint(data, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = varint(data, position)
        elif kind == _FIXED32:
            size = 4
        elif kind == _FIXED64:
            size = 8
        else:
            raise ContainerError(f"not a protocol buffer: wire type {kind}", address=f"byte {position} of a message")
        if size > len(data) - position:
            raise ContainerError(
                "a field goes beyond the end of its message",
                address=f"byte {position} of a message",
                expected=f"at most {len(data) - position} bytes",
                found=f"{size} bytes",
            )
        content = data[position : position + size]
        position += size
        yield number, content if kind == _BYTES else int.from_bytes(content, "little")


def message_fields(
    message: bytes | memoryview, number: int, allowance: Allowance | None = None
) -> Iterator[memoryview]:
    """The values of the repeated field `number` that are strings, bytes or messages."""
    for found, value in fields(message, allowance):
        if found == number and isinstance(value, memoryview):
            yield value


def text(value: int | memoryview) -> str:
    """A string field. Raises ContainerError if it is not one, or not UTF-8."""
    if isinstance(value, memoryview):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            pass
    raise ContainerError("a string of a message is not UTF-8")
