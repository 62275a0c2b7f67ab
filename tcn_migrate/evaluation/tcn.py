"""A TCN, in each of its generations.

Source: keras-tcn 2.9.0 to 3.5.7, `tcn/tcn.py`; WeightNormalization of tensorflow_addons 0.13 to 0.23, which divides by
the length of `v`, of at least 1e-6.
"""

from __future__ import annotations

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.evaluation.activations import BY_NAME, activate
from tcn_migrate.evaluation.convolution import convolve
from tcn_migrate.evaluation.normalization import moments, scaled
from tcn_migrate.evaluation.table import Arguments, Layer, computes
from tcn_migrate.evaluation.tensors import Tensor, floating
from tcn_migrate.tcn.reading import TCNReading

_EPSILON = 1e-3


@computes("TCN", "LegacyTCN")
def tcn(layer: Layer, arguments: Arguments) -> Tensor:
    reading = layer.setting.tcns.get(layer.address)
    if reading is None:
        raise layer.unproven("it was not read as a TCN")
    x = arguments.tensor(layer)
    settings, generation = reading.settings, reading.generation
    trained = layer.training and settings.trainable
    if layer.training and settings.dropout_rate:
        raise layer.unproven("it is always called with training=True, and then drops at random")
    if layer.training and reading.norm == "batch" and not settings.trainable and not layer.setting.is_tf:
        raise layer.unproven("its batch norms are frozen and always called with training=True")

    def activation(y: Array, *place: str) -> Array:
        if settings.activation == "PReLU":
            slopes = layer.needed(*place, "alpha") if settings.own_slopes else layer.needed("activation", "alpha")
            return np.asarray(np.maximum(y, 0) + slopes * np.minimum(y, 0))
        return _activated(layer, y, reading)

    def inside(y: Array, *place: str) -> Array:
        return np.maximum(y, 0) if generation.inside == "relu" else activation(y, *place)

    def convolution(y: Array, *path: str, rate: int = 1, padding: str = "same") -> Array:
        kernel = layer.weight(*path, "kernel")
        if kernel is None:
            kernel = _of_direction_and_length(layer.needed(*path, "v"), layer.needed(*path, "g"))
        return layer.rounded(convolve(layer, y, kernel, (1,), (rate,), padding) + layer.needed(*path, "bias"))

    state = floating(x.values)
    if settings.go_backwards:
        state = state[:, ::-1]
    if generation.first_convolution:
        state = convolution(state, "main_conv1D")
    skips = []
    for number, rate in enumerate(settings.dilations):
        block = f"residual_block_{number}"
        branch = state
        for slot in ("0", "1"):
            branch = convolution(branch, block, f"conv1D_{slot}", rate=rate, padding=settings.padding)
            branch = _normalized(layer, branch, reading, (block, f"norm_{slot}"), trained)
            branch = inside(branch, block, f"activation_{slot}")
        if generation.before_sum:
            branch = activation(branch, block, "branch_activation")
        skips.append(branch)
        matched = layer.weight(block, "matching_conv1D", "kernel") is not None
        shortcut = convolution(state, block, "matching_conv1D") if matched else state
        state = activation(layer.rounded(shortcut + branch), block, "sum_activation")
    if settings.use_skip_connections:
        state = skips[0]
        for skip in skips[1:]:
            state = layer.rounded(state + skip)
    if settings.return_sequences:
        return Tensor(state, x.mask if _passes_masks(layer, reading) else None)
    middle = settings.padding == "same" and generation.step == "middle"
    return Tensor(state[:, state.shape[1] // 2] if middle else state[:, -1])


def _passes_masks(layer: Layer, reading: TCNReading) -> bool:
    """In Keras 2 only with identities from the input to the output: no first convolution, no matching one in the first
    block, no skip connections (seen on predictions of 3.4.0 to 3.5.4). In Keras 3 never.
    """
    settings = reading.settings
    if not layer.keras_2:
        return settings.pass_mask
    identity = reading.input_width == settings.filters[0] and not reading.generation.first_convolution
    return identity and not settings.use_skip_connections


def _of_direction_and_length(v: Array, g: Array) -> Array:
    """A kernel under weight norm: each filter's direction `v`, at the length `g`."""
    lengths = np.sqrt((v.reshape(-1, v.shape[-1]) ** 2).sum(axis=0))
    return np.asarray(v * (g / np.maximum(lengths, 1e-6)))


def _normalized(layer: Layer, y: Array, reading: TCNReading, path: tuple[str, str], trained: bool) -> Array:
    if reading.norm is None:
        return y
    gamma, beta = layer.weight(*path, "gamma"), layer.weight(*path, "beta")
    if reading.norm == "layer":
        mean, variance = moments(layer, y, (y.ndim - 1,))
    elif trained:
        mean, variance = moments(layer, y, (0, 1))
    else:
        mean, variance = layer.needed(*path, "moving_mean"), layer.needed(*path, "moving_variance")
    return scaled(layer, y, mean, variance, _EPSILON, gamma, beta)


def _activated(layer: Layer, y: Array, reading: TCNReading) -> Array:
    """The activation by the name and settings that the reader found; Keras 2's hard sigmoid is told by the release."""
    name, own = reading.settings.activation, reading.settings.activation_settings
    if name == "keras2_hard_sigmoid":
        return np.clip(0.2 * y + 0.5, 0, 1)
    if own or name not in BY_NAME:
        return activate(layer, y, {"module": "keras.layers", "class_name": name, "config": dict(own)})
    return activate(layer, y, name)
