"""Settings that many layer classes have, and the functions and objects that settings may name."""

from __future__ import annotations

COMMON = frozenset({"name", "trainable", "dtype", "activity_regularizer"})
"""Settings that every layer may have."""


def words(*groups: str) -> frozenset[str]:
    """The words in some texts."""
    return frozenset(" ".join(groups).split())


KERNEL = "kernel_initializer kernel_regularizer kernel_constraint"
BIAS = "use_bias bias_initializer bias_regularizer bias_constraint"
CONVOLUTION = f"filters kernel_size strides padding data_format dilation_rate activation {KERNEL} {BIAS}"
"""Settings that rows of several families share."""

ACTIVATIONS = words(
    "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear",
    "log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus",
    "sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold",
)
"""Functions that `keras.activations.get` knows by name in Keras 3.15.1."""

# The identity matrix is not among them: Keras 3.0 cannot read it from a config.
INITIALIZERS: dict[str, frozenset[str]] = {
    "Zeros": frozenset(),
    "Ones": frozenset(),
    "Constant": words("value"),
    "Orthogonal": words("gain seed"),
    "OrthogonalInitializer": words("gain seed"),
    "RandomNormal": words("mean stddev seed"),
    "RandomUniform": words("minval maxval seed"),
    "TruncatedNormal": words("mean stddev seed"),
    "VarianceScaling": words("scale mode distribution seed"),
    **{f"{name}{law}": words("seed") for name in ("Glorot", "He", "Lecun") for law in ("Normal", "Uniform")},
}
REGULARIZERS: dict[str, frozenset[str]] = {
    "L1": words("l1"),
    "L2": words("l2"),
    "L1L2": words("l1 l2"),
    "OrthogonalRegularizer": words("factor mode"),
}
CONSTRAINTS: dict[str, frozenset[str]] = {
    "MaxNorm": words("max_value axis"),
    "MinMaxNorm": words("min_value max_value rate axis"),
    "NonNeg": frozenset(),
    "UnitNorm": words("axis"),
}
OBJECTS = {"initializer": INITIALIZERS, "regularizer": REGULARIZERS, "constraint": CONSTRAINTS}
"""Objects that training alone needs, by the last word of the setting that holds one, with their settings."""

SHORT_NAMES: dict[str, frozenset[str]] = {
    "initializer": words(
        "zero zeros one ones orthogonal normal uniform random_normal random_uniform",
        "truncated_normal variance_scaling glorot_normal glorot_uniform he_normal he_uniform lecun_normal",
        "lecun_uniform",
    ),
    "regularizer": words("l1 l2 l1l2 orthogonal_regularizer"),
    "constraint": words("max_norm min_max_norm non_neg unit_norm"),
}
"""The same objects with their default settings, as a string."""
