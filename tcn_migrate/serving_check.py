"""A SavedModel's own serving graph as a witness: the new model has to predict what it computes.

The graph was traced from the model when it was exported, so it does not depend on how this package reads a config.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array, Json
from tcn_migrate.containers import saved_model
from tcn_migrate.errors import MigrationError, VerificationError, foreseen, quoted
from tcn_migrate.inputs import saved_model_of
from tcn_migrate.moves import Plan
from tcn_migrate.serving_graph.compare import Agreement, compare
from tcn_migrate.serving_graph.limits import NotInterpreted
from tcn_migrate.serving_graph.names import model_inputs, model_outputs
from tcn_migrate.serving_graph.witness import witness
from tcn_migrate.trial_run import drawn

_RECOVERED = "norms were recovered, with which it does not compute"


def compare_with_serving_graph(model: Any, plan: Plan) -> Agreement | None:
    """Compares the new model's predictions on drawn inputs with the serving graph of the SavedModel it was made of.

    Args:
        model: the new model, which has predicted once already.
        plan: what it was made by.

    Returns:
        What was seen; None if the source is no SavedModel.

    Raises:
        VerificationError: an output differs by more than rounding explains.
    """
    folder = saved_model_of(Path(plan.origin.path)) if plan.origin.container == saved_model.CONTAINER else None
    if folder is None:
        return None
    try:
        with foreseen():
            graph = witness(folder)
            config = _old_config(folder) or plan.config
            inputs, outputs = _predicted(model)
            named = _named(model_inputs(config), graph.serving.inputs, inputs, "inputs")
            predicted = _named(model_outputs(config), graph.serving.outputs, outputs, "outputs")
            differences, too_large = compare(graph, named, predicted, half=_computes_in_16_bits(model))
    except MigrationError as error:
        return Agreement(not_compared=error.problem)
    except OSError as error:
        return Agreement(not_compared=f"it can no longer be read ({error.strerror or type(error).__name__})")
    if not too_large:
        return Agreement(differences)
    if any(not move.sources for move in plan.moves):
        return Agreement(differences, expected=_RECOVERED)
    worst = max(too_large, key=lambda one: one.difference)
    raise VerificationError(
        "the new model predicts something else than the serving graph that the SavedModel was exported with, so the "
        "stored config and the graph disagree, or this is a fault of tcn-migrate",
        address=f"output {quoted(worst.output)}",
        expected=f"{worst.graph:.6g} (the graph), to {worst.tolerance:.1g} standard deviations",
        found=f"{worst.model:.6g} (the new model), which is {worst.difference:.2g} standard deviations away",
        hint="If the model was exported with a signature of its own that computes something else, --no-verify writes "
        "the file without this comparison; otherwise please report it",
    )


def _old_config(folder: Path) -> Json | None:
    """The stored config, which has the names that the signature uses; None if the user gave one."""
    try:
        return saved_model.read(folder).config
    except MigrationError:
        return None


def _predicted(model: Any) -> tuple[list[Array], list[Array]]:
    """Inputs on which the model can be called, and what it predicts."""
    failure: Exception | None = None
    for inputs in drawn(model):
        given = _with_blank_steps(inputs, model)
        try:
            predicted = model(given if len(given) > 1 else given[0], training=False)
        except Exception as error:
            failure = error
            continue
        import keras

        return given, [_in_numpy(one) for one in keras.tree.flatten(predicted)]
    raise NotInterpreted(f"the new model could not be called with several samples ({type(failure).__name__})")


def _with_blank_steps(inputs: list[Array], model: Any) -> list[Array]:
    """The drawn sample, and behind it the same with 0 in its last steps, as padded series have.

    A layer that masks has then something to mask. One sample is all where the batch is fixed, or images make it costly.
    """
    if any(tensor.shape[0] is not None or len(tensor.shape) > 3 for tensor in model.inputs):
        return inputs
    twice = []
    for values in inputs:
        blank = values.copy()
        if values.ndim > 1 and values.dtype.kind in "fiu":
            blank[:, values.shape[1] - values.shape[1] // 4 :] = 0
        twice.append(np.concatenate([values, blank]))
    return twice


def _in_numpy(tensor: Any) -> Array:
    import keras

    values = keras.ops.convert_to_numpy(tensor)
    return values.astype(np.float32) if str(values.dtype) == "bfloat16" else np.asarray(values)


def _named(own: list[str], signature: tuple[str, ...], arrays: list[Array], what: str) -> dict[str, Array]:
    """The model's inputs or outputs by the names that the signature gives them; a single input needs no name.

    Raises:
        NotInterpreted: the names differ, so that nothing tells which is which.
    """
    if not own and len(signature) == len(arrays) == 1:
        own = list(signature)
    if set(own) != set(signature) or len(own) != len(arrays):
        raise NotInterpreted(
            f"its {what} {', '.join(map(quoted, sorted(signature)[:6]))} are not called as those of the model, "
            f"{', '.join(map(quoted, sorted(own)[:6])) or 'which have no names'}"
        )
    return dict(zip(own, arrays, strict=True))


def _computes_in_16_bits(model: Any) -> bool:
    return any("16" in str(layer.compute_dtype) for layer in model._flatten_layers())
