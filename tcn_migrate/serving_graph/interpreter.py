"""Runs functions of a graph in NumPy.

A function is put in order once: the nodes that its outputs need, each behind its inputs. What only has to run before
something else (control inputs: assertions, the marks that a variable was read) is left out, so a graph that writes to a
variable is not interpreted: nothing would tell whether it is read before or after.

Source: tensorflow/core/framework/function.proto, for how a FunctionDef's edges are written;
tensorflow/core/ops/functional_ops.cc, for calls, branches and loops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.errors import quoted
from tcn_migrate.serving_graph.arithmetic import ARITHMETIC
from tcn_migrate.serving_graph.limits import DEEPEST_CALL, MOST_ITERATIONS, Budget, NotInterpreted
from tcn_migrate.serving_graph.messages import Function, Node, parse_function
from tcn_migrate.serving_graph.neural import NEURAL
from tcn_migrate.serving_graph.shapes import SHAPES
from tcn_migrate.serving_graph.tables import TABLES
from tcn_migrate.serving_graph.values import Operation, Result, Runner, TensorList, Value, Variable, array


@dataclass(frozen=True)
class Step:
    """One node of a function that is run.

    Attributes:
        node: what is done.
        operation: what does it.
        inputs: for each input the place of the value, the output's name (or None), and its number within that output.
        last: places of the values that no later step needs.
    """

    node: Node
    operation: Operation
    inputs: tuple[tuple[int, str | None, int], ...]
    last: tuple[int, ...] = ()


@dataclass(frozen=True)
class Order:
    """A function in the order in which it is run: the arguments have the first places, each step the next one."""

    arguments: int
    steps: tuple[Step, ...]
    returned: tuple[tuple[int, str | None, int], ...]


@dataclass
class Interpreter:
    """Runs the functions of one library.

    Attributes:
        messages: the FunctionDefs by name.
        single: round the result of every operation to float32, as the library that exported the graph did.
        budget: what has been used; it is never reset.
    """

    messages: Mapping[str, memoryview]
    single: bool = False
    budget: Budget = field(default_factory=Budget)
    _orders: dict[str, Order] = field(default_factory=dict, repr=False)
    _depth: int = 0

    def call(self, function: str, arguments: list[Value], node: Node | None) -> list[Value]:
        """Runs a function.

        Args:
            function: its name.
            arguments: its arguments, captured ones behind the others.
            node: where it is called, for messages.

        Raises:
            NotInterpreted: an operation is unknown, its inputs are not what it takes, or a bound is exceeded.
        """
        where = "the signature" if node is None else node.name
        order = self._order(function)
        if len(arguments) != order.arguments:
            raise NotInterpreted(f"a call with {len(arguments)} arguments instead of {order.arguments}", node=where)
        if self._depth >= DEEPEST_CALL:
            raise NotInterpreted(f"functions that call one another more than {DEEPEST_CALL} deep", node=where)
        self._depth += 1
        places: list[Any] = [*arguments, *[None] * len(order.steps)]
        sizes = [0] * len(places)
        try:
            for place, step in enumerate(order.steps, order.arguments):
                self.budget.step(step.node.name)
                places[place] = self._run(step, [_picked(places, one, step.node.name) for one in step.inputs])
                sizes[place] = (
                    0 if step.operation is _read else _values(places[place])
                )  # the file has a variable's values
                self.budget.made(sizes[place], step.node.name)
                for gone in step.last:
                    places[gone] = None
                    self.budget.released(sizes[gone])
                    sizes[gone] = 0
            return [_picked(places, one, where) for one in order.returned]
        finally:
            self.budget.released(sum(sizes))
            self._depth -= 1

    def _run(self, step: Step, inputs: list[Value]) -> Result:
        try:
            with np.errstate(all="ignore"):
                result = step.operation(self, step.node, *inputs)
        except NotInterpreted:
            raise
        except (MemoryError, RecursionError):
            raise NotInterpreted("more than fits into memory", node=step.node.name) from None
        except Exception as error:  # shapes or types that the operation does not take: no graph that TensorFlow ran
            raise NotInterpreted(
                f"operation {quoted(step.node.op)} with inputs that it does not take ({type(error).__name__})",
                node=step.node.name,
            ) from None
        return cast(Result, _in_single(result)) if self.single else result

    def _order(self, name: str) -> Order:
        if name not in self._orders:
            if name not in self.messages:
                raise NotInterpreted(f"function {quoted(name)}, which the graph does not have")
            function = parse_function(name, self.messages[name], self.budget)
            self._orders[name] = in_order(function, self._operation)
        return self._orders[name]

    def _operation(self, node: Node) -> Operation:
        if node.op in OPERATIONS:
            return OPERATIONS[node.op]
        if node.op in self.messages:
            return _named_function
        raise NotInterpreted(f"unknown operation {quoted(node.op)}", node=node.name)


def in_order(function: Function, operation: Callable[[Node], Operation]) -> Order:
    """The nodes of a function that its outputs need, each behind its inputs; without recursion, and every node once.

    Raises:
        NotInterpreted: an edge leads to no node, or nodes need one another in a circle; an operation is unknown, or
            writes to a variable.
    """
    for node in function.nodes.values():
        if node.op in WRITES:
            raise NotInterpreted(f"operation {quoted(node.op)}, which writes to a variable,", node=node.name)
    place = {name: number for number, name in enumerate(function.arguments)}
    if len(place) != len(function.arguments) or place.keys() & function.nodes.keys():
        raise NotInterpreted(f"function {quoted(function.name)} with two values of one name")
    steps: list[Step] = []
    open_nodes: set[str] = set()
    waiting = [_source(edge)[0] for edge in reversed(function.returned)]
    while waiting:
        name = waiting[-1]
        if name in place:
            waiting.pop()
            continue
        if name not in function.nodes:
            raise NotInterpreted(f"an edge from {quoted(name)}, which is no node of {quoted(function.name)}")
        node = function.nodes[name]
        needed = [source for source, _, _ in map(_source, node.inputs) if source not in place]
        if needed:
            if name in open_nodes:
                raise NotInterpreted("nodes that need one another in a circle", node=name)
            open_nodes.add(name)
            waiting += reversed(needed)
            continue
        waiting.pop()
        place[name] = len(function.arguments) + len(steps)
        edges = tuple((place[source], output, number) for source, output, number in map(_source, node.inputs))
        steps.append(Step(node, operation(node), edges))
    returned = tuple((place[source], output, number) for source, output, number in map(_source, function.returned))
    kept = {source for source, _, _ in returned}
    last: dict[int, int] = {}
    for number, step in enumerate(steps):
        last.update({source: number for source, _, _ in step.inputs})
    released: dict[int, list[int]] = {}
    for source, number in last.items():
        if source not in kept:
            released.setdefault(number, []).append(source)
    ordered = [Step(s.node, s.operation, s.inputs, tuple(released.get(n, ()))) for n, s in enumerate(steps)]
    return Order(len(function.arguments), tuple(ordered), returned)


def _source(edge: str) -> tuple[str, str | None, int]:
    """`argument`, `node`, `node:output` or `node:output:number`."""
    name, _, rest = edge.partition(":")
    output, _, number = rest.partition(":")
    return name, output or None, int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 0


def _picked(places: Sequence[Any], edge: tuple[int, str | None, int], node: str) -> Value:
    place, output, number = edge
    value = places[place]
    if isinstance(value, dict):
        if output not in value:
            raise NotInterpreted(f"the output {quoted(output)} of an operation", node=node)
        value = value[output]
    if isinstance(value, list):
        if number >= len(value):
            raise NotInterpreted(f"output {number} of {len(value)}", node=node)
        value = value[number]
    elif number:
        raise NotInterpreted(f"output {number} of an operation that has one", node=node)
    return value  # type: ignore[no-any-return]


def _values(result: Result) -> int:
    """How many numbers a result is; the items of a list of tensors were counted when they were computed."""
    if isinstance(result, np.ndarray):
        return result.size
    if isinstance(result, TensorList):
        return len(result.items)
    if isinstance(result, dict):
        return sum(map(_values, result.values()))
    return sum(map(_values, result)) if isinstance(result, list) else 0


def _in_single(result: Result) -> Any:
    if isinstance(result, np.ndarray):
        return result.astype(np.float32) if result.dtype == np.float64 else result
    if isinstance(result, dict):
        return {name: _in_single(value) for name, value in result.items()}
    return [_in_single(value) for value in result] if isinstance(result, list) else result


# --- calls, branches and loops --------------------------------------------------------------------------------
def _call(run: Runner, node: Node, *arguments: Value) -> list[Value]:
    return run.call(node.function("f"), list(arguments), node)


def _named_function(run: Runner, node: Node, *arguments: Value) -> list[Value]:
    """A function whose name stands in the place of an operation."""
    return run.call(node.op, list(arguments), node)


def _truth(value: Value, node: Node) -> bool:
    """functional_ops.cc, If: a scalar that is no bool is true if it is not 0; any other tensor if it is not empty."""
    got = array(value, node)
    return bool(got.reshape(())[()]) if got.ndim == 0 else got.size > 0


def _branch(run: Runner, node: Node, condition: Value, *arguments: Value) -> list[Value]:
    return run.call(node.function("then_branch" if _truth(condition, node) else "else_branch"), list(arguments), node)


def _loop(run: Runner, node: Node, *start: Value) -> list[Value]:
    values = list(start)
    condition, body = node.function("cond"), node.function("body")
    for _ in range(MOST_ITERATIONS):
        run.budget.step(node.name)
        if not _truth(run.call(condition, values, node)[0], node):
            return values
        values = run.call(body, values, node)
    raise NotInterpreted(f"a loop of more than {MOST_ITERATIONS} iterations", node=node.name)


def _read(run: Runner, node: Node, handle: Value) -> Array:
    if not isinstance(handle, Variable):
        raise NotInterpreted("a read of what is no variable", node=node.name)
    return handle.read()


def _shape_of_variable(run: Runner, node: Node, handle: Value) -> Array:
    return np.array(_read(run, node, handle).shape, np.int32 if node.integer("out_type", 3) == 3 else np.int64)


def _initialized(run: Runner, node: Node, handle: Value) -> Array:
    return np.array(isinstance(handle, Variable))


FLOW: Mapping[str, Operation] = {
    "If": _branch,
    "PartitionedCall": _call,
    "ReadVariableOp": _read,
    "StatefulPartitionedCall": _call,
    "StatelessIf": _branch,
    "StatelessWhile": _loop,
    "VarIsInitializedOp": _initialized,
    "VariableShape": _shape_of_variable,
    "While": _loop,
}
OPERATIONS: Mapping[str, Operation] = {**ARITHMETIC, **SHAPES, **NEURAL, **TABLES, **FLOW}
"""What every operation computes. One that is not here is not interpreted."""
WRITES = frozenset(
    {
        "AssignAddVariableOp",
        "AssignSubVariableOp",
        "AssignVariableOp",
        "ResourceScatterAdd",
        "ResourceScatterNdAdd",
        "ResourceScatterNdUpdate",
        "ResourceScatterSub",
        "ResourceScatterUpdate",
        "ResourceStridedSliceAssign",
    }
)
"""Operations that change a variable, as stateful recurrent layers do."""
