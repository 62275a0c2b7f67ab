"""Dense layers, embeddings, masks, and layers that do nothing in inference.

Source: keras/src/layers/core (2.15 and 3.15).
"""

from __future__ import annotations

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.evaluation.activations import activate
from tcn_migrate.evaluation.table import Arguments, Layer, computes, elementary
from tcn_migrate.evaluation.tensors import Tensor, floating


def with_bias(layer: Layer, y: Array) -> Array:
    bias = layer.weight("bias")
    return y if bias is None else np.asarray(y + bias)


@elementary("Dense", passes=True)
def dense(layer: Layer, x: Array) -> Array:
    y = with_bias(layer, layer.product(x, layer.needed("kernel")))
    return activate(layer, layer.rounded(y), layer.config.get("activation"))


@computes("EinsumDense")
def einsum_dense(layer: Layer, arguments: Arguments) -> Tensor:
    """It ends masks in Keras 2 and passes them in Keras 3. An ellipsis stands for all axes that have no letter."""
    x = arguments.tensor(layer)
    y = projected(layer, x.values, str(layer.config["equation"]))
    return Tensor(activate(layer, y, layer.config.get("activation")), None if layer.keras_2 else x.mask)


def projected(layer: Layer, x: Array, equation: str) -> Array:
    """`einsum(equation, x, kernel) + bias`; the bias is stored with the axes that it is broadcast along."""
    equation = equation.replace(" ", "")
    if "..." in equation:
        inside = equation.partition(",")[0].replace("...", "")
        free = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in equation]
        equation = equation.replace("...", "".join(free[: x.ndim - len(inside)]))
    return layer.rounded(with_bias(layer, layer.einsum(equation, x, layer.needed("kernel"))))


@computes("Embedding")
def embedding(layer: Layer, arguments: Arguments) -> Tensor:
    x = arguments.tensor(layer)
    mask = x.values != 0 if layer.config.get("mask_zero") else None
    indices = x.values.astype(np.int64)
    return Tensor(layer.needed("embeddings")[indices], mask)


@computes("ReversibleEmbedding")
def reversible_embedding(layer: Layer, arguments: Arguments) -> Tensor:
    if arguments.kwargs.get("reverse") or len(arguments.args) > 1:
        raise layer.unproven("it is called in reverse")
    return embedding(layer, arguments)  # type: ignore[no-any-return]


@computes("Masking")
def masking(layer: Layer, arguments: Arguments) -> Tensor:
    x = floating(arguments.tensor(layer).values)
    different = x != np.float64(np.float32(layer.config.get("mask_value", 0.0)))
    return Tensor(x * different.any(axis=-1, keepdims=True), different.any(axis=-1))


@computes(
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
)
def inactive(layer: Layer, arguments: Arguments) -> Tensor:
    """Layers that are for training alone."""
    rate = layer.config.get("rate", layer.config.get("stddev", 0))
    if layer.training and layer.class_name != "ActivityRegularization" and rate:
        raise layer.unproven("it is always called with training=True, and then computes something random")
    return arguments.tensor(layer)


@computes("AddLoss", "AddMetric")
def losses(layer: Layer, arguments: Arguments) -> Tensor:
    """`model.add_loss` and `add_metric` hand their input on."""
    return arguments.tensor(layer)


@computes("Identity")
def identity(layer: Layer, arguments: Arguments) -> Tensor:
    """It passes its input's mask on in Keras 3, and ends it in Keras 2 (measured with 2.15)."""
    x = arguments.tensor(layer)
    return Tensor(x.values, None if layer.keras_2 else x.mask)
