"""The whole new model, run once in Keras and compared with what the old library computes on the same inputs.

What is compared with is the evaluation of the stored config over the source's arrays (`evaluation`), which shares
nothing with what made the new file. How far two values may be apart is not chosen: it is `MARGIN` times what rounding
explains, as the evaluation with rounding errors shows for this very model and these inputs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.errors import VerificationError, quoted
from tcn_migrate.evaluation.evaluate import MARGIN, Old, Place, Value, evaluate, evaluate_layer
from tcn_migrate.evaluation.inputs import drawn
from tcn_migrate.evaluation.tensors import SINGLE, UNITS
from tcn_migrate.moves import Plan
from tcn_migrate.naming.entries import Address, is_operation, name_of, spoken
from tcn_migrate.tcn.reading import TCNReading
from tcn_migrate.trial_run import Shape, as_taken, run_once

_CONSTANT = 1e-3
"""A part of its size within which an output is constant, and so says nothing of what it is computed from."""


@dataclass(frozen=True)
class Compared:
    """One tensor of the new model and the old one.

    Attributes:
        name: the layer's name, or the output's number.
        difference: the largest, in standard deviations of the old value.
        explained: what rounding explains of it, in the same unit.
        agrees: whether the difference is at most `MARGIN` times as large, or both are equal.
        constant: the old value hardly depends on the inputs, so that it says nothing of the layers before.
        worst: the old and the new number where they differ most.
    """

    name: str
    difference: float
    explained: float
    agrees: bool
    constant: bool = False
    worst: tuple[float, float] = (0.0, 0.0)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "difference": self.difference,
            "explained": self.explained,
            "agrees": self.agrees,
            "constant": self.constant,
        }


@dataclass(frozen=True)
class Proof:
    """What the comparison of the whole model saw.

    Attributes:
        outputs: of the model, those that were computed independently.
        inner: tensors between its layers, in the order of computation.
        unproven: what was not computed independently, in words, a layer each.
        tcns: the differences of those TCNs whose own output was compared.
        run_on: the shapes of the inputs.
    """

    outputs: tuple[Compared, ...] = ()
    inner: tuple[Compared, ...] = ()
    unproven: tuple[str, ...] = ()
    tcns: Mapping[Address, float] | None = None
    run_on: tuple[Shape, ...] = ()

    @property
    def sentence(self) -> str | None:
        """How far the outputs and the tensors inside agree; None if none was computed independently."""
        inner = [one for one in self.inner if one.agrees]
        together = [*self.outputs, *inner]
        if not together:
            return None
        worst = max(together, key=lambda one: one.difference)
        count = f"{len(self.outputs) or 'no'} output{'s' * (len(self.outputs) != 1)}"
        inside = f" and {len(inner)} inner tensor{'s' * (len(inner) != 1)}" if inner else ""
        verb = "agrees" if len(together) == 1 else "agree"
        return (
            f"{count}{inside} {verb} with the old library's arithmetic to {worst.difference:.1g} standard deviations "
            f"(rounding explains {worst.explained:.1g})"
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the sentence does not say: on what the proof rests, and what is not proven."""
        found = [f"not independently proven: {one}" for one in self.unproven]
        constant = sum(one.constant for one in self.outputs)
        if constant:
            found.append(
                f"{constant} of {len(self.outputs)} outputs hardly depend on the drawn inputs; the proof rests on the "
                f"{len(self.inner)} inner tensors, which agree"
            )
        elsewhere = [one.name for one in self.inner if not one.agrees]
        if elsewhere:
            found.append(
                f"{len(elsewhere)} inner tensors are others than in the old model, without an effect on the outputs: "
                f"{', '.join(map(quoted, elsewhere[:3]))}"
            )
        return tuple(found)


def old_model(plan: Plan) -> Old | None:
    """The old model of a plan, with recovered values where the file has none."""
    stored = plan.stored
    if stored is None:
        return None
    arrays = {address: array.read() for address, array in stored.arrays.items()}
    arrays |= {move.address: move.values() for move in plan.moves if not move.sources}
    return Old(stored.config, arrays, stored.tcns, stored.keras_version, stored.keras_version.startswith("2"))


def prove(model: Any, plan: Plan, old: Old | None) -> Proof:
    """Runs the new model once, and compares it with the old one.

    Args:
        model: the new one, loaded.
        plan: of the migration.
        old: the old one.

    Raises:
        VerificationError: the new model cannot predict, or computes something else, with the first layer that does.
    """
    if old is None or not hasattr(model, "inputs") or "layers" not in old.config["config"]:
        return Proof(run_on=run_once(model), unproven=("the model: it is of a class of your own",))
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    kinds = [str(tensor.dtype) for tensor in model.inputs]
    trials = list(drawn(old.config, shapes, kinds, old.tcns))
    whole = model if hasattr(model, "operations") else getattr(model, "_functional", None)
    for inputs in trials:
        places, tensors = [], []
        if whole is not None:
            for place, tensor, _ in _inside(whole, plan):
                places.append(place)
                tensors.append(tensor)
        try:
            got_outputs, got_inner = _run(model, whole, tensors, inputs)
            break
        except Exception:
            continue  # a longer input may do
    else:
        run_once(model, trials)  # says why it cannot predict
        return Proof(run_on=run_once(model), unproven=("the model: it has no inputs that could be drawn",))
    outputs, inner = evaluate(old, inputs)
    unproven = tuple(dict.fromkeys(_said(value) for value in (*outputs, *inner.values()) if value.unproven))
    given = _handed_back(inner, dict(zip(places, got_inner, strict=True)))
    if given:
        outputs, inner = evaluate(old, inputs, given=given)
        left = tuple(dict.fromkeys(_said(value) for value in (*outputs, *inner.values()) if value.unproven))
        unproven = tuple(dict.fromkeys((*unproven, *left)))
    compared = [
        compare(f"output {number}", value, got)
        for number, (value, got) in enumerate(zip(outputs, got_outputs, strict=False))
    ]
    # What several operations compute now, where one layer had several outputs, has no tensor for each of them.
    new_counts, old_counts = Counter(place[:2] for place in places), Counter(place[:2] for place in inner)
    between = {
        place: found
        for place, got in zip(places, got_inner, strict=True)
        if place in inner
        and new_counts[place[:2]] == old_counts[place[:2]]
        and place[:2] not in given
        and (found := compare(spoken(place[0]), inner[place], got)) is not None
    }
    ordered = [between[place] for place in inner if place in between]
    proven = [one for one in compared if one is not None]
    if len(outputs) != len(got_outputs):
        raise VerificationError(
            "the new model has another number of outputs", expected=len(outputs), found=len(got_outputs)
        )
    # What goes into a layer whose output is taken as it is can be seen in the tensors inside alone.
    informative = all(not one.constant for one in proven) and len(proven) == len(compared) and not given
    wrong = [one for one in proven if not one.agrees]
    if wrong or (not informative and any(not one.agrees for one in ordered)):
        raise _refused(whole, plan, inputs, inner, between, wrong)
    tcns = {
        address: between[place].difference
        for address in old.tcns
        for place in [next((p for p in between if p[0] == address), None)]
        if place is not None
    }
    return Proof(tuple(proven), tuple(ordered), unproven, tcns, tuple(tuple(np.shape(one)) for one in inputs))


def _handed_back(inner: Mapping[Place, Value], got: Mapping[Place, Array]) -> dict[tuple[Address, Any], list[Array]]:
    """What Keras computes in layers that are not computed a second time, so that those behind them can be.

    The tensors that go into such a layer are compared, and what comes out is taken as it is.
    """
    found: dict[tuple[Address, Any], list[Array]] = {}
    for (address, calls, _), value in inner.items():
        if value.unproven is None or value.unproven.layer != "/".join(address):
            continue
        outputs = [got[place] for place in sorted(p for p in got if p[:2] == (address, calls))]
        if outputs and all(one.dtype.kind in "biuf" for one in outputs):
            found[address, calls] = outputs
    return found


def _said(value: Value) -> str:
    reason = value.unproven
    assert reason is not None
    return f"{quoted(reason.layer)} ({quoted(reason.class_name)[1:-1]}): {reason.reason}"


def compare(name: str, value: Value, got: Array) -> Compared | None:
    """One tensor; None if the old one was not computed."""
    wanted = value.values
    if wanted is None:
        return None
    if wanted.shape != got.shape:
        return Compared(name, np.inf, 0.0, False)
    if wanted.dtype.kind not in "biuf" or got.dtype.kind not in "biufV":
        same = bool(np.array_equal(wanted.astype(str), got.astype(str)))
        return Compared(name, 0.0 if same else np.inf, 0.0, same)
    wanted, new = wanted.astype(np.float64), got.astype(np.float64)
    finite = np.isfinite(wanted)
    if not np.array_equal(finite, np.isfinite(new)):
        half = got.dtype.itemsize < 4 and bool((np.abs(wanted[finite & ~np.isfinite(new)]) > 6e4).all())
        if not half:  # beyond what float16 can hold
            return Compared(name, np.inf, 0.0, False)
        finite = finite & np.isfinite(new)
    if not finite.any():
        return Compared(name, 0.0, 0.0, True, constant=True)
    apart = np.where(finite, np.abs(np.where(finite, new - np.where(finite, wanted, 0), 0)), 0)
    at = np.unravel_index(int(np.argmax(apart)), apart.shape)
    largest, size = float(apart[at]), float(np.abs(wanted[finite]).max(initial=0.0))
    unit = UNITS.get(str(got.dtype), SINGLE)
    allowed = max(MARGIN * value.explained, unit * size)
    scale = max(float(wanted[finite].std()), _CONSTANT * size, 1e-30)
    return Compared(
        name,
        largest / scale,
        value.explained / scale,
        largest <= allowed,
        _is_constant(np.where(finite, wanted, 0), size),
        (float(wanted[at]), float(new[at])),
    )


def _is_constant(values: Array, size: float) -> bool:
    """Whether values are the same in all samples; of one sample, whether they are all the same."""
    if values.ndim and len(values) > 1:
        return bool(np.ptp(values, axis=0).max(initial=0.0) <= _CONSTANT * size)
    return bool(np.ptp(values) <= _CONSTANT * size)


def _inside(
    model: Any, plan: Plan, prefix: Address = (), calls: tuple[int, ...] = ()
) -> Iterator[tuple[Place, Any, Any]]:
    """The tensors between the layers of a Functional model that the old one has, too, and the calls that give them."""
    entries = _entries(plan, prefix)
    if entries is None:
        return
    operations = _operations(model, plan, prefix)
    own = {id(node) for nodes in model._nodes_by_depth.values() for node in nodes}
    for name in entries:
        operation = operations.get(name.replace("/", "_"))
        if operation is None or type(operation).__name__ == "InputLayer":
            continue
        nodes = [node for node in operation._inbound_nodes if id(node) in own]
        for number, node in enumerate(nodes):
            for index, tensor in enumerate(node.output_tensors):
                yield ((*prefix, name), (*calls, number), index), tensor, node


def _operations(model: Any, plan: Plan, prefix: Address) -> dict[str, Any]:
    """The layers and operations of a model by the names in its config.

    An operation with settings has no name of its own before Keras 3.11 (`config.graph.drawing`), and Keras then counts
    those of a class in the order of the config.
    """
    found = {operation.name: operation for operation in model.operations}
    here: Any = plan.config
    for name in prefix:
        layers = here["config"].get("layers", [])
        here = next((entry for entry in layers if name_of(entry) == name.replace("/", "_")), {"config": {}})
    unnamed: dict[str, list[str]] = {}
    for entry in here["config"].get("layers", []):
        if is_operation(entry) and "name" not in entry["config"]:
            unnamed.setdefault(entry["class_name"], []).append(name_of(entry))
    taken = {name_of(entry) for entry in here["config"].get("layers", []) if "name" in entry["config"]}
    for class_name, names in unnamed.items():
        counted = [one for one in model.operations if type(one).__name__ == class_name and one.name not in taken]
        counted.sort(key=lambda one: int(number[0]) if (number := re.findall(r"_(\d+)$", one.name)) else 0)
        if len(counted) == len(names):
            found |= dict(zip(names, counted, strict=True))
    return found


def _entries(plan: Plan, prefix: Address) -> dict[str, Any] | None:
    """The layers of the old model at an address; None if there is no model."""
    assert plan.stored is not None
    here: Any = plan.stored.config
    for name in prefix:
        here = next((entry for entry in here["config"]["layers"] if name_of(entry) == name), {})
        if here.get("class_name") not in ("Functional", "Sequential"):
            return None
    return {name_of(entry): entry for entry in here["config"]["layers"]}


def _run(model: Any, whole: Any, tensors: Sequence[Any], inputs: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    """The outputs of the model, and the values of tensors inside, of one prediction."""
    import keras

    taken = as_taken(model, inputs)
    if whole is None or not tensors:
        return _flat(model(taken, training=False)), []
    outputs = list(whole.outputs)
    part = keras.Model(list(whole.inputs), [*outputs, *tensors])
    made = _flat(part(list(inputs) if len(inputs) > 1 else inputs[0], training=False))
    return made[: len(outputs)], made[len(outputs) :]


def _flat(value: Any) -> list[Array]:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in _flat(part)]
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in _flat(part)]
    import keras

    return [np.asarray(keras.ops.convert_to_numpy(value))]


def _refused(
    whole: Any,
    plan: Plan,
    inputs: Sequence[Array],
    inner: Mapping[Place, Value],
    between: Mapping[Place, Compared],
    wrong: Sequence[Compared],
) -> VerificationError:
    """The first layer, in the order of computation, whose output is another one."""
    place = next((place for place in inner if place in between and not between[place].agrees), None)
    found = wrong[0] if place is None else between[place]
    if place is not None:
        place, found = _deepest(whole, plan, inputs, inner, place, found)
    entry = None if place is None else (_entries(plan, place[0][:-1]) or {}).get(place[0][-1])
    named = found.name if place is None else spoken(place[0])
    kind = "" if entry is None else f" (class {quoted(entry['class_name'])})"
    worst = max(wrong, key=lambda one: one.difference, default=found)
    outputs = f"; the model's {worst.name} differs by {worst.difference:.2g}" if wrong and place is not None else ""
    return VerificationError(
        "the new model computes something else than the old library did",
        address=named if place is None else f"layer {quoted(named)}{kind}",
        expected=f"{found.worst[0]:.6g}, within {MARGIN:g} times the {found.explained:.2g} standard deviations that "
        "rounding explains",
        found=f"{found.worst[1]:.6g}, a difference of {found.difference:.2g} standard deviations{outputs}",
        hint="Please report it: this is a fault of tcn-migrate. --no-verify writes the file nevertheless",
    )


def _deepest(
    model: Any, plan: Plan, inputs: Sequence[Array], inner: Mapping[Place, Value], place: Place, found: Compared
) -> tuple[Place, Compared]:
    """The first layer inside a nested model that differs, where that can be told."""
    import keras

    try:
        for _ in range(20):
            address, calls, _ = place
            below = next((p for p in inner if p[0][:-1] == address and p[1][:-1] == calls), None)
            node = next((n for p, _, n in _inside(model, plan, address[:-1], calls[:-1]) if p == place), None)
            if below is None or node is None:
                break
            fed = keras.Model(list(model.inputs), list(node.input_tensors))
            inputs = _flat(fed(list(inputs) if len(inputs) > 1 else inputs[0], training=False))
            model = getattr(node.operation, "_functional", None) or node.operation
            held = list(_inside(model, plan, address, calls))
            _, values = _run(model, model, [tensor for _, tensor, _ in held], inputs)
            pairs = zip((p for p, _, _ in held), values, strict=True)
            seen = {p: compare(spoken(p[0]), inner[p], got) for p, got in pairs if p in inner}
            deeper = next((p for p in inner if (one := seen.get(p)) is not None and not one.agrees), None)
            if deeper is None:
                break
            place, found = deeper, seen[deeper] or found
    except Exception:  # a wrapper, or a model that is called in an unusual way
        return place, found
    return place, found


def prove_tcn(layer: Any, reading: TCNReading, old: Old) -> float:
    """The largest difference of one TCN's output from the evaluation, as a fraction of its deviation.

    It is for a TCN whose output is no tensor of the model, as in a wrapper.

    Args:
        layer: the one of the new model.
        reading: what the TCN is.
        old: the old model.

    Raises:
        VerificationError: it is more than rounding.
    """
    rng = np.random.default_rng(0)
    # As many as the farthest tap reaches and some more.
    steps = reading.steps or min(256, max(8, reading.settings.kernel_size * max(reading.settings.dilations)))
    x = rng.standard_normal((1, steps, reading.input_width)).astype(np.float32)
    value = evaluate_layer(old, reading.address, "TCN", x)
    if len(getattr(layer, "input_shape", x.shape)) == 4:  # drawn for each step of a TimeDistributed
        got = _flat(layer(x[:, None], training=False))[0][:, 0]
    else:
        got = _flat(layer(x, training=False))[0]
    name = spoken(reading.address)
    found = compare(name, value, got)
    if found is None:
        raise VerificationError(f"this TCN cannot be computed a second time: {value.unproven}", address=name)
    if not found.agrees:
        raise VerificationError(
            "the new layer's output differs from what the old library computed with the source's arrays",
            address=name,
            expected=f"at most {MARGIN:g} times the {found.explained:.2g} standard deviations that rounding explains",
            found=f"{found.difference:.3g}",
        )
    return found.difference
