"""From the formula of a Lambda to operations of Keras 3 in the model's graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import Drawing, is_tensor, sliced, tensors_in
from tcn_migrate.config.graph.rewrite import Outputs
from tcn_migrate.config.lambdas.evaluate import Formula
from tcn_migrate.config.lambdas.expressions import (
    Apply,
    Argument,
    Attribute,
    Constant,
    Expression,
    Index,
    Items,
    Name,
    Slice,
    spelt,
)
from tcn_migrate.config.operators.calls import (
    Call,
    Several,
    Size,
    Sizes,
    Untranslatable,
    is_number,
    is_whole,
    outputs_of,
)
from tcn_migrate.config.operators.replace import FORMER_PARAMETERS
from tcn_migrate.errors import quoted

_DEEPEST = 100


def drawn(drawing: Drawing, formula: Formula, argument: Any, name: str, *, half_precision: bool = False) -> Outputs:
    """Draw a formula.

    Args:
        drawing: what operations are drawn into.
        formula: as `evaluate.formula_of` gives it.
        argument: what the layer is called on: a tensor or a list of tensors.
        name: the layer's name, which the last operation gets.
        half_precision: whether the layer computes in float16.

    Returns:
        The outputs: several where the function returns a tuple.

    Raises:
        Untranslatable: in words that follow "its code".
    """
    under_way = _Drawing(drawing, argument, name, half_precision)
    value = under_way.value(formula.value, name, 0)
    outputs = value if isinstance(value, list | Several) else [value]
    if isinstance(outputs, list):
        if not (outputs and all(map(is_tensor, outputs))):
            raise Untranslatable("returns something that is no tensor")
        given = argument if isinstance(argument, list) else [argument]  # a copy of it has no mask
        return [drawing.operation("numpy.Copy", one, name=name) if one in given else one for one in outputs]
    return outputs


class _Drawing:
    """One call of a Lambda: every part of the formula is drawn once."""

    def __init__(self, drawing: Drawing, argument: Any, name: str, half_precision: bool) -> None:
        self.drawing, self.argument, self.name, self.half_precision = drawing, argument, name, half_precision
        self.values: dict[int, Any] = {}

    def value(self, expression: Expression, name: str, depth: int) -> Any:
        if depth > _DEEPEST:
            raise Untranslatable(f"is nested more than {_DEEPEST} deep")
        key = id(expression)
        if key not in self.values:
            self.values[key] = self.computed(expression, name, depth + 1)
        return self.values[key]

    def computed(self, expression: Expression, name: str, depth: int) -> Any:
        match expression:
            case Argument():
                return self.argument
            case Constant(value):
                return value
            case Items(values):
                return [self.value(one, name, depth) for one in values]
            case Slice(parts):
                sides = [self.value(part, name, depth) for part in parts]
                if not all(side is None or is_whole(side) for side in sides):
                    raise Untranslatable(f"slices by something that is no whole number: {spelt(expression)}")
                return slice(*sides)
            case Index():
                return self.indexed(expression, name, depth)
            case Apply():
                return self.applied(expression, name, depth)
            case Name(_, text):
                raise Untranslatable(f"uses {text} as a value")
            case Attribute(_, attribute):
                raise Untranslatable(f"uses the method {quoted(attribute)} as a value")

    def inner(self, expression: Expression, depth: int) -> Any:
        """A part of the formula; its operation is named after the layer and the function."""
        own = expression.name if isinstance(expression, Apply) else "part"
        return self.value(expression, f"{self.name}_{own}", depth)

    def applied(self, call: Apply, name: str, depth: int) -> Any:
        values: Json = {}
        for parameter, argument in zip(call.function.parameters, call.arguments, strict=False):
            values[parameter] = self.inner(argument, depth)
        for key, argument in call.keywords:
            parameter = key if key in call.function.parameters else FORMER_PARAMETERS.get(key, key)
            value = self.inner(argument, depth)
            if key == "name" or (value is None and parameter in call.function.parameters):
                continue
            if parameter not in call.function.parameters or parameter in values:
                raise Untranslatable(_refused(call, f"its argument {quoted(key)} is not known"))
            values[parameter] = value
        if call.function.parameters and not list(tensors_in(values)) and not _sizes_in(values):
            return _of_numbers(call, list(values.values()))
        try:
            outputs = outputs_of(call.function, Call(self.drawing, name, values, half_precision=self.half_precision))
        except Untranslatable as reason:
            raise Untranslatable(_refused(call, str(reason))) from None
        return outputs[0] if isinstance(outputs, list) and len(outputs) == 1 and not call.several else outputs

    def indexed(self, index: Index, name: str, depth: int) -> Any:
        of, key = self.inner(index.of, depth), self.inner(index.key, depth)
        if isinstance(of, list) and is_whole(key):
            if not -len(of) <= key < len(of) or index.count not in (None, len(of)):
                raise Untranslatable(f"takes more than there is: {spelt(index)}")
            return of[key]
        if isinstance(of, list) and isinstance(key, slice):
            return of[key]
        if isinstance(of, Several) and is_whole(key) and key >= 0:
            return of[key]
        if isinstance(of, Sizes) and is_whole(key) and key >= 0:
            return of[key]
        to_the_end = isinstance(key, slice) and key.step in (None, 1) and key.stop is None and (key.start or 0) >= 0
        if isinstance(of, Sizes) and to_the_end:
            return Sizes(of.first + (key.start or 0), of.of)
        if not is_tensor(of) or index.count is not None:
            raise Untranslatable(f"takes a part of something that is no tensor: {spelt(index)}")
        keys = key if isinstance(key, list) else [key]
        if not all(
            element is None or element is ... or isinstance(element, slice) or is_whole(element) for element in keys
        ):
            raise Untranslatable(f"takes elements that are known only when the model runs: {spelt(index)}")
        return sliced(self.drawing, of, keys, name)


_NUMBERS: dict[str, Callable[..., Any]] = {
    **{"abs": np.abs, "exp": np.exp, "log": np.log, "maximum": np.maximum, "minimum": np.minimum, "pow": np.power},
    **{"sqrt": np.sqrt, "square": np.square, "tanh": np.tanh, "negative": np.negative, "add": np.add},
    **{"subtract": np.subtract, "multiply": np.multiply, "truediv": np.true_divide},
}


def _of_numbers(call: Apply, values: list[Any]) -> Any:
    """A function on numbers alone, which TensorFlow computes in float32, and no operation of a graph can."""
    if call.name == "constant":
        return values[0]
    of_numbers = _NUMBERS.get(call.name)
    if of_numbers is None or not values or not all(map(is_number, values)) or all(map(is_whole, values)):
        raise Untranslatable(_refused(call, "it is applied to no tensor of the model"))
    with np.errstate(all="ignore"):
        result = float(of_numbers(*map(np.float32, values)))
    if not np.isfinite(result):
        raise Untranslatable(_refused(call, "its result is no number"))
    return result


def _sizes_in(values: Json) -> bool:
    """Whether sizes of tensors are among some arguments: what depends on them depends on a tensor."""
    waiting = list(values.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, Size | Sizes | Several):
            return True
        waiting += value if isinstance(value, list) else []
    return False


def _refused(call: Apply, reason: str) -> str:
    return f"applies {call.text}: {reason} ({call.place}; {spelt(call)})"
