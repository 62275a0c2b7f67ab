"""One function for each layer class, and what such a function gets."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array, Json
from tcn_migrate.evaluation.tensors import SINGLE, UNCLEAR, UNITS, Arithmetic, Tensor, Unproven, floating
from tcn_migrate.tcn.reading import TCNReading

Address = tuple[str, ...]
Calls = tuple[int, ...]
"""Which call of a layer, and of each model around it, the outermost first."""


@dataclass(frozen=True)
class Setting:
    """What holds for a whole evaluation.

    Attributes:
        keras: the version that wrote the file, such as (2, 15); (2,) or (3,) if it says no more.
        is_tf: whether that is TensorFlow's Keras and not the separate package up to 2.3.
        arrays: the source's arrays by address.
        tcns: what each TCN is, by its address, as read from the source.
        arithmetic: exact, or with rounding errors.
        record: called with the address of a layer, the numbers of the call, and its outputs.
        given: the outputs of calls that are not computed here, from elsewhere.
    """

    keras: tuple[int, ...]
    is_tf: bool
    arrays: Mapping[Address, Array]
    tcns: Mapping[Address, TCNReading]
    arithmetic: Arithmetic
    record: Callable[[Address, Calls, list[Any]], None]
    given: Mapping[tuple[Address, Calls], list[Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """One layer, as its function sees it.

    Attributes:
        entry: in normal form.
        address: of its variables.
        setting: of the evaluation.
        training: the `training` argument of the call, if it has one.
        policy: the dtype policy of the layer around it, for a part without one.
        calls: the numbers of this call; None inside of a wrapper, where nothing is recorded.
    """

    entry: Json
    address: Address
    setting: Setting
    training: bool = False
    policy: str = "float32"
    calls: Calls | None = ()

    @property
    def class_name(self) -> str:
        return str(self.entry["class_name"])

    @property
    def config(self) -> Json:
        config: Json = self.entry["config"]
        return config

    @property
    def keras_2(self) -> bool:
        return self.setting.keras[0] < 3

    @property
    def dtype(self) -> str:
        stored = self.config.get("dtype", self.policy)
        if isinstance(stored, Mapping):  # a TCN's, or an operator's, as it was stored
            inner = stored.get("config")
            stored = inner.get("name") if isinstance(inner, Mapping) else None
        return stored if isinstance(stored, str) else "float32"

    @property
    def unit(self) -> float:
        return UNITS.get(self.dtype, SINGLE)

    @property
    def half(self) -> bool:
        return self.dtype in ("float16", "mixed_float16")

    def get(self, key: str, default: Any) -> Any:
        """A setting; its default where the config does not have it."""
        return self.config.get(key, default)

    def at_least(self, *version: int) -> bool:
        """Whether the Keras that wrote the file is of this version or a later one.

        Raises:
            Unproven: the file does not say.
        """
        said = self.setting.keras
        if said[: len(version)] == version[: len(said)] and len(said) < len(version):
            raise self.unproven("it depends on the release of Keras, which the file does not say")
        return said >= version

    def weight(self, *path: str) -> Array | None:
        """A variable of the layer, or of a part of it, in float64; None if it has none of this name."""
        array = self.setting.arrays.get((*self.address, *path))
        return None if array is None else array

    def needed(self, *path: str) -> Array:
        """A variable that the layer cannot do without."""
        found = self.weight(*path)
        if found is None:
            raise self.unproven(f"its {path[-1]} is not in the file")
        return found

    def part(self, role: str, entry: Json) -> Layer:
        """A layer inside of this one."""
        return replace(self, entry=entry, address=(*self.address, role), policy=self.dtype, calls=None)

    def unproven(self, reason: str) -> Unproven:
        return Unproven(reason, "/".join(self.address), self.class_name)

    # arithmetic

    def rounded(self, values: Array, times: float = 1.0) -> Array:
        return self.setting.arithmetic.rounded(values, self.unit, times)

    def terms(self, values: Array, count: int) -> Array:
        return self.setting.arithmetic.terms(values, self.unit, count)

    def product(self, x: Array, matrix: Array) -> Array:
        """`x @ matrix`, over the last axis of x and the last but one of the matrix."""
        x = floating(x)
        self.setting.arithmetic.count(x.size * matrix.shape[-1])
        return self.rounded(np.matmul(self.terms(x, x.shape[-1]), floating(matrix)))

    def einsum(self, equation: str, *operands: Array) -> Array:
        """A product by an equation; the first operand has the rounding errors."""
        first, *others = map(floating, operands)
        inside, _, outside = equation.replace(" ", "").partition("->")
        names = inside.split(",")
        sizes = {
            name: size
            for one, values in zip(names, operands, strict=True)
            for name, size in zip(one, values.shape, strict=True)
        }
        count = int(np.prod([size for name, size in sizes.items() if name not in outside], dtype=np.int64))
        self.setting.arithmetic.count(math.prod(sizes.values()))
        return self.rounded(np.einsum(equation, self.terms(first, count), *others, optimize=True))

    def mean(self, values: Array, axis: int | tuple[int, ...], keepdims: bool = False) -> Array:
        """The mean over some axes."""
        axes = axis if isinstance(axis, tuple) else (axis,)
        count = int(np.prod([values.shape[one] for one in axes], dtype=np.int64))
        return self.rounded(self.terms(floating(values), count).mean(axis=axes, keepdims=keepdims))

    def used(self, mask: Any) -> Array | None:
        """A mask that the layer uses, as booleans."""
        if mask is UNCLEAR:
            raise self.unproven("releases of Keras differ in the mask that it uses")
        return None if mask is None else np.asarray(mask).astype(bool)


@dataclass(frozen=True)
class Arguments:
    """What a layer is called with: tensors, numbers, and lists of them.

    Attributes:
        args: in order.
        kwargs: by name.
    """

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def first(self) -> Any:
        if self.args:
            return self.args[0]
        return next((self.kwargs[key] for key in ("inputs", "query", "x") if key in self.kwargs), None)

    def tensor(self, layer: Layer) -> Tensor:
        """The one tensor that the layer is called on."""
        first = self.first
        if isinstance(first, list) and len(first) == 1:
            first = first[0]
        if not isinstance(first, Tensor):
            raise layer.unproven("it is called on something else than one tensor")
        return first

    def tensors(self, layer: Layer) -> list[Tensor]:
        """The tensors that the layer is called on."""
        found = self.first if isinstance(self.first, list) else [self.first]
        if not found or not all(isinstance(one, Tensor) for one in found):
            raise layer.unproven("it is called on something else than tensors")
        return list(found)


Function = Callable[[Layer, Arguments], Any]
"""Computes a call: a Tensor, or a list of them."""

LAYERS: dict[str, Function] = {}
"""By class."""


def computes(*class_names: str) -> Callable[[Function], Function]:
    """Enters a function into the table, for some classes."""

    def enter(function: Function) -> Function:
        for name in class_names:
            LAYERS[name] = function
        return function

    return enter


def elementary(*class_names: str, passes: bool = False) -> Callable[[Callable[[Layer, Array], Array]], Any]:
    """Enters a function of the values of one tensor.

    Args:
        class_names: the classes.
        passes: whether they pass the mask of their input on; else they end it.
    """

    def enter(function: Callable[[Layer, Array], Array]) -> Function:
        def call(layer: Layer, arguments: Arguments) -> Tensor:
            x = arguments.tensor(layer)
            return Tensor(np.asarray(function(layer, x.values)), x.mask if passes else None)

        computes(*class_names)(call)
        return call

    return enter


def sizes(value: Any, rank: int) -> tuple[int, ...]:
    """A size for each axis; Keras takes one number for all."""
    if isinstance(value, list | tuple):
        found = tuple(int(one) for one in value)
        return found * rank if len(found) == 1 else found
    return (int(value),) * rank


def version(keras_version: str) -> tuple[int, ...]:
    """(2, 4) of "2.4.0"; (2,) of "2"."""
    found = re.match(r"(\d{1,4})(?:\.(\d{1,4}))?", keras_version)
    return tuple(int(part) for part in found.groups() if part) if found else (2,)
