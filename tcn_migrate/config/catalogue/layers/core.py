"""Inputs, dense layers, embeddings, wrappers, models, and classes of Keras 2 that are of no other family."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.layer_class import (
    ANY,
    HANDS_ON,
    MAKES,
    PASSES,
    PASSES_IN_KERAS_3,
    RECURRENT,
    Part,
    Shape,
    Variable,
    activation_part,
    bias,
    entry_at,
    layer,
    name_in,
    only_if,
    size_of,
    wrapped,
)
from tcn_migrate.config.catalogue.layers import convolution
from tcn_migrate.config.catalogue.settings import BIAS, KERNEL
from tcn_migrate.config.catalogue.shapes import of_one, same, whole

_EMBEDDING = "input_dim output_dim embeddings_initializer embeddings_regularizer embeddings_constraint mask_zero"
_QUANTIZED = {"quantization_config": None}


def _dense(config: Json) -> Iterable[Variable]:
    units = size_of(config.get("units"))
    return (Variable("kernel", (None, units)), *bias(config, units))


def _einsum_dense(config: Json) -> Iterable[Variable]:
    """Sizes of the kernel's axes that the output has too; the others are the input's."""
    equation, output_shape = config.get("equation"), config.get("output_shape")
    sizes: dict[str, int | None] = {}
    kernel: str | None = None
    if isinstance(equation, str) and equation.count(",") == 1 and equation.count("->") == 1:
        inputs, output = equation.replace(" ", "").split("->")
        kernel = inputs.split(",")[1]
        if isinstance(output_shape, list | tuple):
            sizes = dict(zip(output[::-1], [size_of(size) for size in output_shape][::-1], strict=False))
        elif output:
            sizes = {output[-1]: size_of(output_shape)}
    yield Variable("kernel", tuple(sizes.get(axis) for axis in kernel) if kernel is not None else None)
    axes = config.get("bias_axes")
    if isinstance(axes, str) and axes:
        yield Variable("bias", None)


def _embedding(config: Json) -> Iterable[Variable]:
    return (Variable("embeddings", (size_of(config.get("input_dim")), size_of(config.get("output_dim")))),)


def _reversible_embedding(config: Json) -> Iterable[Variable]:
    rows, width = size_of(config.get("input_dim")), size_of(config.get("output_dim"))
    tied = config.get("tie_weights", True)
    return (*_embedding(config), *only_if(not tied, Variable("reverse_embeddings", (width, rows))))


def _embedded(config: Json, shapes: Sequence[Shape | None]) -> Shape | None:
    shape = same(config, shapes)
    return None if shape is None else (*shape, whole(config.get("output_dim")))


def _two_directions(config: Json) -> Iterable[Part]:
    """The backward layer is the forward one the other way round, unless the config gives it (Keras 3 always does)."""
    forward = entry_at(config, "layer")
    backward = entry_at(config, "backward_layer") or turned_round(forward)
    for direction, entry in (("forward", forward), ("backward", backward)):
        plain = name_in(entry).removeprefix("forward_").removeprefix("backward_")
        yield Part(f"{direction}_layer", entry, scopes=tuple(dict.fromkeys((f"{direction}_{plain}", name_in(entry)))))


def turned_round(entry: Json) -> Json:
    config = entry.get("config")
    if not isinstance(config, dict):
        return entry
    return {**entry, "config": {**config, "go_backwards": not config.get("go_backwards", False)}}


def _spectral_normalization(config: Json) -> Iterable[Variable]:
    """The wrapped kernel stands here again; `vector_u` is its left singular vector, kept from step to step."""
    inner = entry_at(config, "layer")
    rule = _WITH_KERNEL.get(str(inner.get("class_name")))
    own = rule(inner.get("config") or {}) if rule is not None else ()
    kernel = next((one for one in own if one.name in {"kernel", "embeddings"}), Variable("kernel"))
    width = kernel.shape[-1] if kernel.shape else None
    return (
        Variable("kernel", kernel.shape, copy_of=("layer", kernel.name)),
        Variable("vector_u", (1, width), aliases=("sn_u",), trainable=False),
    )


_NO_FEATURE_COLUMNS = "Keras 3 has no feature columns"
_LOSS: dict[str, Any] = {"replaced_by": "Identity", "masks": HANDS_ON}

ROWS = (
    layer(
        "InputLayer",
        "batch_shape sparse ragged optional",
        younger={"optional": False, "ragged": False},
        keras_2_settings={
            "trainable": ANY,
            "ragged": False,
            "type_spec": None,
            "batch_size": None,
            "input_tensor": None,
        },
        several_outputs=True,
    ),
    layer(
        "Dense",
        f"units activation quantization_config {KERNEL} {BIAS}",
        younger=_QUANTIZED,
        variables=_dense,
        parts=activation_part,
        output_shape=of_one(lambda config, shape: (*shape[:-1], whole(config.get("units")))),
        masks=PASSES,
    ),
    layer(
        "EinsumDense",
        f"equation output_shape bias_axes activation quantization_config {KERNEL} "
        "bias_initializer bias_regularizer bias_constraint",
        younger=_QUANTIZED,
        variables=_einsum_dense,
        parts=activation_part,
    ),
    layer(
        "Embedding",
        f"{_EMBEDDING} quantization_config",
        younger=_QUANTIZED,
        keras_2_settings={"input_length": ANY, "sparse": False},
        variables=_embedding,
        output_shape=_embedded,
        masks=MAKES,
    ),
    layer(
        "ReversibleEmbedding",
        f"{_EMBEDDING} tie_weights reverse_dtype logit_soft_cap quantization_config",
        younger=_QUANTIZED,
        variables=_reversible_embedding,
    ),
    layer("Identity", masks=PASSES_IN_KERAS_3, output_shape=same, several_outputs=True),
    layer("Masking", "mask_value", masks=MAKES, output_shape=same),
    # wrappers
    layer(
        "Bidirectional",
        "layer backward_layer merge_mode",
        parts=_two_directions,
        masks=RECURRENT,
        several_outputs=True,
    ),
    layer("TimeDistributed", "layer", parts=wrapped, several_outputs=True),
    layer(
        "SpectralNormalization",
        "layer power_iterations",
        variables=_spectral_normalization,
        parts=wrapped,
        masks=PASSES,
        random=True,
    ),
    layer("Wrapper", None, parts=wrapped, gone="it is the base class of the user's own layer"),
    # models
    layer("Functional", None, model="keras.src.models.functional", former_names=("Model", "Network")),
    layer("Sequential", None, model="keras.src.models.sequential"),
    # functions, losses and metrics as layers
    *(layer(name, None, raw=True) for name in ("Lambda", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")),
    layer("AddLoss", None, **_LOSS),
    layer("AddMetric", None, **_LOSS),
    # what cannot be migrated
    layer("DenseFeatures", None, gone=_NO_FEATURE_COLUMNS),
    layer("SequenceFeatures", None, gone=_NO_FEATURE_COLUMNS),
    layer("LinearModel", None, gone="Keras 3 has no such model"),
    layer("WideDeepModel", None, gone="Keras 3 has no such model"),
    layer("RandomFourierFeatures", None, gone="Keras 3 has no random Fourier features"),
    layer("MaxoutDense", None, gone="Keras 3 has no such layer"),
    layer("Highway", None, gone="Keras 3 has no such layer"),
    layer("ClassMethod", None, gone="it stands for a function of TensorFlow"),
    layer("InstanceMethod", None, gone="it stands for a method of a TensorFlow object"),
    layer("InstanceProperty", None, gone="it stands for a property of a TensorFlow object"),
    layer("KerasTensor", None, gone="it is no layer"),
    layer("Layer", None, gone="it is the base class of the user's own layer"),
    # what holds code, or points out of the file
    layer("TFSMLayer", None, unsafe="it runs another SavedModel"),
    layer("TorchModuleWrapper", None, unsafe="it holds a pickled module"),
    layer("FlaxLayer", None, unsafe="it holds code"),
    layer("JaxLayer", None, unsafe="it holds code"),
)

_WITH_KERNEL = {row.name: row.variables for row in (*ROWS, *convolution.ROWS)}
"""What SpectralNormalization can wrap, and itself."""
