"""TensorFlow's object graph: which variable hangs at which Python attribute.

The keys of a bundle are no paths one may rely on: with traces, a SavedModel has
`variables/7/.ATTRIBUTES/VARIABLE_VALUE` where a checkpoint has `layer_with_weights-0/kernel/...`; and two variables may
bear one name. The edges of the graph are the attributes' names, and always tell. The graph has cycles and many ways to
one node, so it is walked on demand.

Source: tensorflow/core/protobuf/trackable_object_graph.proto; saved_object_graph.proto for the graph in saved_model.pb.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tcn_migrate.checkpoint import StoredArray
from tcn_migrate.containers.protobuf import Allowance, fields, message_fields, text
from tcn_migrate.errors import ContainerError, NamingError, UnsafeError, quoted

MAX_NODES = 400_000
MAX_EDGES = 1_000_000
MAX_DEPTH = 8
"""Edges between a checkpoint's root and the model in it, such as `net` of `tf.train.Checkpoint(net=model)`."""

_LAYER = re.compile(r"layer-(0|[1-9][0-9]{0,5})")


@dataclass(frozen=True)
class ObjectGraph:
    """The nodes of a TrackableObjectGraph, by their numbers; 0 is the root.

    Attributes:
        children: for each node its edges: name -> number of the node they lead to.
        keys: for each node that is a variable the key of its values in the bundle, else None.
    """

    children: tuple[Mapping[str, int], ...]
    keys: tuple[str | None, ...]


@dataclass(frozen=True)
class GraphNode:
    """A place in an object graph; a Node of `tcn_migrate.checkpoint`.

    A variable is no place of its own: it is an array of all places with an edge to it, under the edge's name. Two
    GraphNodes of one checkpoint are equal if they are the same object, whatever the edges that led there.
    """

    number: int
    graph: ObjectGraph = field(repr=False, compare=False)
    bundle: Mapping[str, StoredArray] = field(repr=False, compare=False)

    def child(self, name: str) -> GraphNode | None:
        number = self.graph.children[self.number].get(name)
        if number is None or self.graph.keys[number] is not None:
            return None
        return GraphNode(number, self.graph, self.bundle)

    def names(self) -> Iterator[str]:
        return (name for name, number in self._edges() if self.graph.keys[number] is None)

    def arrays(self) -> Mapping[str, StoredArray]:
        keys = ((name, self.graph.keys[number]) for name, number in self._edges())
        return {name: self.bundle[key] for name, key in keys if key is not None and key in self.bundle}

    def _edges(self) -> Iterator[tuple[str, int]]:
        return iter(self.graph.children[self.number].items())


def parse_object_graph(message: bytes) -> ObjectGraph:
    """The object graph out of a serialized TrackableObjectGraph.

    Raises:
        ContainerError: none, or it points to nodes that it does not have.
        UnsafeError: more nodes or edges than a model of 10 000 layers has.
    """
    allowance = Allowance()
    nodes = list(message_fields(message, 1, allowance))
    keys = tuple(_variable_key(node, allowance) for node in nodes)
    return ObjectGraph(parse_children(nodes, allowance), keys)


def parse_children(nodes: Sequence[memoryview], allowance: Allowance) -> tuple[Mapping[str, int], ...]:
    """The edges of each node: field 1 of TrackableObject and of SavedObject alike. Raises as `parse_object_graph`."""
    if not nodes or len(nodes) > MAX_NODES:
        problem = "the object graph has too many nodes" if nodes else "the object graph is empty"
        raise (UnsafeError if nodes else ContainerError)(problem, expected=f"1 to {MAX_NODES}", found=len(nodes))
    edges = 0
    children = []
    for node in nodes:
        named: dict[str, int] = {}
        for reference in message_fields(node, 1, allowance):
            content = dict(fields(reference, allowance))
            number, name = content.get(1, 0), text(content.get(2, memoryview(b"")))
            if not isinstance(number, int) or number >= len(nodes):
                raise ContainerError(f"the object graph's edge {quoted(name)} leads to a node that does not exist")
            named[name] = number
            edges += 1
        if edges > MAX_EDGES:
            raise UnsafeError("the object graph has too many edges", expected=f"at most {MAX_EDGES}")
        children.append(named)
    return tuple(children)


def _variable_key(node: memoryview, allowance: Allowance) -> str | None:
    for attribute in message_fields(node, 2, allowance):
        content = dict(fields(attribute, allowance))
        name = content.get(1)
        if isinstance(name, memoryview) and bytes(name) == b"VARIABLE_VALUE" and 3 in content:
            return text(content[3])
    return None


def root_node(graph: ObjectGraph, bundle: Mapping[str, StoredArray]) -> GraphNode:
    """The object that was saved."""
    return GraphNode(0, graph, bundle)


def models_below(root: GraphNode) -> list[tuple[tuple[str, ...], GraphNode]]:
    """The Functional and Sequential models of a graph that are not part of another model.

    Returns:
        The edges from `root` and the node of each: `root` itself if it is a model, else one for each that
        `tf.train.Checkpoint(net=model, ...)` was given. A model is what has an edge `layer-0`.
    """
    found: list[tuple[tuple[str, ...], GraphNode]] = []
    seen = {root}
    level: list[tuple[tuple[str, ...], GraphNode]] = [((), root)]
    for _ in range(MAX_DEPTH):
        below = []
        for path, node in level:
            if node.child("layer-0") is not None:
                found.append((path, node))
                continue
            for name in node.names():
                child = node.child(name)
                if child is not None and child not in seen:
                    seen.add(child)
                    below.append(((*path, name), child))
        level = below
    return found


def model_children(node: GraphNode, layer_names: Sequence[str], *, sequential: bool) -> dict[str, GraphNode]:
    """The places of a model's layers.

    Args:
        node: the model's place.
        layer_names: the names in the model's stored config, in the order of its `layers`; none may have been left out
            (a TensorFlowOpLayer counts, and in a Functional model an InputLayer).
        sequential: the model is a Sequential. Its config lists the InputLayer from TF 2.2 on, its graph up to TF 2.1,
            and so they are aligned from the end.

    Returns:
        The place of each layer by its name; a Sequential's InputLayer has none where the graph does not list it.

    Raises:
        NamingError: the graph has another number of layers than the config.
    """
    children: list[GraphNode] = []
    while (child := node.child(f"layer-{len(children)}")) is not None:
        children.append(child)
    numbered = sum(_LAYER.fullmatch(name) is not None for name in node.names())
    missing = len(layer_names) - len(children)
    input_layer = sequential and (missing == 1 or (missing == -1 and not children[0].arrays()))
    if numbered != len(children) or (missing and not input_layer):
        raise NamingError(
            "the object graph and the config differ in the number of layers",
            expected=f"{len(layer_names)} layers ({', '.join(map(quoted, layer_names[:3]))}, ...)",
            found=numbered,
            hint="The config is of another model: give the one that these weights were saved from with --architecture",
        )
    return dict(zip(layer_names[max(missing, 0) :], children[max(-missing, 0) :], strict=True))
