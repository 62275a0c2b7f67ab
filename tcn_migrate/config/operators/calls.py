"""One call of a function of TensorFlow on tensors, and what may be among its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import Drawing, is_tensor
from tcn_migrate.config.graph.rewrite import Outputs


class Untranslatable(Exception):
    """Why a call has no counterpart, in words that follow the function's name."""


@dataclass(frozen=True)
class Size:
    """The length of an axis of the tensor `of`, which is known only when the model runs."""

    axis: int
    of: Json | None = None


class Sizes:
    """The lengths of a tensor's axes from one on, known only when the model runs; of all axes `of` says of what."""

    def __init__(self, first: int = 0, of: Json | None = None) -> None:
        self.first, self.of = first, of

    def __getitem__(self, index: int) -> Size:
        return Size(self.first + index, self.of)


class Several:
    """The outputs of one operation whose number only Keras knows."""

    def __init__(self, first: Json) -> None:
        self.first = first

    def __getitem__(self, index: int) -> Json:
        place = list(self.first["config"]["keras_history"])
        place[2] = index
        return type(self.first)({**self.first, "config": {**self.first["config"], "keras_history": place}})


class Call:
    """One call of a function.

    Args:
        drawing: what operations are drawn into.
        name: the layer's name, which the last operation gets.
        values: the arguments by the parameters' names; None counts as not given.
        half_precision: whether the layer computes in float16.
    """

    def __init__(self, drawing: Drawing, name: str, values: Mapping[str, Any], *, half_precision: bool = False) -> None:
        self.drawing, self.name, self.half_precision = drawing, name, half_precision
        self.values = {key: value for key, value in values.items() if value is not None}

    def step(self, kind: str, *arguments: Any, **settings: Any) -> Json:
        """An operation on the way."""
        name = f"{self.name}_{kind.rpartition('.')[2].lower()}"
        return self.drawing.operation(kind, *arguments, name=name, **settings)

    def last(self, kind: str, *arguments: Any, **settings: Any) -> Json:
        """The operation that gives the result."""
        return self.drawing.operation(kind, *arguments, name=self.name, **settings)

    def given(self, name: str) -> bool:
        return name in self.values

    def tensor(self, name: str) -> Any:
        """An argument that may be a tensor or a constant."""
        if name not in self.values:
            raise Untranslatable(f"its argument {name} is not in the file")
        return self.operand(self.values[name])

    def tensors(self, name: str) -> list[Any]:
        """An argument that is one or several tensors or constants."""
        value = self.values.get(name)
        if value == []:
            raise Untranslatable(f"its argument {name} is empty")
        return [self.operand(one) for one in value] if isinstance(value, list) else [self.tensor(name)]

    def whole(self, name: str, default: int) -> int:
        value = self.values.get(name, default)
        if not is_whole(value):
            raise Untranslatable(f"its argument {name} is no whole number that stands in the file")
        return int(value)

    def wholes(self, name: str) -> list[int]:
        value = self.values.get(name)
        value = [value] if is_whole(value) else value
        if not isinstance(value, list) or not all(is_whole(one) for one in value):
            raise Untranslatable(f"its argument {name} is no list of whole numbers that stands in the file")
        return [int(one) for one in value]

    def number(self, name: str, default: float) -> float:
        value = self.values.get(name, default)
        if not is_number(value):
            raise Untranslatable(f"its argument {name} is no number that stands in the file")
        return float(value) if isinstance(value, float) else int(value)

    def flag(self, name: str) -> bool:
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise Untranslatable(f"its argument {name} is neither true nor false")
        return value

    def axes(self, name: str = "axis") -> int | list[int] | None:
        """None for all axes."""
        if name not in self.values:
            return None
        axes = self.wholes(name)
        return axes[0] if len(axes) == 1 else axes

    def operand(self, value: Any) -> Any:
        """A tensor as it is, a number as it is, numbers in lists as an array.

        The file does not say an array's type. Whole numbers are int32, which Keras converts as TensorFlow did; others
        float32, or float16 in a layer that computes so, if float16 holds them exactly: float32 would turn all that
        follows into float32.
        """
        if is_tensor(value) or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Size | Sizes):
            raise Untranslatable("it computes with a length that is known only when the model runs")
        if not isinstance(value, list):
            raise Untranslatable("one of its arguments is neither a tensor nor a number")
        numbers = _numbers(value)
        if numbers and all(isinstance(number, bool) for number in numbers):
            kind = "bool"
        elif all(is_whole(number) for number in numbers):
            kind = "int32"
        elif self.half_precision and np.array_equal(np.array(numbers, "float16"), np.array(numbers, "float64")):
            kind = "float16"
        else:
            kind = "float32"
        return {"class_name": "__numpy__", "config": {"value": value, "dtype": kind}}

    def only(self, name: str, *allowed: Any) -> None:
        """Refuse any value but these and none."""
        if name in self.values and self.values[name] not in allowed:
            raise Untranslatable(f"its argument {name} has a value that is not known")


def _numbers(value: list[Any]) -> Sequence[Any]:
    found: list[Any] = []
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, bool | int | float):
            found.append(one)
        else:
            raise Untranslatable("one of its arguments is a list of something else than numbers")
    return found


def is_number(value: Any) -> bool:
    """A finite number of ordinary size, which JSON does not promise."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


Draw = Callable[[Call], Any]


@dataclass(frozen=True)
class Function:
    """A function's parameters in order, and how it is drawn: to one tensor, or to a list of outputs."""

    parameters: tuple[str, ...]
    draw: Draw


def entering(table: dict[str, Function], names: str, parameters: str) -> Callable[[Draw], Draw]:
    """A decorator that enters a function into a table under one or more names."""

    def enter(draw: Draw) -> Draw:
        for name in names.split():
            table[name] = Function(tuple(parameters.split()), draw)
        return draw

    return enter


def outputs_of(function: Function, call: Call) -> Outputs:
    """Draw a call and return its outputs."""
    result = function.draw(call)
    return result if isinstance(result, list | Several) else [result]
