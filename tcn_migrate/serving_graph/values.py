"""What flows along the edges of a graph: arrays, handles of variables and tables, lists of tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.serving_graph.limits import Budget, NotInterpreted
from tcn_migrate.serving_graph.messages import Node


@dataclass(frozen=True)
class Variable:
    """The handle of a variable: its name in messages, and what reads its values."""

    name: str
    read: Callable[[], Array] = field(repr=False, compare=False)


@dataclass
class Table:
    """A lookup table; `entries` are set when it is initialized."""

    name: str
    entries: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TensorList:
    """A list of tensors of one shape, as recurrent layers collect their steps in; None where nothing was set.

    Source: tensorflow/core/kernels/list_kernels.cc.
    """

    items: tuple[Array | None, ...]
    dtype: type[Any]
    shape: tuple[int | None, ...] | None


Value = Array | Variable | Table | TensorList
Result = Value | list[Value] | dict[str, Value | list[Value]]
"""One value; the values of an operation whose only output is a list; or values by the names of the outputs."""


class Runner(Protocol):
    """What an operation may use beyond its inputs."""

    @property
    def budget(self) -> Budget: ...

    def call(self, function: str, arguments: list[Value], node: Node) -> list[Value]:
        """Runs a function of the library."""


Operation = Callable[..., Result]
"""Takes a Runner, the Node and its inputs, and returns what the node computes."""


def array(value: Value, node: Node) -> Array:
    """An input that has to be a tensor."""
    if not isinstance(value, np.ndarray):
        raise NotInterpreted(f"operation {node.op!r} on a {type(value).__name__}", node=node.name)
    return value


def whole(value: Value, node: Node) -> int:
    """An input that has to be one whole number."""
    got = array(value, node)
    if got.size != 1 or got.dtype.kind not in "iu":
        raise NotInterpreted(f"operation {node.op!r} where one whole number is needed", node=node.name)
    return int(got.reshape(())[()])


def wholes(value: Value, node: Node) -> list[int]:
    """An input that has to be whole numbers: a shape, axes, sizes."""
    got = array(value, node)
    if got.dtype.kind not in "iu" or got.size > 1024:
        raise NotInterpreted(f"operation {node.op!r} where whole numbers are needed", node=node.name)
    return [int(item) for item in got.reshape(-1)]
