"""The serving signature of a SavedModel: its function, what it captures, and the names of its inputs and outputs.

A concrete function names the objects whose tensors it captures by their numbers in the object graph of
`saved_model.pb` (`bound_inputs`). A variable's values lie in the checkpoint, whose own object graph has other numbers;
the edges from the root tell which node is which.

Source: tensorflow/core/protobuf/{saved_model,meta_graph,saved_object_graph,struct}.proto;
tensorflow/python/saved_model/load.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tcn_migrate.checkpoint import Array, StoredArray
from tcn_migrate.containers.folder import has_member, member, read_member
from tcn_migrate.containers.object_graph import ObjectGraph, parse_children, parse_object_graph
from tcn_migrate.containers.protobuf import Allowance, fields, message_fields, text
from tcn_migrate.containers.saved_model import GRAPH, VARIABLES
from tcn_migrate.containers.tensor_bundle import read_bundle
from tcn_migrate.errors import quoted
from tcn_migrate.serving_graph.interpreter import Interpreter
from tcn_migrate.serving_graph.limits import (
    LARGEST_GRAPH,
    LARGEST_VARIABLE,
    MOST_FUNCTIONS,
    MOST_WEIGHTS,
    Budget,
    NotInterpreted,
)
from tcn_migrate.serving_graph.messages import (
    TensorProto,
    constant,
    packed,
    parse_functions,
    parse_node,
)
from tcn_migrate.serving_graph.values import Table, Value, Variable

SIGNATURE = "serving_default"
_EMPTY = memoryview(b"")


@dataclass(frozen=True)
class Serving:
    """A serving signature that can be run.

    Attributes:
        function: the name of its function.
        inputs: the names of its inputs, in the function's order.
        outputs: the names of its outputs, in the function's order.
        captures: what the function captures.
        messages: the FunctionDefs of the graph by name.
    """

    function: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    captures: tuple[Value, ...] = field(repr=False)
    messages: Mapping[str, memoryview] = field(repr=False)


def read_serving(folder: Path) -> Serving:
    """The signature `serving_default` of a SavedModel.

    Raises:
        NotInterpreted: there is none, as where a model was saved without traces, or what it captures cannot be read.
        MigrationError: the files are damaged, or beyond the bounds of containers.
    """
    if not has_member(folder, GRAPH):
        raise NotInterpreted(f"there is no {GRAPH}")
    if member(folder, GRAPH).stat().st_size > LARGEST_GRAPH:
        raise NotInterpreted(f"a graph of more than {LARGEST_GRAPH >> 20} MiB")
    content = read_member(folder, GRAPH, LARGEST_GRAPH)
    meta = next(message_fields(content, 2), _EMPTY)
    graph = next(message_fields(meta, 2), _EMPTY)
    objects = next(message_fields(meta, 7), _EMPTY)
    allowance = Allowance()
    nodes = list(message_fields(objects, 1, allowance))
    if not nodes:
        raise NotInterpreted("it has no objects: TensorFlow 1 wrote it")
    children = parse_children(nodes, allowance)
    signature = children[children[0].get("signatures", 0)].get(SIGNATURE)
    bare = None if signature is None else next(message_fields(nodes[signature], 8), None)
    if bare is None:
        raise NotInterpreted("it has no serving function: the model was saved without traces")
    name = text(next(message_fields(bare, 1), _EMPTY))
    concrete: dict[str, memoryview] = {}
    for entry in message_fields(objects, 2):
        if len(concrete) > MOST_FUNCTIONS:
            raise NotInterpreted(f"more than {MOST_FUNCTIONS} functions")
        stored = dict(fields(entry))
        value = stored.get(2, _EMPTY)
        if isinstance(value, memoryview):
            concrete[text(stored.get(1, _EMPTY))] = value
    if name not in concrete:
        raise NotInterpreted(f"the serving function {quoted(name)} is not in it")
    captured = _Captured(folder, nodes, children, graph, concrete)
    return Serving(
        function=name,
        inputs=tuple(map(text, message_fields(bare, 2))),
        outputs=_names(next(message_fields(concrete[name], 4), _EMPTY)),
        captures=tuple(map(captured.value, _bound(concrete[name]))),
        messages=captured.messages,
    )


def _bound(concrete: memoryview) -> list[int]:
    """The numbers of the captured objects: field 2 of SavedConcreteFunction, packed or not."""
    bound: list[int] = []
    for number, value in fields(concrete):
        if number == 2:
            bound += [value] if isinstance(value, int) else packed(value)
    return bound


def _names(structure: memoryview) -> tuple[str, ...]:
    """The keys of a StructuredValue that is a dictionary, sorted as TensorFlow flattens it."""
    keys = []
    for dictionary in message_fields(structure, 53):
        for entry in message_fields(dictionary, 1):
            keys.append(text(next(message_fields(entry, 1), _EMPTY)))
    return tuple(sorted(keys))


class _Captured:
    """Finds the values of captured objects by their numbers; variables are read when they are first needed."""

    def __init__(
        self,
        folder: Path,
        nodes: list[memoryview],
        children: tuple[Mapping[str, int], ...],
        graph: memoryview,
        concrete: Mapping[str, memoryview],
    ) -> None:
        bundle = read_bundle(folder, VARIABLES)
        stored = bundle.object_graph()
        self.arrays: Mapping[str, StoredArray] = bundle.arrays()
        self.keys = {} if stored is None else _keys(children, parse_object_graph(stored))
        self.nodes, self.children, self.graph, self.concrete = nodes, children, graph, concrete
        self.messages = parse_functions(next(message_fields(graph, 2), _EMPTY))
        self.weights = 0
        self.known: dict[int, Value] = {}
        self.constants: dict[str, memoryview] | None = None

    def value(self, number: int) -> Value:
        if number not in self.known:
            if number >= len(self.nodes):
                raise NotInterpreted(f"a captured object {number}, which the graph does not have")
            kinds = dict(fields(self.nodes[number]))
            if 7 in kinds:
                self.known[number] = self._variable(number)
            elif isinstance(found := kinds.get(9), memoryview):
                self.known[number] = self._constant(found)
            elif 10 in kinds:
                self.known[number] = table = Table(f"table {number}")
                self._initialize(number, table)
            else:
                raise NotInterpreted(f"a captured object of kind {max(kinds, default=0)}")
        return self.known[number]

    def _variable(self, number: int) -> Variable:
        key = self.keys.get(number)
        array = None if key is None else self.arrays.get(key)
        if key is None or array is None:
            raise NotInterpreted("a variable that is not in the checkpoint")
        self.weights += math.prod(array.shape)
        if self.weights > MOST_WEIGHTS:
            raise NotInterpreted(f"variables of more than {MOST_WEIGHTS} values together")
        name = key.partition("/.ATTRIBUTES")[0]
        return Variable(name, _read_once(name, array))

    def _constant(self, stored: memoryview) -> Array:
        """A SavedConstant names a node of the outermost graph."""
        if self.constants is None:
            self.constants = {}
            budget = Budget()
            for message in message_fields(self.graph, 1):
                budget.node()
                self.constants[text(next(message_fields(message, 1), _EMPTY))] = message
        name = text(next(message_fields(stored, 1), _EMPTY))
        node = None if name not in self.constants else parse_node(self.constants[name])
        value = None if node is None else node.attributes.get("value")
        if node is None or not isinstance(value, TensorProto):
            raise NotInterpreted("a captured constant", node=name)
        return constant(value, name, Budget())

    def _initialize(self, number: int, table: Table) -> None:
        """Runs the function that fills a table."""
        function = self.children[number].get("_initialize")
        saved = None if function is None else next(message_fields(self.nodes[function], 6), None)
        name = None if saved is None else text(next(message_fields(saved, 1), _EMPTY))
        if name is None or name not in self.concrete:
            raise NotInterpreted("a lookup table that no function fills")
        bound = _bound(self.concrete[name])
        Interpreter(self.messages).call(name, [self.value(one) for one in bound], None)
        if not table.entries:
            raise NotInterpreted("a lookup table whose entries are not in the graph")


def _keys(children: tuple[Mapping[str, int], ...], stored: ObjectGraph) -> dict[int, str]:
    """The key in the checkpoint of each variable of the graph, by walking both along the same edges."""
    keys: dict[int, str] = {}
    seen = {0}
    waiting = [(0, 0)]
    while waiting:
        here, there = waiting.pop()
        key = stored.keys[there]
        if key is not None:
            keys[here] = key
        for name, child in children[here].items():
            other = stored.children[there].get(name)
            if other is not None and child not in seen:
                seen.add(child)
                waiting.append((child, other))
    return keys


def _read_once(name: str, array: StoredArray) -> Callable[[], Array]:
    kept: list[Array] = []

    def read() -> Array:
        if not kept:
            if math.prod(array.shape) > LARGEST_VARIABLE:
                raise NotInterpreted(f"variable {quoted(name)} of more than {LARGEST_VARIABLE} values")
            values = array.read()
            kept.append(values.astype(np.float64) if values.dtype.kind == "f" else values)
        return kept[0]

    return read
