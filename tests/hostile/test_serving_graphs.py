"""A graph from a stranger may loop, call itself and promise tensors of any size; each bound stops one of these."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from tcn_migrate.serving_graph import interpreter, limits, shapes
from tcn_migrate.serving_graph.interpreter import Interpreter
from tcn_migrate.serving_graph.limits import NotInterpreted
from tests.hostile.bundle import message

INT32, FLOAT = 3, 1


def tensor(kind: int, sizes: tuple[int, ...], content: bytes = b"", **one: int) -> bytes:
    dims = message(*((2, message((1, size))) for size in sizes))
    return message((1, kind), (2, dims), *([(4, content)] if content else []), *((7, v) for v in one.values()))


def ints(*values: int) -> bytes:
    return tensor(INT32, (len(values),), struct.pack(f"<{len(values)}i", *values))


def node(name: str, op: str, *inputs: str, **attributes: Any) -> bytes:
    entries = []
    for key, value in attributes.items():
        kind = {bytes: 8, str: 10, int: 3}[type(value)]
        stored = message((kind, message((1, value.encode())) if isinstance(value, str) else value))
        entries.append((5, message((1, key.encode()), (2, stored))))
    return message((1, name.encode()), (2, op.encode()), *((3, edge.encode()) for edge in inputs), *entries)


def constant(name: str, value: bytes) -> bytes:
    return node(name, "Const", value=value)


def graph(returned: str, *nodes: bytes, name: str = "f", arguments: tuple[str, ...] = ()) -> dict[str, memoryview]:
    signature = message(
        (1, name.encode()),
        *((2, message((1, argument.encode()))) for argument in arguments),
        (3, message((1, b"y"))),
    )
    ends = message((1, b"y"), (2, returned.encode()))
    return {name: memoryview(message((1, signature), *((3, one) for one in nodes), (4, ends)))}


def run(functions: dict[str, memoryview], *arguments: Any) -> Any:
    return Interpreter(functions).call("f", list(arguments), None)[0]


ONE = np.ones(1)
FOREVER = {
    **graph("w:output:0", constant("zero", ints(0)), node("w", "While", "zero:output:0", cond="true", body="same")),
    **graph("x", name="same", arguments=("x",)),
    **graph("yes:output:0", constant("yes", tensor(10, (), b"\1")), name="true", arguments=("x",)),
}
DOUBLED = [node(f"n{k}", "ConcatV2", *[f"n{k - 1}:output:0"] * 2, "axis:output:0") for k in range(1, 40)]
KEPT = [node(f"n{k}", "AddV2", "big:output:0", "big:output:0") for k in range(40)]
ENDS = {"a": 0, "b": 2**31 - 1, "c": 1}
BIG, UNIT = constant("big", tensor(FLOAT, (1 << 19,))), constant("unit", tensor(FLOAT, (1, 1)))
TERABYTES = ints(1 << 20, 1 << 20)

ATTACKS: dict[str, tuple[dict[str, memoryview], str]] = {
    "a function that calls itself": (graph("n:output:0", node("n", "PartitionedCall", f="f")), "more than 32 deep"),
    "a loop without end": (FOREVER, "a loop of more than"),
    "a shape of terabytes": (
        graph("n:output:0", constant("s", TERABYTES), constant("v", tensor(FLOAT, ())), node("n", "Fill", "s", "v")),
        "values, more than",
    ),
    "a constant of terabytes": (graph("n:output:0", constant("n", tensor(FLOAT, (1 << 40,)))), "values, more than"),
    "a constant of many axes": (graph("n:output:0", constant("n", tensor(FLOAT, (1,) * 40))), "more than 32 axes"),
    "tiles": (
        graph(
            "n:output:0", constant("v", tensor(FLOAT, (1, 1))), constant("s", TERABYTES), node("n", "Tile", "v", "s")
        ),
        "values, more than",
    ),
    "padding": (
        graph(
            "n:output:0",
            constant("v", tensor(FLOAT, (1,))),
            constant("p", tensor(INT32, (1, 2), struct.pack("<2i", 1 << 30, 1 << 30))),
            node("n", "Pad", "v", "p"),
        ),
        "values, more than",
    ),
    "a range": (
        graph(
            "n:output:0",
            *(
                constant(k, tensor(INT32, (), struct.pack("<i", v)))
                for k, v in {"a": 0, "b": 2**31 - 1, "c": 1}.items()
            ),
            node("n", "Range", "a", "b", "c"),
        ),
        "values, more than",
    ),
    "a product of vectors": (
        graph(
            "n:output:0",
            constant("a", tensor(FLOAT, (1 << 20, 1))),
            constant("b", tensor(FLOAT, (1, 1 << 20))),
            node("n", "Mul", "a", "b"),
        ),
        "values, more than",
    ),
    "doubling": (
        graph(
            "n39:output:0",
            constant("axis", tensor(INT32, ())),
            constant("n0", tensor(FLOAT, (1,))),
            *DOUBLED,
        ),
        "values, more than",
    ),
    "much that is kept": (
        graph(
            "n:sum:0",
            constant("big", tensor(FLOAT, (1 << 21,))),
            *KEPT,
            node("n", "AddN", *(f"n{k}" for k in range(40))),
        ),
        "values in memory",
    ),
    "many multiplications": (
        graph("n:product:0", constant("a", tensor(FLOAT, (1200, 1200))), node("n", "MatMul", "a", "a")),
        "multiplications",
    ),
    "a list without end": (
        graph(
            "n:handle:0",
            constant("s", tensor(INT32, ())),
            constant("c", tensor(INT32, (), struct.pack("<i", 1 << 30))),
            node("n", "TensorListReserve", "s", "c", element_dtype=1),
        ),
        "a list of 1073741824 tensors",
    ),
    "a circle": (graph("a:output:0", node("a", "Identity", "b"), node("b", "Identity", "a")), "in a circle"),
    "an edge from nowhere": (graph("a:output:0", node("a", "Identity", "b")), "which is no node"),
    "an unknown operation": (graph("a:output:0", node("a", "ReadFile")), "unknown operation 'ReadFile'"),
    "an unknown function": (graph("a:output:0", node("a", "PartitionedCall", f="g")), "which the graph does not have"),
    "an odd name": (graph("a:output:0", node("a", "\x1b[31m")), "unknown operation '\\x1b[31m'"),
    "a write to a variable": (
        graph("a:output:0", constant("a", tensor(FLOAT, ())), node("w", "AssignVariableOp", "a")),
        "which writes to a variable",
    ),
    "an index out of range": (
        graph("n:output:0", constant("v", tensor(FLOAT, (3,))), constant("i", ints(7)), node("n", "Gather", "v", "i")),
        "index out of range",
    ),
    "types that do not fit": (
        graph("n:z:0", constant("a", tensor(FLOAT, ())), constant("b", ints(1)), node("n", "Mul", "a", "b")),
        "on float64 and int32",
    ),
    "a constant that lies": (graph("n:output:0", constant("n", tensor(FLOAT, (2,), b"1234"))), "do not fit its shape"),
    "too few inputs": (graph("n:output:0", node("n", "Mul")), "inputs that it does not take"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_not_interpreted_for_its_reason(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    functions, why = ATTACKS[attack]
    monkeypatch.setattr(limits, "MOST_PRODUCTS", 1 << 30)
    with pytest.raises(NotInterpreted) as caught:
        run(functions)
    assert why in str(caught.value)
    assert str(caught.value).isprintable()


def test_many_nodes_and_many_operations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [constant("n0", tensor(FLOAT, ())), *(node(f"n{k}", "Identity", f"n{k - 1}") for k in range(1, 3000))]
    functions = graph("n2999:output:0", *nodes)
    assert run(functions) == 0  # a long chain costs no depth
    monkeypatch.setattr(limits, "MOST_STEPS", 2000)
    with pytest.raises(NotInterpreted, match="more than 2000 operations"):
        run(functions)
    monkeypatch.setattr(limits, "MOST_NODES", 1000)
    with pytest.raises(NotInterpreted, match="more than 1000 nodes"):
        run(functions)


def test_iterations_of_empty_loops_count_as_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "MOST_ITERATIONS", 1 << 31)
    monkeypatch.setattr(limits, "MOST_STEPS", 500)
    with pytest.raises(NotInterpreted, match="more than 500 operations"):
        run({**FOREVER, **graph("x", name="true", arguments=("x",))} | graph_of_loop())


def graph_of_loop() -> dict[str, memoryview]:
    """A loop whose condition and body have no operations: it goes on while its vector is not empty."""
    return graph("w:output:0", constant("one", ints(1)), node("w", "While", "one:output:0", cond="true", body="same"))


def test_what_is_computed_again_and_again_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [constant("n0", tensor(FLOAT, (1 << 10,))), *(node(f"n{k}", "Neg", f"n{k - 1}") for k in range(1, 100))]
    monkeypatch.setattr(limits, "MOST_VALUES", 50 << 10)
    with pytest.raises(NotInterpreted, match=r"values together"):
        run(graph("n99:output:0", *nodes))


GUARDS = {
    "a loop without end": (interpreter, "MOST_ITERATIONS", 3, "more than 3 iterations"),
    "a list without end": (shapes, "MOST_ITERATIONS", 1 << 31, None),
    "a shape of terabytes": (limits, "LARGEST_TENSOR", 1 << 62, "inputs that it does not take|into memory"),
    "many multiplications": (limits, "MOST_PRODUCTS", 1 << 62, None),
    "much that is kept": (limits, "MOST_KEPT", 1 << 62, None),
}


@pytest.mark.parametrize("attack", [name for name in GUARDS if name not in ("a list without end",)])
def test_the_bound_is_what_stops_it(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, bound, value, why = GUARDS[attack]
    monkeypatch.setattr(where, bound, value)
    if why is None:
        run(ATTACKS[attack][0])
        return
    with pytest.raises(NotInterpreted, match=why):
        run(ATTACKS[attack][0])


def test_values_are_let_go_when_no_node_needs_them() -> None:
    nodes = [constant("n0", tensor(FLOAT, (1 << 20,))), *(node(f"n{k}", "Neg", f"n{k - 1}") for k in range(1, 60))]
    machine = Interpreter(graph("n59:output:0", *nodes))
    machine.call("f", [], None)
    assert machine.budget.kept == 0
    assert machine.budget.values == 60 << 20
