"""What a Lambda's function computes: a formula over its arguments, which is read from bytecode and never run.

A part that occurs twice in a formula (a local variable) is one object, so a formula is a graph and not a tree. It is
compared by identity, and its text is bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import EllipsisType
from typing import TypeAlias

from tcn_migrate.config.operators.calls import Function
from tcn_migrate.errors import quoted

Plain: TypeAlias = "int | float | str | bool | EllipsisType | None"


@dataclass(frozen=True, eq=False)
class Argument:
    """What the layer is called on: a tensor, or a list of tensors."""

    name: str


@dataclass(frozen=True, eq=False)
class Constant:
    """A number, a string, a truth value, None or `...`."""

    value: Plain


@dataclass(frozen=True, eq=False)
class Items:
    """A tuple or a list.

    Attributes:
        values: what is in it.
        brackets: of a tuple or of a list.
        literal: whether it was one in the code, and did not come out of the file as JSON.
        size: how many values are in it at any depth, counted as often as they occur.
    """

    values: tuple[Expression, ...]
    brackets: str = "()"
    literal: bool = True
    size: int = 1


@dataclass(frozen=True, eq=False)
class Slice:
    """`start:stop` or `start:stop:step`."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, eq=False)
class Name:
    """A module, or something in one.

    Attributes:
        path: where it really is, such as "keras.backend.mean".
        text: as it stands in the code, such as "K.mean".
    """

    path: str
    text: str


@dataclass(frozen=True, eq=False)
class Attribute:
    """`of.name`, where `of` is computed."""

    of: Expression
    name: str


@dataclass(frozen=True, eq=False)
class Apply:
    """A function of the operator tables, or an operator, on arguments.

    Attributes:
        name: the function's name in the tables; it names the operation in the new model.
        text: the function as it stands in the code, or an operator's sign.
        function: its row.
        place: the instruction, for a refusal.
        several: whether it returns a list even of one.
    """

    name: str
    text: str
    function: Function
    arguments: tuple[Expression, ...]
    keywords: tuple[tuple[str, Expression], ...] = ()
    place: str = ""
    several: bool = False


@dataclass(frozen=True, eq=False)
class Index:
    """`of[key]`, or one of the names that `of` is unpacked into, `count` in all."""

    of: Expression
    key: Expression
    place: str = ""
    count: int | None = None


Expression: TypeAlias = "Argument | Constant | Items | Slice | Name | Attribute | Apply | Index"

_LONGEST = 300
_DEEPEST = 40


def spelt(expression: Expression) -> str:
    """The formula as Python would write it, cut at 300 characters. Safe to print."""
    text = _Text()
    text.write(expression, 0)
    whole = "".join(text.parts)
    return whole if text.room > 0 else f"{whole[:_LONGEST]}…"


def plain_name(name: str) -> str:
    """A name out of the code, if it can be printed as it is."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,40}", name) else quoted(name, 40)


_BINDING = {"**": 6, "-x": 5, "~x": 5, "*": 4, "/": 4, "//": 4, "%": 4, "@": 4, "+": 3, "-": 3}
_BINDING |= {"&": 2, "^": 2, "|": 2, "<": 1, "<=": 1, ">": 1, ">=": 1, "==": 1, "!=": 1}


class _Text:
    """A text under way; writing stops when there is no room left."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.room = _LONGEST
        self.depth = 0

    def put(self, text: str) -> None:
        if self.room > 0:
            self.parts.append(text)
            self.room -= len(text)

    def write(self, expression: Expression, outer: int) -> None:
        """`outer`: how strongly what is around binds; what binds less gets parentheses."""
        if self.room <= 0:
            return
        if self.depth >= _DEEPEST:
            self.put("…")
            return
        self.depth += 1
        self.parted(expression, outer)
        self.depth -= 1

    def parted(self, expression: Expression, outer: int) -> None:
        match expression:
            case Argument(name):
                self.put(plain_name(name))
            case Constant(value):
                if value is ...:
                    self.put("...")
                elif isinstance(value, str):
                    self.put(quoted(value))
                else:
                    self.put(repr(value))
            case Items(values, brackets):
                self.put(brackets[0])
                self.several(values)
                self.put(",)" if brackets == "()" and len(values) == 1 else brackets[1])
            case Slice(parts):
                for number, part in enumerate(parts):
                    if number:
                        self.put(":")
                    if not (isinstance(part, Constant) and part.value is None):
                        self.write(part, 0)
            case Name(_, text):
                self.put(text)
            case Attribute(of, name):
                self.write(of, 9)
                self.put(f".{plain_name(name)}")
            case Index(of, key):
                self.write(of, 9)
                self.put("[")
                if isinstance(key, Items) and key.values and key.brackets == "()":
                    self.several(key.values)
                else:
                    self.write(key, 0)
                self.put("]")
            case Apply():
                self.call(expression, outer)

    def call(self, expression: Apply, outer: int) -> None:
        if expression.text == ".shape":
            self.write(expression.arguments[0], 9)
            self.put(".shape")
            return
        binding = _BINDING.get(expression.text)
        if binding is None:
            self.put(f"{expression.text}(")
            self.several(expression.arguments)
            for number, (name, value) in enumerate(expression.keywords):
                self.put(f"{', ' if number or expression.arguments else ''}{plain_name(name)}=")
                self.write(value, 0)
            self.put(")")
            return
        self.put("(" if binding < outer else "")
        if len(expression.arguments) == 1:
            self.put(expression.text[0])
            self.write(expression.arguments[0], binding)
        else:
            left, right = expression.arguments
            self.write(left, binding + (expression.text == "**"))
            self.put(f" {expression.text} ")
            self.write(right, binding + (expression.text != "**"))
        self.put(")" if binding < outer else "")

    def several(self, values: tuple[Expression, ...]) -> None:
        for number, value in enumerate(values):
            if number:
                self.put(", ")
            self.write(value, 0)
