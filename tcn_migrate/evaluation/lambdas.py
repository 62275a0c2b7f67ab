"""Lambdas: the formula that was read from the stored code, computed and not drawn.

The reading of the code is shared with the migration; what a function computes is not. Source of `keras.backend`:
keras/backend/tensorflow_backend.py (2.3), keras/src/backend.py (2.15).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.config.lambdas.expressions import Apply, Argument, Constant, Expression, Index, Items, Slice
from tcn_migrate.config.lambdas.functions import MORE_OF_TENSORFLOW, OPS
from tcn_migrate.config.lambdas.replace import formula_in
from tcn_migrate.config.operators.backend import BACKEND
from tcn_migrate.errors import MigrationError
from tcn_migrate.evaluation.operators import FUNCTIONS, Given, as_array
from tcn_migrate.evaluation.table import Arguments, Layer, computes
from tcn_migrate.evaluation.tensors import UNCLEAR, Tensor

_FORMER = {"keep_dims": "keepdims", "reduction_indices": "axis", "dim": "axis"}
_RENAMED: dict[str, tuple[str, str, Mapping[str, Any]]] = {
    # function of keras.backend or keras.ops: TensorFlow's, its parameters in order, values where none is given
    "argmax": ("argmax", "input axis", {"axis": -1}),
    "argmin": ("argmin", "input axis", {"axis": -1}),
    "batch_flatten": ("batch_flatten", "x", {}),
    "bias_add": ("bias_add", "value bias", {}),
    "cast": ("cast", "x dtype", {}),
    "concatenate": ("concat", "values axis", {"axis": -1}),
    "cumprod": ("cumprod", "x axis", {}),
    "cumsum": ("cumsum", "x axis", {}),
    "divide": ("truediv", "x y", {}),
    "expand_dims": ("expand_dims", "input axis", {"axis": -1}),
    "floor_divide": ("floordiv", "x y", {}),
    "gather": ("gather", "params indices", {}),
    "identity": ("identity", "input", {}),
    "int_shape": ("shape", "input", {}),
    "l2_normalize": ("l2_normalize", "x axis", {}),
    "matmul": ("matmul", "a b", {}),
    "mod": ("floormod", "x y", {}),
    "one_hot": ("one_hot", "indices depth", {}),
    "ones_like": ("ones_like", "input", {}),
    "permute_dimensions": ("transpose", "a perm", {}),
    "pow": ("pow", "x y", {}),
    "power": ("pow", "x y", {}),
    "repeat_elements": ("repeat", "input repeats axis", {}),
    "reshape": ("reshape", "tensor shape", {}),
    "reverse": ("reverse", "tensor axis", {}),
    "shape": ("shape", "input", {}),
    "softmax": ("softmax", "logits axis", {"axis": -1}),
    "squeeze": ("squeeze", "input axis", {}),
    "stack": ("stack", "values axis", {}),
    "stop_gradient": ("stop_gradient", "input", {}),
    "tile": ("tile", "input multiples", {}),
    "transpose": ("transpose", "a perm", {}),
    "true_divide": ("truediv", "x y", {}),
    "var": ("reduce_variance", "input_tensor axis keepdims", {}),
    "where": ("where", "condition x y", {}),
    "zeros_like": ("zeros_like", "input", {}),
    **{
        name: (f"reduce_{name}", "input_tensor axis keepdims", {})
        for name in ("all", "any", "logsumexp", "max", "mean", "min", "prod", "std", "sum")
    },
}


def _clip(given: Given) -> Array:
    low, high = given.plain("min_value", given.plain("x_min")), given.plain("max_value", given.plain("x_max"))
    if low is not None and high is not None and high < low:
        high = low
    return np.clip(given.array("x"), low, high)


def _relu(given: Given) -> Array:
    x, slope = given.array("x"), given.plain("alpha", 0) or 0
    threshold, largest = given.plain("threshold", 0) or 0, given.plain("max_value")
    y = np.where(x >= threshold, x, slope * (x - threshold))
    return y if largest is None else np.minimum(y, largest)


def _elu(given: Given) -> Array:
    x = given.array("x")
    return np.where(x > 0, x, given.plain("alpha", 1.0) * np.expm1(np.minimum(x, 0)))


def _dot(given: Given) -> Array:
    x, y = given.array("x"), given.array("y")
    given.layer.setting.arithmetic.count(x.size * y.shape[-1])
    return given.layer.rounded(np.dot(given.layer.terms(x, x.shape[-1]), y))


def _batch_dot(given: Given) -> Array:
    x, y, axes = given.array("x"), given.array("y"), given.plain("axes")
    first, second = axes if isinstance(axes, list) else (axes, axes)
    x = np.moveaxis(given.layer.terms(x, x.shape[first]), first, -1)
    y = np.moveaxis(y, second, 1)
    products = np.stack([np.tensordot(one, other, (-1, 0)) for one, other in zip(x, y, strict=True)])
    return products[:, None] if products.ndim == 1 else products


def _resize_images(given: Given) -> Array:
    y = np.repeat(given.array("x"), int(given.plain("height_factor", 1)), axis=1)
    return np.repeat(y, int(given.plain("width_factor", 1)), axis=2)


_OWN: dict[str, Callable[[Given], Any]] = {
    "batch_dot": _batch_dot,
    "clip": _clip,
    "constant": lambda given: given.array("value"),
    "dot": _dot,
    "elu": _elu,
    "flatten": lambda given: given.array("x").reshape(-1),
    "hard_sigmoid": lambda given: np.clip(0.2 * given.array("x") + 0.5, 0, 1),
    "relu": _relu,
    "repeat": lambda given: np.repeat(given.array("x")[:, None], int(given.plain("n", 1)), axis=1),
    "resize_images": _resize_images,
    "sqrt": lambda given: np.sqrt(np.maximum(given.array("x"), 0)),
}
"""Functions of keras.backend that are none of TensorFlow's under another name."""


_MERGES: dict[str, Callable[[Array, Array], Any]] = {
    **{"add": np.add, "add_n": np.add, "average": np.add, "maximum": np.maximum, "minimum": np.minimum},
    **{"multiply": np.multiply, "subtract": np.subtract},
}


@computes("Lambda")
def lambda_layer(layer: Layer, arguments: Arguments) -> list[Tensor]:
    """What the stored code computes of the tensor, or of the list of tensors, that the layer is called on."""
    keras = layer.setting.keras
    version = ".".join(map(str, keras)) + ("-tf" if layer.setting.is_tf and keras < (2, 4) else "")
    try:
        formula = formula_in(layer.entry, "", version)
    except MigrationError:
        raise layer.unproven("its code has no formula") from None
    if formula.draws_noise:
        raise layer.unproven("it draws random numbers")
    given = arguments.args[0]
    made = _Computation(layer, given).value(formula.value)
    masked = isinstance(formula.value, Argument) and getattr(given, "mask", None) is not None
    outputs = made if isinstance(made, list) else [made]
    return [Tensor(as_array(layer, one), UNCLEAR if masked else None) for one in outputs]


class _Computation:
    """One call of a Lambda: every part of the formula is computed once."""

    def __init__(self, layer: Layer, argument: Any) -> None:
        self.layer, self.argument = layer, argument
        self.values: dict[int, Any] = {}

    def value(self, expression: Expression) -> Any:
        if id(expression) not in self.values:
            self.values[id(expression)] = self.computed(expression)
        return self.values[id(expression)]

    def computed(self, expression: Expression) -> Any:
        match expression:
            case Argument():
                return self.argument
            case Constant(value):
                return value
            case Items(values):
                return [self.value(one) for one in values]
            case Slice(parts):
                return slice(
                    *(None if (side := self.value(part)) is None else int(self.number(side)) for part in parts)
                )
            case Index(of, key):
                return self.indexed(self.value(of), self.value(key))
            case Apply():
                return self.applied(expression)
        raise self.layer.unproven("its formula has a part that is not computed here")

    def number(self, value: Any) -> Any:
        return value.values if isinstance(value, Tensor) else value

    def indexed(self, of: Any, key: Any) -> Any:
        if isinstance(of, list):
            return of[key if isinstance(key, slice) else int(self.number(key))]
        keys = [self.number(one) for one in (key if isinstance(key, list) else [key])]
        return Tensor(np.asarray(as_array(self.layer, of)[tuple(keys)]))

    def applied(self, call: Apply) -> Any:
        values = dict(zip(call.function.parameters, map(self.value, call.arguments), strict=False))
        for name, argument in call.keywords:
            if name != "name":
                values[name if name in call.function.parameters else _FORMER.get(name, name)] = self.value(argument)
        made = self.of_function(call, values)
        if isinstance(made, list):
            outputs = [Tensor(np.asarray(one)) for one in made]
            return outputs if call.several or len(outputs) > 1 else outputs[0]
        return Tensor(np.asarray(made))

    def merged(self, call: Apply, terms: list[Array]) -> Array:
        """A merge of Keras, by the name of its function."""
        compute = _MERGES.get(call.name)
        if compute is None:
            raise self.layer.unproven(f"its function {call.text} has no evaluation")
        made = terms[0]
        for term in terms[1:]:
            made = self.layer.rounded(np.asarray(compute(made, term)))
        return made / len(terms) if call.name == "average" else made

    def of_function(self, call: Apply, values: dict[str, Any]) -> Any:
        if call.function.parameters == ("inputs",):
            return self.merged(call, [as_array(self.layer, one) for one in values["inputs"]])
        if call.function is MORE_OF_TENSORFLOW["concat"]:
            return FUNCTIONS["concat"][1](
                Given(self.layer, {"values": values["inputs"], "axis": values.get("axis", -1)})
            )
        if BACKEND.get(call.name) is call.function or OPS.get(call.name) is call.function:
            own = _OWN.get(call.name) if BACKEND.get(call.name) is call.function or call.name == "clip" else None
            if own is not None:
                return own(Given(self.layer, values))
            name, parameters, defaults = _RENAMED.get(call.name, (call.name, "", {}))
            names = dict(zip(call.function.parameters, parameters.split(), strict=False))
            given = [(key, value) for key, value in values.items() if value is not None]
            values = {**defaults, **{names.get(key, key): value for key, value in given}}
            if name not in FUNCTIONS or not parameters:
                values = dict(zip(FUNCTIONS.get(name, ((), None))[0], values.values(), strict=False))
        else:
            name = call.name
        if name not in FUNCTIONS:
            raise self.layer.unproven(f"its function {call.text} has no evaluation")
        return FUNCTIONS[name][1](Given(self.layer, values))
