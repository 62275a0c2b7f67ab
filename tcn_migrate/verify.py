"""Proof that the new file computes what the old one did: the only room that opens it in Keras.

Every variable of the loaded model is compared bit for bit with its source, and the whole model with what the old
library computes (`proof`). Only files that this package wrote are opened here.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tcn_migrate.errors import VerificationError, quoted, reason
from tcn_migrate.inputs import modules_of
from tcn_migrate.moves import Plan
from tcn_migrate.naming import store
from tcn_migrate.naming.entries import Address, spoken
from tcn_migrate.proof import Proof, old_model, prove, prove_tcn
from tcn_migrate.serving_check import compare_with_serving_graph
from tcn_migrate.serving_graph.compare import Agreement

SINGLE_TOLERANCE = 1e-4
"""Largest difference of recorded predictions that passes, as a fraction of their deviation."""
HALF_TOLERANCE = 5e-2
"""The same where the layer computes in 16 bits, of which bfloat16 keeps 8."""
MOST_BESIDES = 1 << 24
"""Elements of variables that no file stores and the user's own layers may make."""


@dataclass(frozen=True)
class Evidence:
    """What verification saw.

    Attributes:
        variables: how many the model has, seeds of random generators left out.
        bit_exact: how many of them are bit for bit the source's.
        recomputed: how many are the values that the plan made of several arrays, bit for bit.
        tcn_differences: the largest difference of each TCN's output from the evaluation, as a fraction of the
            output's standard deviation.
        run_on: the shapes of the inputs on which the whole model was run once.
        proof: how the whole model compares with the old one on them.
        serving_graph: how the new model agrees with the serving graph of a SavedModel, or None for other sources.
    """

    variables: int
    bit_exact: int
    recomputed: int
    tcn_differences: Mapping[Address, float]
    run_on: tuple[tuple[int, ...], ...] = ()
    proof: Proof = field(default_factory=Proof)
    serving_graph: Agreement | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "variables": self.variables,
            "bit_exact": self.bit_exact,
            "recomputed": self.recomputed,
            "tcn_differences": {"/".join(a): d for a, d in self.tcn_differences.items()},
            "run_on": [list(shape) for shape in self.run_on],
            "outputs": [one.as_json() for one in self.proof.outputs],
            "inner": [one.as_json() for one in self.proof.inner],
            "not_proven": list(self.proof.unproven),
            "serving_graph": None if self.serving_graph is None else self.serving_graph.as_json(),
        }


def load(path: Path, custom_objects: Mapping[str, Any] | None = None, *, target: str = "layer") -> Any:
    """The model in a file that this package wrote.

    Args:
        target: of the migration. A plain model is loaded without this package's layers, since whoever uses it has none.

    Raises:
        VerificationError: Keras cannot load it.
    """
    with quiet():
        import keras

        if target == "layer":
            import tcn_migrate.tcn.layer  # noqa: F401  registers the layers

        try:
            return keras.saving.load_model(path, custom_objects=dict(custom_objects or {}), compile=False)
        except Exception as error:
            raise VerificationError(
                f"Keras {keras.__version__} cannot load the new file ({type(error).__name__}): {reason(error)}",
                hint=_raised_in(error, custom_objects or {})
                or "This is a fault of tcn-migrate, or a layer takes an input that it never had; please report it",
            ) from None


def _raised_in(error: BaseException | None, custom_objects: Mapping[str, Any]) -> str | None:
    """Where the user's own code raised an error, if it did."""
    own = set(map(str, modules_of(custom_objects)))
    place = None
    while error is not None:
        for frame, line in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename in own:
                place = f"{quoted(frame.f_code.co_filename, 200)[1:-1]}, line {line}"
        error = error.__cause__ or error.__context__
    return None if place is None else f"Your own code raised it: {place}"


_SILENCED = threading.RLock()
"""What is silenced belongs to the whole process, so one thread at a time silences it."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what backends print while they start: TensorFlow writes to the file descriptor, past Python."""
    with _SILENCED:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        started = "keras" in sys.modules
        saved = None if started else os.dup(2)
        try:
            if saved is not None:
                with open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            if saved is not None:
                os.dup2(saved, 2)
                os.close(saved)


def check_size(plan: Plan, custom_objects: Mapping[str, Any] | None = None) -> None:
    """Refuses a config for which Keras would make more variables than the plan has values for.

    Keras makes variables of whatever sizes a config implies before it reads the first array. What a config implies is
    compared with the arrays long before; this is for what the tables of this package do not know. The model is built
    once without values, in a thread of its own: what Keras notes of variables without values belongs to the thread.

    Raises:
        VerificationError: more than the plan's elements and `MOST_BESIDES`.
    """
    with quiet():
        import keras

        if plan.target == "layer":
            import tcn_migrate.tcn.layer  # noqa: F401  registers the layers
    most = MOST_BESIDES + sum(math.prod(move.shape) for move in plan.moves)

    def elements() -> int:
        try:
            with keras.StatelessScope(initialize_variables=False):
                config = copy.deepcopy(plan.config)
                model = keras.saving.deserialize_keras_object(config, custom_objects=dict(custom_objects or {}))
            return sum(math.prod(variable.shape) for variable in model.variables)
        except Exception:
            return 0  # loading fails in the same way, and says why

    with ThreadPoolExecutor(1) as beside:
        count = beside.submit(elements).result()
    if count > most:
        raise VerificationError(
            "the model asks for variables that the file has no arrays for",
            expected=f"at most {most} numbers",
            found=count,
        )


def verify(path: Path, plan: Plan, custom_objects: Mapping[str, Any] | None = None) -> tuple[Evidence, Any]:
    """Compares the written file with its source.

    Args:
        path: what was written.
        plan: what was to be written.
        custom_objects: the user's classes by name.

    Returns:
        What was seen, and the loaded model.

    Raises:
        VerificationError: a variable or an output is not the source's, or the model cannot predict.
    """
    check_size(plan, custom_objects)
    model = load(path, custom_objects, target=plan.target)
    exact, recomputed = compare_variables(model, plan)
    with quiet():
        old = old_model(plan)
        proof = prove(model, plan, old)
        differences = dict(proof.tcns or {})
        if old is not None:
            for address in plan.tcns.keys() - differences.keys():
                layer = layer_at(model, plan.tcn_paths[address])
                differences[address] = prove_tcn(layer, old.tcns[address], old)
        serving = compare_with_serving_graph(model, plan)
        compile_model(model, plan)
    return Evidence(exact + recomputed, exact, recomputed, differences, proof.run_on, proof, serving), model


def compile_model(model: Any, plan: Plan) -> None:
    """Compiles the model as Keras will when it loads the file, and gives the optimizer its state.

    Raises:
        VerificationError: Keras cannot, so that it could not load the file either.
    """
    if plan.compile_config is None:
        return
    problem = None
    try:
        model.compile_from_config(copy.deepcopy(plan.compile_config))  # Keras puts objects in the place of settings
        wanted = [move.shape for move in plan.optimizer]
        if wanted and wanted != [tuple(variable.shape) for variable in model.optimizer.variables]:
            problem = "the optimizer has other variables"
        elif wanted:
            model.optimizer.load_own_variables({str(n): move.values() for n, move in enumerate(plan.optimizer)})
    except Exception as error:
        problem = f"{type(error).__name__}: {reason(error)}"
    if problem is not None:
        raise VerificationError(
            f"Keras cannot compile the new model as the old one was ({problem})",
            hint="Give --drop-optimizer, and please report it: this is a fault of tcn-migrate",
        )


def compare_variables(model: Any, plan: Plan) -> tuple[int, int]:
    """Counts the variables that are the source's bits, and those that are the plan's product of several arrays."""
    exact = recomputed = 0
    held: dict[int, dict[str, Any]] = {}
    compared: set[tuple[int, str]] = set()
    for move in plan.moves:
        path, _, number = move.target.rpartition("/vars/")
        layer = layer_at(model, path)
        if id(layer) not in held:
            held[id(layer)] = {}
            layer.save_own_variables(held[id(layer)])
        value = held[id(layer)].get(number)
        compared.add((id(layer), number))
        wanted = move.values()
        got = None if value is None else np.asarray(value)
        if got is None or got.shape != wanted.shape or not _same_bits(got, wanted):
            raise VerificationError(
                "the new model's variable is not the source's",
                address=spoken(move.address),
                found=_difference(got, wanted),
            )
        exact, recomputed = exact + (move.grade == "copied"), recomputed + (move.grade != "copied")
    count = sum(1 for v in model.variables if "seed" not in v.path.rpartition("/")[2])
    if count > len(compared):
        raise VerificationError(
            "the new model has variables that nothing was copied into", expected=len(compared), found=count
        )
    return exact, recomputed


def _same_bits(got: Any, wanted: Any) -> bool:
    if got.dtype != wanted.dtype:
        # A model that computes in 64 bits holds 32-bit sources exactly, and the other way round it must not lose any.
        return bool(np.array_equal(got.astype(wanted.dtype), wanted, equal_nan=True)) and bool(
            np.array_equal(got, wanted.astype(got.dtype), equal_nan=True)
        )
    return (
        bool(np.array_equal(got.view(np.uint8), wanted.view(np.uint8)))
        if got.ndim
        else got == wanted or (got != got and wanted != wanted)
    )


def _difference(got: Any, wanted: Any) -> str:
    if got is None:
        return "no variable"
    if got.shape != wanted.shape:
        return f"shape {got.shape} instead of {wanted.shape}"
    return f"a largest difference of {float(np.max(np.abs(got.astype(np.float64) - wanted.astype(np.float64)))):.3g}"


def layer_at(model: Any, path: str) -> Any:
    """The live layer at a path of Keras's weight store.

    The path is followed as Keras follows it when it loads: by attributes, and by the classes of what a container holds.
    No layer's name is part of it, so that none can be taken for something else.

    Args:
        model: the loaded model.
        path: such as `layers/tcn/residual_block_0/conv1D_0`.

    Raises:
        VerificationError: there is no layer.
    """
    here = model
    for part in path.split("/"):
        if isinstance(here, dict):
            here = list(here.values())
        if isinstance(here, list | tuple | set):
            found = list(here)
            keys = store.keys([{"class_name": type(item).__name__} for item in found])
            here = dict(zip(keys, found, strict=True)).get(part)
        else:
            here = getattr(here, part, None)
        if here is None:
            raise VerificationError("the new model has no such layer", address=quoted(path))
    return here


def scale_of(values: Any, least: float) -> float:
    """What a difference from `values` is measured in: their deviation; where they hardly vary, a part of their size."""
    if not values.size:
        return 1.0
    return max(float(values.std()), 1e-3 * float(np.abs(values).max()), least)
