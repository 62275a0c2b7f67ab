"""What interpreting a stranger's graph may cost, by name.

A graph is a program: it may loop, call itself, and make tensors of any size from a few bytes. Every bound counts what
is done, never how long it takes, so that a result does not depend on the machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tcn_migrate.errors import MigrationError, quoted

LARGEST_GRAPH = 64 << 20
"""Bytes of `saved_model.pb`. One with the traces of 100 recurrent layers has some 50 MiB."""
MOST_FUNCTIONS = 50_000
"""Functions of a graph, most of which the signature does not reach."""
LARGEST_TENSOR = 1 << 23
"""Values of one tensor that is computed: 64 MiB in float64."""
LARGEST_VARIABLE = 1 << 25
"""Values of one variable, which the file really holds. The largest kernel of VGG16 has three times as many."""
LARGEST_RANK = 32
MOST_WEIGHTS = 1 << 26
"""Values of all variables that the signature captures, which are in memory in float64: 512 MiB."""
MOST_VALUES = 1 << 27
"""Values of all tensors that are computed together, each counted when it is made."""
MOST_KEPT = 1 << 24
"""Values of the tensors of all functions that are being run, which are in memory together: 128 MiB in float64."""
MOST_PRODUCTS = 1 << 33
"""Multiplications in matrix products and convolutions. ResNet-50 does half as many for an image of 224 x 224 pixels."""
MOST_NODES = 50_000
"""Nodes of the functions that are reached."""
MOST_STEPS = 200_000
"""Operations that are carried out, those of loops and calls counted each time."""
MOST_ITERATIONS = 10_000
"""Iterations of one loop. A recurrent layer has one for each time step."""
DEEPEST_CALL = 32
"""Functions within functions. An exported model has one for the signature, one for the model, one a layer, and some in
these; none calls itself."""


class NotInterpreted(MigrationError):
    """The graph cannot be interpreted, or not within the bounds. It says nothing about the model.

    Args:
        what: what it has: an operation, a value, or more of something than a bound allows.
        node: the name of the node, out of the file.
    """

    kind = "graph"

    def __init__(self, what: str, *, node: str | None = None) -> None:
        super().__init__(what if node is None else f"{what} at node {quoted(node)}")


@dataclass
class Budget:
    """What has been used of the bounds in one interpretation."""

    values: int = 0
    kept: int = 0
    products: int = 0
    nodes: int = 0
    steps: int = 0

    def node(self) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise NotInterpreted(f"more than {MOST_NODES} nodes")

    def step(self, node: str) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise NotInterpreted(f"more than {MOST_STEPS} operations", node=node)

    def room(self, shape: Sequence[int], node: str) -> None:
        """Called before a tensor of this shape is made.

        Raises:
            NotInterpreted: it would be too large, or no tensor has this shape.
        """
        if len(shape) > LARGEST_RANK:
            raise NotInterpreted(f"a tensor of {len(shape)} axes", node=node)
        if any(size < 0 for size in shape):
            raise NotInterpreted("a tensor with a negative size", node=node)
        count = math.prod(map(int, shape))
        if count > LARGEST_TENSOR:
            raise NotInterpreted(f"a tensor of {count} values, more than {LARGEST_TENSOR},", node=node)

    def made(self, count: int, node: str) -> None:
        """Called when a node has computed `count` values, which are kept for other nodes."""
        self.values += count
        self.kept += count
        if self.values > MOST_VALUES:
            raise NotInterpreted(f"more than {MOST_VALUES} values together", node=node)
        if self.kept > MOST_KEPT:
            raise NotInterpreted(f"more than {MOST_KEPT} values in memory", node=node)

    def released(self, count: int) -> None:
        """Called when no node needs `count` of the values any more."""
        self.kept -= count

    def multiply(self, count: int, node: str) -> None:
        """Called before a product or convolution of `count` multiplications."""
        self.products += count
        if self.products > MOST_PRODUCTS:
            raise NotInterpreted(f"more than {MOST_PRODUCTS} multiplications", node=node)
