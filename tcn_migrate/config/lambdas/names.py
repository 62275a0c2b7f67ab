"""What global names in a Lambda's function stand for.

A code object holds names, not what they stood for. `K` is taken for `keras.backend`, `tf` for TensorFlow, and so on, as
nearly every published model has it; a repair names each alias that it relied on. Any other global name is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np

from tcn_migrate.config.catalogue.settings import words
from tcn_migrate.config.lambdas.expressions import Plain
from tcn_migrate.config.lambdas.functions import MORE_OF_TENSORFLOW, OPS
from tcn_migrate.config.operators.backend import BACKEND, renamed
from tcn_migrate.config.operators.calls import Function
from tcn_migrate.config.operators.functions import ALIASES, FUNCTIONS

MODULES = {
    "K": "keras.backend",
    "activations": "keras.activations",
    "backend": "keras.backend",
    "keras": "keras",
    "layers": "keras.layers",
    "math": "math",
    "np": "numpy",
    "numpy": "numpy",
    "ops": "keras.ops",
    "tensorflow": "tensorflow",
    "tf": "tensorflow",
}
"""Global name -> the module that it is taken for."""

BUILTINS = frozenset({"abs", "float", "int", "len", "pow", "sum"})

_TENSORFLOW = re.compile(r"tensorflow\.(?:compat\.v[12]\.)?(?:(?:math|nn|linalg)\.)?(\w+)")
_DTYPES = words("bool float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bfloat16")
_CONSTANTS: dict[str, Plain] = {
    "math.e": math.e,
    "math.inf": math.inf,
    "math.pi": math.pi,
    "numpy.e": math.e,
    "numpy.inf": math.inf,
    "numpy.newaxis": None,
    "numpy.pi": math.pi,
    "tensorflow.newaxis": None,
}
_CALLED: dict[str, Plain] = {"keras.backend.epsilon": 1e-7, "keras.backend.floatx": "float32"}
"""What Keras's settings say unless they were changed."""
_OF_NUMBERS = words("abs ceil cos exp floor log log10 log2 sin sqrt tan tanh")
_MERGES = {
    "add": "add_n",
    "average": "average",
    "concatenate": "concat",
    "maximum": "maximum_of",
    "minimum": "minimum_of",
    "multiply": "multiply_of",
    "subtract": "subtract_of",
}
_ACTIVATIONS = words("elu exponential hard_sigmoid linear relu selu sigmoid softmax softplus softsign tanh")
_ROWS = {
    "keras.activations.exponential": renamed("exp", "x"),
    "keras.activations.gelu": renamed("gelu", "x=features approximate"),
    "keras.activations.linear": renamed("identity", "x=input"),
    "keras.activations.selu": renamed("selu", "x"),
    "keras.activations.swish": renamed("silu", "x=features"),
}
_SEVERAL = frozenset({"split", "unstack"})


def canonical(path: str) -> str:
    """One path for a module that has several: TensorFlow's Keras is Keras."""
    path = re.sub(r"^(tensorflow\.python\.keras|tensorflow\.keras|tf_keras)(?=\.|$)", "keras", path)
    return re.sub(r"^keras\.(?:api\._v[12]\.keras|src)\.", "keras.", path)


def constant_named(path: str) -> tuple[bool, Plain]:
    """Whether a path is a constant, and its value; a type is its name."""
    if path in _CONSTANTS:
        return True, _CONSTANTS[path]
    module, _, name = path.rpartition(".")
    if module in ("tensorflow", "numpy", "tensorflow.dtypes") and name in _DTYPES:
        return True, name
    return False, None


def called_with_nothing(path: str) -> tuple[bool, Plain]:
    """Whether a path is a function that gives one of Keras's settings, and its value."""
    return path in _CALLED, _CALLED.get(path)


def number_function(path: str) -> Callable[[float], float] | None:
    """A function of Python or NumPy on one number, which gives a number."""
    module, _, name = path.rpartition(".")
    if module in ("math", "numpy") and name in _OF_NUMBERS:
        return lambda value: float(getattr(np, name)(value))
    if module == "numpy" and name in ("float32", "float64"):
        return lambda value: float(getattr(np, name)(value))
    if path in ("float", "numpy.int32", "numpy.int64", "int"):
        return float if path == "float" else int
    return None


def is_array(path: str) -> bool:
    """Whether a function only makes an array of the numbers that it is given."""
    return path in ("numpy.array", "numpy.asarray", "tensorflow.constant", "tensorflow.convert_to_tensor")


def function_named(path: str) -> tuple[str, Function, bool] | None:
    """The row of a function: its name in the tables, the row, and whether it returns a list even of one.

    Args:
        path: such as "keras.backend.mean" or "tensorflow.nn.softmax".
    """
    module, _, name = path.rpartition(".")
    if path in _ROWS:
        return name, _ROWS[path], False
    if module == "keras.backend" or (module == "keras.activations" and name in _ACTIVATIONS):
        row = MORE_OF_TENSORFLOW.get("random.normal") if name == "random_normal" else BACKEND.get(name)
        return None if row is None else (name, row, False)
    if module == "keras.ops":
        row = OPS.get(name)
        return None if row is None else (name, row, name in _SEVERAL)
    if module in ("keras.layers", "keras.layers.merge") and name in _MERGES:
        return name, MORE_OF_TENSORFLOW[_MERGES[name]], False
    if path == "abs":
        return "abs", FUNCTIONS["abs"], False
    inner = path.removeprefix("tensorflow.")
    if path.startswith("tensorflow.") and inner in MORE_OF_TENSORFLOW:
        return name, MORE_OF_TENSORFLOW[inner], False
    if path.startswith("tensorflow.image."):
        return None if inner not in FUNCTIONS else (name, FUNCTIONS[inner], False)
    found = _TENSORFLOW.fullmatch(path)
    if found is None:
        return None
    own = ALIASES.get(found[1], found[1])
    row = FUNCTIONS.get(own)
    return None if row is None or own == "getitem" else (own, row, own in _SEVERAL)
