"""What a TCN computes at inference, in NumPy and float64, straight from its arrays.

It shares nothing with the Keras layer but the table of generations and the names of the arrays, so that the two can
check each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tcn_migrate.tcn.activations import Array, function
from tcn_migrate.tcn.generations import Generation
from tcn_migrate.tcn.settings import TCNSettings

EPSILON = 1e-3
"""Keras's default for both norms, which keras-tcn never changes."""

Address = tuple[str, ...]


def convolve(x: Array, kernel: Array, bias: Array, dilation_rate: int, padding: Literal["causal", "same"]) -> Array:
    """A dilated convolution over time.

    Args:
        x: (batch, time, features).
        kernel: (taps, features, filters).
        bias: (filters,).
        dilation_rate: steps between two taps.
        padding: "causal" pads (taps - 1) * dilation_rate zeros in front; "same" half of them, rounded down, in front
            and the rest behind.

    Returns:
        (batch, time, filters).
    """
    reach = (len(kernel) - 1) * dilation_rate
    front = reach if padding == "causal" else reach // 2
    time = x.shape[1]
    # Taps that can only meet padding are skipped: a dilation beyond the length must not cost its zeros.
    y = np.broadcast_to(bias, (*x.shape[:2], len(bias))).astype(np.float64)
    for tap, matrix in enumerate(kernel):
        shift = tap * dilation_rate - front
        low, high = max(0, -shift), min(time, time - shift)
        if low < high:
            y[:, low:high] += x[:, low + shift : high + shift] @ matrix
    return y


def normalize(y: Array, norm: Mapping[str, Array], *, of_the_batch: bool = False) -> Array:
    """A batch norm at inference, or a layer norm over the features; the variables tell which.

    Args:
        y: (batch, time, features).
        norm: its variables by name.
        of_the_batch: it is a batch norm with the statistics of this batch.
    """
    if of_the_batch:
        mean, variance = y.mean(axis=(0, 1)), y.var(axis=(0, 1))
    elif "moving_mean" in norm:
        mean, variance = norm["moving_mean"], norm["moving_variance"]
    else:
        mean, variance = y.mean(axis=-1, keepdims=True), y.var(axis=-1, keepdims=True)
    return np.asarray((y - mean) / np.sqrt(variance + EPSILON) * norm["gamma"] + norm["beta"])


def kernel_of(weights: Mapping[str, Array]) -> Array:
    """The kernel of a convolution: its own, or under weight norm each filter's direction `v` at the length `g`.

    Source: WeightNormalization of tensorflow_addons 0.13 to 0.23, which divides by tf.nn.l2_normalize's length, of at
    least 1e-6. Written here and not taken from `reading.folded_kernel`, which this pass is to prove.
    """
    if "v" not in weights:
        return weights["kernel"]
    directions = weights["v"].reshape(-1, weights["v"].shape[-1])
    lengths = np.maximum(np.linalg.norm(directions, axis=0), 1e-6)
    return np.asarray(weights["v"] * (weights["g"] / lengths))


def forward(
    settings: TCNSettings,
    generation: Generation,
    arrays: Mapping[Address, np.ndarray[Any, Any]],
    x: np.ndarray[Any, Any],
    *,
    of_the_batch: bool = False,
) -> Array:
    """The output of one TCN.

    Args:
        settings: its settings.
        generation: which function they mean.
        arrays: its variables by address below the layer, such as `("residual_block_0", "conv1D_0", "kernel")`;
            `norm_0` and `norm_1` are a block's norms, `main_conv1D` the first convolution. Under weight norm a
            convolution has `v` and `g` in the place of `kernel`. A PReLU that all activations share has its slopes
            at `("activation", "alpha")`, one of its own in each block at `("residual_block_0", "activation_0",
            "alpha")`, `activation_1`, `branch_activation` and `sum_activation`; each broadcasts to (time, filters).
        x: (batch, time, features).
        of_the_batch: its batch norms compute with the statistics of this batch.

    Returns:
        (batch, time, filters) with `return_sequences`, else (batch, filters).
    """

    def part(*path: str) -> dict[str, Array]:
        return {a[-1]: np.asarray(v, np.float64) for a, v in arrays.items() if a[:-1] == path}

    shared_slopes = part("activation").get("alpha")

    def activation(y: Array, block: str, place: str) -> Array:
        if settings.activation == "PReLU":
            slopes = part(block, place)["alpha"] if shared_slopes is None else shared_slopes
            return np.asarray(np.maximum(y, 0) + slopes * np.minimum(y, 0))
        return function(settings.activation, settings.activation_settings)(y)

    def inside(y: Array, block: str, place: str) -> Array:
        return function(generation.inside, {})(y) if generation.inside else activation(y, block, place)

    state = np.asarray(x, np.float64)
    if settings.go_backwards:
        state = state[:, ::-1]
    if generation.first_convolution:
        main = part("main_conv1D")
        state = convolve(state, main["kernel"], main["bias"], 1, "same")
    skips = []
    for k, dilation_rate in enumerate(settings.dilations):
        block = f"residual_block_{k}"
        branch = state
        for slot in (0, 1):
            weights, norm = part(block, f"conv1D_{slot}"), part(block, f"norm_{slot}")
            branch = convolve(branch, kernel_of(weights), weights["bias"], dilation_rate, settings.padding)
            branch = normalize(branch, norm, of_the_batch=of_the_batch) if norm else branch
            branch = inside(branch, block, f"activation_{slot}")
        if generation.before_sum:
            branch = activation(branch, block, "branch_activation")
        skips.append(branch)
        matching = part(block, "matching_conv1D")
        shortcut = convolve(state, matching["kernel"], matching["bias"], 1, "same") if matching else state
        state = activation(shortcut + branch, block, "sum_activation")
    if settings.use_skip_connections:
        state = np.sum(skips, axis=0)
    if settings.return_sequences:
        return state
    middle = settings.padding == "same" and generation.step == "middle"
    return np.asarray(state[:, state.shape[1] // 2] if middle else state[:, -1])
