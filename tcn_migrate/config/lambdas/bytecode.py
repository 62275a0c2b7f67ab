"""A Python function out of a file, read as data.

Keras stores a Lambda's function as the marshalled code object of the Python that saved it. `marshal.loads` must not see
bytes of a stranger, and understands one Python's format only. What follows reads the few types that occur in small
functions, for CPython 3.6 to 3.13, and never makes a code object: its result is a value to compare with.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import EllipsisType
from typing import TypeAlias

Constant: TypeAlias = "int | float | str | bytes | bool | EllipsisType | InnerFunction | tuple[Constant, ...] | None"

LARGEST = 64 * 1024
"""Bytes; the functions that are known here have at most a few kB, their docstrings and paths included."""
_DEEPEST = 8


@dataclass(frozen=True)
class InnerFunction:
    """A function among the constants of another: a comprehension, a lambda or a def, read and forgotten."""


@dataclass(frozen=True)
class Function:
    """The fields of a code object that say what it computes.

    Attributes:
        layout: the first Python whose code objects are laid out like this one: "3.6", "3.8" or "3.11".
        argument_count: how many arguments can be given by position.
        code: the instructions.
        constants: what the instructions name by number.
        names: global names and attributes, in order.
        variables: names of arguments and local variables, then (3.11 and later) those out of the closure.
        free: names out of the closure (up to 3.10; later they are among `variables`).
        cells: variables that inner functions use (up to 3.10), which are numbered before `free`.
    """

    layout: str
    argument_count: int
    code: bytes
    constants: tuple[Constant, ...]
    names: tuple[str, ...]
    variables: tuple[str, ...]
    free: tuple[str, ...]
    cells: tuple[str, ...] = ()


class _Unreadable(Exception):
    """Not a small function of the layout that was tried."""


def read_function(marshalled: bytes) -> Function | None:
    """The code object in `marshalled`, or None if it is anything else than one small function.

    The three layouts differ in their fields, not in a version number; the right one is that whose fields have the right
    types and which ends with the last byte.
    """
    if len(marshalled) > LARGEST:
        return None
    for layout in ("3.6", "3.8", "3.11"):
        reader = _Reader(marshalled, layout)
        try:
            function = reader.function()
        except (_Unreadable, struct.error, UnicodeDecodeError):
            continue
        if reader.position == len(marshalled):
            return function
    return None


class _Reader:
    """Marshal's format, version 4, little endian (CPython, Python/marshal.c)."""

    def __init__(self, data: bytes, layout: str) -> None:
        self.data, self.position, self.references = data, 0, list[Constant]()
        self.layout = layout

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.position:
            raise _Unreadable
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self) -> int:
        return int(struct.unpack("<i", self.take(4))[0])

    def function(self) -> Function:
        kind = self.take(1)[0]
        if kind & 0x7F != ord("c"):
            raise _Unreadable
        if kind & 0x80:
            self.references.append(None)
        function, by_name_only, flags = self.fields(0)
        is_generator_or_coroutine = flags & 0x2A0
        if by_name_only or is_generator_or_coroutine:
            raise _Unreadable
        return function

    def fields(self, depth: int) -> tuple[Function, int, int]:
        """A code object, its count of arguments that are given by name alone, and its flags."""
        layout = self.layout
        arguments = self.number()
        by_position_only = self.number() if layout != "3.6" else 0
        by_name_only = self.number()
        if layout != "3.11":
            self.number()  # how many local variables
        _stack_size, flags = self.number(), self.number()
        code, constants = self.bytes_(depth), self.constants(depth)
        names, variables = self.names(depth), self.names(depth)
        free: tuple[str, ...] = ()
        cells: tuple[str, ...] = ()
        if layout == "3.11":
            self.bytes_(depth)  # kinds of the variables
        else:
            free, cells = self.names(depth), self.names(depth)
        self.text(depth)  # file
        self.text(depth)  # name
        if layout == "3.11":
            self.text(depth)  # qualified name
        self.number()  # first line
        self.bytes_(depth)  # lines
        if layout == "3.11":
            self.bytes_(depth)  # exceptions
        if by_position_only > arguments:
            raise _Unreadable
        return Function(layout, arguments, code, constants, names, variables, free, cells), by_name_only, flags

    def value(self, depth: int = 0) -> Constant:
        """The next object; a reference's number is given before its content is read, so inner ones number on."""
        if depth > _DEEPEST:
            raise _Unreadable
        kind = self.take(1)[0]
        if kind == ord("r"):
            number = self.number()
            if not 0 <= number < len(self.references):
                raise _Unreadable
            return self.references[number]
        place = len(self.references)
        if kind & 0x80:
            self.references.append(None)
        value = self.content(chr(kind & 0x7F), depth)
        if kind & 0x80:
            self.references[place] = value
        return value

    def content(self, kind: str, depth: int) -> Constant:
        match kind:
            case "N":
                return None
            case "T" | "F":
                return kind == "T"
            case ".":
                return ...
            case "i":
                return self.number()
            case "g":
                return float(struct.unpack("<d", self.take(8))[0])
            case "s":
                return self.take(self.number())
            case "a" | "A":
                return self.take(self.number()).decode("ascii")
            case "z" | "Z":
                return self.take(self.take(1)[0]).decode("ascii")
            case "u" | "t":
                return self.take(self.number()).decode("utf-8", "surrogatepass")
            case "c":
                self.fields(depth + 1)
                return InnerFunction()
            case ")" | "(":
                count = self.take(1)[0] if kind == ")" else self.number()
                if not 0 <= count <= len(self.data) - self.position:
                    raise _Unreadable
                return tuple(self.value(depth + 1) for _ in range(count))
        raise _Unreadable

    def bytes_(self, depth: int) -> bytes:
        value = self.value(depth)
        if not isinstance(value, bytes):
            raise _Unreadable
        return value

    def text(self, depth: int) -> str:
        value = self.value(depth)
        if not isinstance(value, str):
            raise _Unreadable
        return value

    def constants(self, depth: int) -> tuple[Constant, ...]:
        value = self.value(depth)
        if not isinstance(value, tuple):
            raise _Unreadable
        return value

    def names(self, depth: int) -> tuple[str, ...]:
        values = self.constants(depth)
        if not all(isinstance(value, str) for value in values):
            raise _Unreadable
        return tuple(str(value) for value in values)
