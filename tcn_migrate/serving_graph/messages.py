"""The functions of a `saved_model.pb` as data: nodes, attributes and constants, parsed when they are asked for.

Source: tensorflow/core/framework/{graph,function,node_def,op_def,attr_value,tensor,tensor_shape,types}.proto.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.containers.protobuf import fields, message_fields, text, varint
from tcn_migrate.errors import quoted
from tcn_migrate.serving_graph.limits import LARGEST_RANK, MOST_FUNCTIONS, Budget, NotInterpreted

STRING, RESOURCE, VARIANT = 7, 20, 21
DTYPES: Mapping[int, type[Any]] = {
    1: np.float64,
    2: np.float64,
    3: np.int32,
    4: np.uint8,
    5: np.int16,
    6: np.int8,
    STRING: np.object_,
    8: np.complex128,
    9: np.int64,
    10: np.bool_,
    14: np.float64,
    17: np.uint16,
    18: np.complex128,
    19: np.float64,
    22: np.uint32,
    23: np.uint64,
}
"""What a value of each DataType is computed in. Floating-point types of 16 and 32 bits become float64, so that the
result is what the graph means, free of the rounding of one library; all others stay what they are."""

_EMPTY = memoryview(b"")
_SIGNED = 1 << 63


@dataclass(frozen=True)
class Shape:
    """A TensorShapeProto: the size of each axis, None where it is unknown; `sizes` is None if the rank is unknown."""

    sizes: tuple[int | None, ...] | None


@dataclass(frozen=True)
class TensorProto:
    """A constant, not unpacked yet."""

    message: memoryview


@dataclass(frozen=True)
class Node:
    """A NodeDef.

    Attributes:
        name: unique in its function.
        op: the operation.
        inputs: its data inputs, as `name`, `name:output` or `name:output:number`. Control inputs are left out.
        message: the NodeDef, for the attributes.
        controls: names of the nodes that run before it.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    message: memoryview = field(repr=False)
    controls: tuple[str, ...] = ()

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes by name: bytes, int, float, bool, Shape, TensorProto, a function's name (str), or a list."""
        return dict(map(_attribute, message_fields(self.message, 5)))

    def integer(self, name: str, default: int = 0) -> int:
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise self.odd(name)
        return int(value)

    def integers(self, name: str) -> list[int]:
        value = self.attributes.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
            raise self.odd(name)
        return value

    def number(self, name: str, default: float = 0.0) -> float:
        value = self.attributes.get(name, default)
        if not isinstance(value, float | int):
            raise self.odd(name)
        return float(value)

    def flag(self, name: str) -> bool:
        return bool(self.attributes.get(name, False))

    def string(self, name: str, default: str = "") -> str:
        value = self.attributes.get(name, default.encode())
        if not isinstance(value, bytes):
            raise self.odd(name)
        return value.decode("utf-8", "replace")

    def function(self, name: str) -> str:
        value = self.attributes.get(name)
        if not isinstance(value, str):
            raise self.odd(name)
        return value

    def dtype(self, name: str) -> type[Any]:
        number = self.integer(name)
        if number not in DTYPES:
            raise NotInterpreted(f"values of TensorFlow's type {number}", node=self.name)
        return DTYPES[number]

    def odd(self, what: str) -> NotInterpreted:
        return NotInterpreted(f"operation {quoted(self.op)} with an odd {quoted(what)}", node=self.name)


@dataclass(frozen=True)
class Function:
    """A FunctionDef.

    Attributes:
        name: unique in the library.
        arguments: their names, in order.
        returned: what is returned, as an input of a node is written, in order.
        nodes: by name.
    """

    name: str
    arguments: tuple[str, ...]
    returned: tuple[str, ...]
    nodes: Mapping[str, Node] = field(repr=False)


def parse_functions(library: memoryview) -> dict[str, memoryview]:
    """The FunctionDefs of a FunctionDefLibrary by name, not parsed any further.

    Raises:
        NotInterpreted: more than the bound.
    """
    found = {}
    for message in message_fields(library, 1):
        signature = next(message_fields(message, 1), _EMPTY)
        found[text(next(message_fields(signature, 1), _EMPTY))] = message
        if len(found) > MOST_FUNCTIONS:
            raise NotInterpreted(f"more than {MOST_FUNCTIONS} functions")
    return found


def parse_function(name: str, message: memoryview, budget: Budget) -> Function:
    """A function with its nodes; each counts as read in the budget."""
    signature = next(message_fields(message, 1), _EMPTY)
    outputs = [text(next(message_fields(output, 1), _EMPTY)) for output in message_fields(signature, 3)]
    returned: dict[str, str] = {}
    for entry in message_fields(message, 4):
        content = dict(fields(entry))
        returned[text(content.get(1, _EMPTY))] = text(content.get(2, _EMPTY))
    nodes: dict[str, Node] = {}
    for node_message in message_fields(message, 3):
        budget.node()
        node = parse_node(node_message)
        nodes[node.name] = node
    absent = [output for output in outputs if output not in returned]
    if absent:
        raise NotInterpreted(f"function {quoted(name)} does not return its output {quoted(absent[0])}")
    arguments = tuple(text(next(message_fields(argument, 1), _EMPTY)) for argument in message_fields(signature, 2))
    return Function(name, arguments, tuple(returned[output] for output in outputs), nodes)


def parse_node(message: memoryview) -> Node:
    """A NodeDef; its attributes are parsed when one is asked for."""
    name = op = ""
    inputs: list[str] = []
    controls: list[str] = []
    for number, value in fields(message):
        if number == 1:
            name = text(value)
        elif number == 2:
            op = text(value)
        elif number == 3:
            written = text(value)
            if written.startswith("^"):
                controls.append(written[1:])
            else:
                inputs.append(written)
    return Node(name, op, tuple(inputs), message, tuple(controls))


def _attribute(entry: memoryview) -> tuple[str, Any]:
    content = dict(fields(entry))
    value = content.get(2, _EMPTY)
    return text(content.get(1, _EMPTY)), _value(value) if isinstance(value, memoryview) else None


def _value(message: memoryview) -> Any:
    """An AttrValue, whose field number tells its type."""
    for number, value in fields(message):
        if number == 1 and isinstance(value, memoryview):
            return [item for field_number, content in fields(value) for item in _items(field_number, content)]
        return next(iter(_items(number, value)), None)
    return None


def _items(number: int, value: int | memoryview) -> Iterator[Any]:
    """The values of one field of an AttrValue or of its ListValue; numbers in a list are packed."""
    if number == 2 and isinstance(value, memoryview):
        yield bytes(value)
    elif number in (3, 5, 6):
        for item in [value] if isinstance(value, int) else packed(value):
            yield bool(item) if number == 5 else signed(item)
    elif number == 4:
        content = value.to_bytes(4, "little") if isinstance(value, int) else bytes(value)
        yield from struct.unpack(f"<{len(content) // 4}f", content[: len(content) // 4 * 4])
    elif number == 7 and isinstance(value, memoryview):
        yield parse_shape(value)
    elif number == 8 and isinstance(value, memoryview):
        yield TensorProto(value)
    elif (number == 10 and isinstance(value, memoryview)) or (number == 9 and isinstance(value, memoryview)):
        yield text(next(message_fields(value, 1), _EMPTY)) if number == 10 else bytes(value)


def packed(content: memoryview) -> Iterator[int]:
    """The variable-length integers of a packed field."""
    position = 0
    while position < len(content):
        value, position = varint(content, position)
        yield value


def signed(value: int) -> int:
    """The int64 that a variable-length integer stands for."""
    return value - (1 << 64) if value >= _SIGNED else value


def parse_shape(message: memoryview) -> Shape:
    sizes: list[int | None] = []
    for number, value in fields(message):
        if number == 3 and value:
            return Shape(None)
        if number == 2 and isinstance(value, memoryview):
            size = signed(next((s for f, s in fields(value) if f == 1 and isinstance(s, int)), 0))
            sizes.append(None if size < 0 else size)
            if len(sizes) > LARGEST_RANK:
                raise NotInterpreted(f"a shape of more than {LARGEST_RANK} axes")
    return Shape(tuple(sizes))


_NUMBERS = {5: "f4", 6: "f8", 9: "c8", 12: "c16"}
_WHOLE = (7, 10, 11, 13, 16, 17)


def constant(tensor: TensorProto, node: str, budget: Budget) -> Array:
    """The values of a TensorProto.

    Values lie in `tensor_content` as they lie in memory, or one by one in a field for their type; if these are fewer
    than the shape has, the last one is repeated (tensorflow/core/framework/tensor.cc, Tensor::FromProto).

    Raises:
        NotInterpreted: of another type, or larger than the bounds.
    """
    stored = list(fields(tensor.message))
    kind = next((value for number, value in stored if number == 1 and isinstance(value, int)), 0)
    shape = next((parse_shape(v) for n, v in stored if n == 2 and isinstance(v, memoryview)), Shape(()))
    if kind not in DTYPES or shape.sizes is None or None in shape.sizes:
        raise NotInterpreted(f"a constant of TensorFlow's type {kind}", node=node)
    sizes = tuple(size for size in shape.sizes if size is not None)
    budget.room(sizes, node)
    count = math.prod(sizes)
    if kind == STRING:
        strings = [bytes(value) for number, value in stored if number == 8 and isinstance(value, memoryview)]
        return _filled(np.array([*strings, b""], object)[:-1] if strings else np.array([b""], object), count, sizes)
    raw = next((value for number, value in stored if number == 4 and isinstance(value, memoryview)), _EMPTY)
    if len(raw):
        in_memory = _in_memory(kind)
        if len(raw) != count * in_memory.itemsize:
            raise NotInterpreted("a constant whose bytes do not fit its shape", node=node)
        return _meaning(np.frombuffer(raw, in_memory), kind).reshape(sizes)
    values: list[Any] = []
    for number, value in stored:
        if number in _NUMBERS:
            size = 8 if number == 6 else 4
            content = value.to_bytes(size, "little") if isinstance(value, int) else bytes(value)
            values += np.frombuffer(content, f"<{_NUMBERS[number]}").tolist()
        elif number in _WHOLE:
            values += [signed(item) for item in ([value] if isinstance(value, int) else packed(value))]
    if len(values) > max(count, 1):
        raise NotInterpreted("a constant with more values than its shape has", node=node)
    if not values:
        values = [0]
    if kind in (14, 19):  # the bits of numbers of 16 bits
        return _filled(_meaning(np.array(values, np.uint16).view(_in_memory(kind)), kind), count, sizes)
    return _filled(np.array(values).astype(DTYPES[kind]), count, sizes)


def _in_memory(kind: int) -> np.dtype[Any]:
    return np.dtype({1: "<f4", 8: "<c8", 14: "<u2", 19: "<f2"}.get(kind) or DTYPES[kind])


def _meaning(values: Array, kind: int) -> Array:
    if kind == 14:  # bfloat16: the upper half of a float32
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    return values.astype(DTYPES[kind])


def _filled(values: Array, count: int, shape: tuple[int, ...]) -> Array:
    if len(values) < count:
        values = np.concatenate([values, np.full(count - len(values), values[-1], values.dtype)])
    return values[:count].reshape(shape)
