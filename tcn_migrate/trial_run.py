"""One prediction of a whole model on drawn inputs: a model that loads and cannot predict is not migrated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tcn_migrate.errors import VerificationError, quoted, reason

LENGTHS = (16, 64, 256)
"""What takes the place of an open length, one after the other: a convolution without padding needs as many steps as its
kernel reaches."""
MOST_VALUES = 1 << 22
"""Values of one input; of more, open lengths are not tried."""

Shape = tuple[int, ...]


def run_once(model: Any, trials: Sequence[list[Any]] | None = None) -> tuple[Shape, ...]:
    """Calls a model once in inference mode, on one sample unless it has a fixed batch.

    Floating-point inputs are drawn from a standard normal distribution; whole numbers, and what an Embedding may look
    up, are in the range of every Embedding of the model; texts are words.

    Args:
        model: a loaded `keras.Model`.
        trials: inputs to try one after the other; by default they are drawn here.

    Returns:
        The shapes of the inputs that it was run on.

    Raises:
        VerificationError: it cannot predict, with the first layer that fails, and what Keras says.
    """
    failure: Exception | None = None
    inputs: list[Any] = []
    for inputs in drawn(model) if trials is None else trials:
        try:
            model(as_taken(model, inputs), training=False)
            return tuple(tuple(np.shape(one)) for one in inputs)
        except Exception as error:
            failure = error  # of the inputs on which the layer is looked for
    if failure is None:
        return ()
    layer = _first_that_fails(model, inputs)
    raise VerificationError(
        f"the new model cannot predict here ({type(failure).__name__}: {reason(failure)})",
        address=None if layer is None else f"layer {quoted(layer.name)} (class {quoted(type(layer).__name__)})",
        hint="Another backend of Keras may compute it (KERAS_BACKEND=jax or torch, where installed); --no-verify "
        "writes the file without this trial",
    )


def as_taken(model: Any, inputs: Sequence[Any]) -> Any:
    """The inputs in the structure that the model is called with."""
    structure = getattr(model, "_inputs_struct", None)
    if isinstance(structure, dict):
        return dict(zip(structure, inputs, strict=True))
    return list(inputs) if len(inputs) > 1 else inputs[0]


def drawn(model: Any) -> Iterator[list[Any]]:
    """Inputs for each open length that is tried; once if no length is open."""
    rng = np.random.default_rng(0)
    looked_up = min((layer.input_dim for layer in _embeddings(model)), default=None)
    batch = next((tensor.shape[0] for tensor in model.inputs if tensor.shape[0] is not None), 1)
    shapes = [(batch, *tuple(tensor.shape)[1:]) for tensor in model.inputs]
    is_open = any(size is None for shape in shapes for size in shape)
    for length in LENGTHS if is_open else LENGTHS[:1]:
        sized = [tuple(length if size is None else size for size in shape) for shape in shapes]
        if is_open and length != LENGTHS[0] and max(map(math.prod, sized)) > MOST_VALUES:
            return
        yield [_values(tensor, shape, looked_up, rng) for tensor, shape in zip(model.inputs, sized, strict=True)]


def _values(tensor: Any, shape: Shape, looked_up: int | None, rng: np.random.Generator) -> Any:
    kind = str(tensor.dtype)
    if kind == "string":
        return np.full(shape, "word")
    if kind == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if looked_up is not None or "int" in kind:
        return rng.integers(0, min(looked_up or 2, 100), shape).astype(kind)
    return rng.standard_normal(shape).astype("float32" if kind == "bfloat16" else kind)


def _embeddings(model: Any) -> Iterator[Any]:
    for layer in model._flatten_layers(include_self=False):
        if type(layer).__name__ == "Embedding":
            yield layer


def _first_that_fails(model: Any, inputs: Sequence[Any]) -> Any:
    """The first layer of a model that cannot be computed; None where it cannot be told."""
    import keras

    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    try:
        outputs = [[t for node in layer._inbound_nodes for t in node.output_tensors] for layer in layers]
        good, bad = 0, len(layers)  # the first `good` layers can be computed, the first `bad` cannot
        while bad - good > 1:
            middle = (good + bad) // 2
            part = keras.Model(model.inputs, [tensor for below in outputs[:middle] for tensor in below])
            try:
                part(list(inputs) if len(inputs) > 1 else inputs[0], training=False)
                good = middle
            except Exception:
                bad = middle
        return layers[bad - 1]
    except Exception:  # a layer that is used in another model, too, or a model of another kind
        return None
