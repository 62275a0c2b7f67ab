"""Which variables each built-in layer class owns, as far as its config tells.

The names are Keras 3's attributes. Measured by saving a model of every class with Keras 3.0.5 and 3.15.1. Seeds of
random generators are variables for Keras, but no release stores them, so they are not listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tcn_migrate.checkpoint import Json

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Variable:
    """One array of a layer.

    Attributes:
        name: Keras 3's attribute name.
        shape: as far as the config implies it; None for a size, or for the whole shape, that only the input knows.
        aliases: what older releases called it.
        trainable: False for statistics.
        copy_of: where the same array stands a second time, as the rest of an address below the same layer: the wrapped
            layer's kernel is stored by SpectralNormalization too. Older files hold it once.
    """

    name: str
    shape: Shape | None = None
    aliases: tuple[str, ...] = ()
    trainable: bool = True
    copy_of: tuple[str, ...] | None = None


def variables(class_name: str, config: Json) -> tuple[Variable, ...]:
    """A layer's own variables, without those of its parts, in the order of `vars/0`, `vars/1`, ... in Keras 3's store.

    Args:
        class_name: as in the normal form of a config. A class without variables, or an unknown one, has none.
        config: the layer's config in normal form.
    """
    rule = _VARIABLES.get(class_name)
    return tuple(rule(config)) if rule else ()


def _if(wanted: object, *found: Variable) -> tuple[Variable, ...]:
    return found if wanted else ()


def size_of(value: object) -> int | None:
    """A size that a config states; None if it states none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _sizes(value: object, rank: int) -> Shape:
    """A kernel's extent: Keras takes one number for all axes, or one an axis."""
    if isinstance(value, list | tuple):
        return tuple(size_of(item) for item in value)
    return (size_of(value),) * rank


def _bias(config: Json, *shape: int | None) -> tuple[Variable, ...]:
    return _if(config.get("use_bias", True), Variable("bias", shape))


def _dense(config: Json) -> Iterable[Variable]:
    units = size_of(config.get("units"))
    return (Variable("kernel", (None, units)), *_bias(config, units))


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


def _convolution(rank: int) -> Callable[[Json], Iterable[Variable]]:
    def own(config: Json) -> Iterable[Variable]:
        filters = size_of(config.get("filters"))
        shape = (*_sizes(config.get("kernel_size"), rank), None, filters)
        return (Variable("kernel", shape), *_bias(config, filters))

    return own


def _transposed_convolution(rank: int) -> Callable[[Json], Iterable[Variable]]:
    def own(config: Json) -> Iterable[Variable]:
        filters = size_of(config.get("filters"))
        shape = (*_sizes(config.get("kernel_size"), rank), filters, None)
        return (Variable("kernel", shape), *_bias(config, filters))

    return own


def _depthwise_convolution(rank: int) -> Callable[[Json], Iterable[Variable]]:
    def own(config: Json) -> Iterable[Variable]:
        shape = (*_sizes(config.get("kernel_size"), rank), None, size_of(config.get("depth_multiplier", 1)))
        return (Variable("kernel", shape, aliases=("depthwise_kernel",)), *_bias(config, None))

    return own


def _separable_convolution(rank: int) -> Callable[[Json], Iterable[Variable]]:
    def own(config: Json) -> Iterable[Variable]:
        filters = size_of(config.get("filters"))
        extent = _sizes(config.get("kernel_size"), rank)
        return (
            Variable("depthwise_kernel", (*extent, None, size_of(config.get("depth_multiplier", 1)))),
            Variable("pointwise_kernel", (*(1,) * rank, None, filters)),
            *_bias(config, filters),
        )

    return own


def _recurrent_cell(gates: int) -> Callable[[Json], Iterable[Variable]]:
    def own(config: Json) -> Iterable[Variable]:
        units = size_of(config.get("units"))
        width = None if units is None else gates * units
        separate_biases = gates == 3 and config.get("reset_after", True)
        return (
            Variable("kernel", (None, width)),
            Variable("recurrent_kernel", (units, width)),
            *_bias(config, *((2,) if separate_biases else ()), width),
        )

    return own


def _convolutional_cell(config: Json) -> Iterable[Variable]:
    filters = size_of(config.get("filters"))
    width = None if filters is None else 4 * filters
    extent = _sizes(config.get("kernel_size"), int(config.get("rank", 1)))
    return (
        Variable("kernel", (*extent, None, width)),
        Variable("recurrent_kernel", (*extent, filters, width)),
        *_bias(config, width),
    )


def _batch_normalization(config: Json) -> Iterable[Variable]:
    statistics = ["moving_mean", "moving_variance"]
    if config.get("renorm"):
        statistics += ["moving_stddev", "renorm_mean", "renorm_stddev"]
    return (
        *_if(config.get("scale", True), Variable("gamma", (None,))),
        *_if(config.get("center", True), Variable("beta", (None,))),
        *(Variable(name, (None,), trainable=False) for name in statistics),
    )


def _gamma_and_beta(config: Json) -> Iterable[Variable]:
    axis = config.get("axis", -1)
    shape = (None,) * (len(axis) if isinstance(axis, list | tuple) else 1)
    rms_scaling = config.get("rms_scaling")
    return (
        *_if(config.get("scale", True) or rms_scaling, Variable("gamma", shape)),
        *_if(config.get("center", True) and not rms_scaling, Variable("beta", shape)),
    )


def _normalization(config: Json) -> Iterable[Variable]:
    return _if(
        config.get("mean") is None,
        *(Variable(name, trainable=False) for name in ("mean", "variance")),
        Variable("count", (), trainable=False),
    )


def _attention(config: Json) -> Iterable[Variable]:
    return (
        *_if(config.get("use_scale", False), Variable("scale", ())),
        *_if(config.get("score_mode", "dot") == "concat", Variable("concat_score_weight", ())),
    )


def _reversible_embedding(config: Json) -> Iterable[Variable]:
    rows, width = size_of(config.get("input_dim")), size_of(config.get("output_dim"))
    return (
        Variable("embeddings", (rows, width)),
        *_if(not config.get("tie_weights", True), Variable("reverse_embeddings", (width, rows))),
    )


def _spectral_normalization(config: Json) -> Iterable[Variable]:
    """The wrapped kernel stands here again; `vector_u` is its left singular vector, kept from step to step."""
    inner = config.get("layer")
    inner = inner if isinstance(inner, dict) else {}
    own = variables(str(inner.get("class_name")), inner.get("config") or {})
    kernel = next((one for one in own if one.name in {"kernel", "embeddings"}), Variable("kernel"))
    width = kernel.shape[-1] if kernel.shape else None
    return (
        Variable("kernel", kernel.shape, copy_of=("layer", kernel.name)),
        Variable("vector_u", (1, width), aliases=("sn_u",), trainable=False),
    )


_VARIABLES: dict[str, Callable[[Json], Iterable[Variable]]] = {
    "Dense": _dense,
    "EinsumDense": _einsum_dense,
    "Embedding": lambda config: (
        Variable("embeddings", (size_of(config.get("input_dim")), size_of(config.get("output_dim")))),
    ),
    "ReversibleEmbedding": _reversible_embedding,
    "Conv1D": _convolution(1),
    "Conv2D": _convolution(2),
    "Conv3D": _convolution(3),
    "Conv1DTranspose": _transposed_convolution(1),
    "Conv2DTranspose": _transposed_convolution(2),
    "Conv3DTranspose": _transposed_convolution(3),
    "DepthwiseConv1D": _depthwise_convolution(1),
    "DepthwiseConv2D": _depthwise_convolution(2),
    "SeparableConv1D": _separable_convolution(1),
    "SeparableConv2D": _separable_convolution(2),
    "LSTMCell": _recurrent_cell(4),
    "GRUCell": _recurrent_cell(3),
    "SimpleRNNCell": _recurrent_cell(1),
    "ConvLSTMCell": _convolutional_cell,
    "BatchNormalization": _batch_normalization,
    "SyncBatchNormalization": _batch_normalization,
    "LayerNormalization": _gamma_and_beta,
    "GroupNormalization": lambda config: _gamma_and_beta({**config, "axis": -1}),
    "RMSNormalization": lambda config: (Variable("scale"),),
    "Normalization": _normalization,
    "SpectralNormalization": _spectral_normalization,
    "PReLU": lambda config: (Variable("alpha"),),
    "Attention": _attention,
    "AdditiveAttention": lambda config: _if(config.get("use_scale", True), Variable("scale", (None,))),
}
