"""Recurrent layers and their cells, step by step.

Source: keras/src/layers/rnn (2.15 and 3.15). Where a step's mask is False, the states stay, and the output is the last
one that counted (zeros before there was one, and always with `zero_output_for_mask`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array, Json
from tcn_migrate.config.catalogue.classes import LIST, parts
from tcn_migrate.evaluation.activations import activate
from tcn_migrate.evaluation.convolution import channels_last, convolve
from tcn_migrate.evaluation.table import Arguments, Layer, computes, sizes
from tcn_migrate.evaluation.tensors import Tensor, floating

Step = Callable[[Layer, Array, list[Array]], tuple[Array, list[Array]]]
"""The output and the states after a step, of its input and the states before."""


def _simple(cell: Layer, x: Array, states: list[Array]) -> tuple[Array, list[Array]]:
    y = cell.product(x, cell.needed("kernel")) + cell.product(states[0], cell.needed("recurrent_kernel"))
    bias = cell.weight("bias")
    y = cell.rounded(y if bias is None else y + bias)
    y = activate(cell, y, cell.get("activation", "tanh"))
    return y, [y]


def _sigmoid_name(cell: Layer, default: str = "sigmoid") -> Any:
    return cell.get("recurrent_activation", default)


def _lstm(cell: Layer, x: Array, states: list[Array]) -> tuple[Array, list[Array]]:
    z = cell.product(x, cell.needed("kernel")) + cell.product(states[0], cell.needed("recurrent_kernel"))
    bias = cell.weight("bias")
    gates = np.split(cell.rounded(z if bias is None else z + bias), 4, axis=-1)
    return _after_gates(cell, gates, states[1])


def _after_gates(cell: Layer, gates: Sequence[Array], carry: Array) -> tuple[Array, list[Array]]:
    """Input, forget, cell and output gate, in Keras's order."""
    default = "hard_sigmoid" if cell.class_name == "ConvLSTMCell" and cell.keras_2 else "sigmoid"
    name, activation = _sigmoid_name(cell, default), cell.get("activation", "tanh")
    i, f, o = (activate(cell, gates[place], name) for place in (0, 1, 3))
    carry = cell.rounded(f * carry + i * activate(cell, gates[2], activation))
    hidden = cell.rounded(o * activate(cell, carry, activation))
    return hidden, [hidden, carry]


def _gru(cell: Layer, x: Array, states: list[Array]) -> tuple[Array, list[Array]]:
    """`reset_after`: the reset gate is applied behind the recurrent product, which then has a bias of its own."""
    hidden, kernel, recurrent = states[0], cell.needed("kernel"), cell.needed("recurrent_kernel")
    bias = cell.weight("bias")
    after = bool(cell.get("reset_after", not cell.keras_2))
    name, activation = _sigmoid_name(cell), cell.get("activation", "tanh")
    own, inner = (bias, None) if bias is None or bias.ndim == 1 else (bias[0], bias[1])
    given = cell.product(x, kernel)
    given = given if own is None else given + own
    xz, xr, xh = np.split(given, 3, axis=-1)
    if after:
        kept = cell.product(hidden, recurrent)
        kept = kept if inner is None else kept + inner
        hz, hr, hh = np.split(kept, 3, axis=-1)
        z, r = activate(cell, cell.rounded(xz + hz), name), activate(cell, cell.rounded(xr + hr), name)
        new = activate(cell, cell.rounded(xh + r * hh), activation)
    else:
        units = hidden.shape[-1]
        kept = cell.product(hidden, recurrent[:, : 2 * units])
        hz, hr = np.split(kept, 2, axis=-1)
        z, r = activate(cell, cell.rounded(xz + hz), name), activate(cell, cell.rounded(xr + hr), name)
        new = activate(cell, cell.rounded(xh + cell.product(r * hidden, recurrent[:, 2 * units :])), activation)
    y = cell.rounded(z * hidden + (1 - z) * new)
    return y, [y]


def _convolutional(cell: Layer, x: Array, states: list[Array]) -> tuple[Array, list[Array]]:
    """A step of a ConvLSTM, channels last: the input's convolution has the padding and strides of the layer."""
    rank = x.ndim - 2
    strides, rates = sizes(cell.get("strides", 1), rank), sizes(cell.get("dilation_rate", 1), rank)
    padding = str(cell.get("padding", "valid"))
    z = convolve(cell, x, cell.needed("kernel"), strides, rates, padding)
    bias = cell.weight("bias")
    z = z if bias is None else z + bias
    ones = (1,) * rank
    z = cell.rounded(z + convolve(cell, states[0], cell.needed("recurrent_kernel"), ones, ones, "same"))
    return _after_gates(cell, np.split(z, 4, axis=-1), states[1])


def _stacked(cell: Layer, x: Array, states: list[Array]) -> tuple[Array, list[Array]]:
    """Cells one behind the other, their states in order."""
    if cell.config.get("reverse_state_order"):
        raise cell.unproven("its states are in reverse order")
    after: list[Array] = []
    used = 0
    for inner in _cells(cell):
        count = len(_states(inner, x, x.shape[0]))
        x, new = STEPS[inner.class_name](inner, x, states[used : used + count])
        used, after = used + count, [*after, *new]
    return x, after


def _cells(stack: Layer) -> list[Layer]:
    held = stack.part("cells", {"class_name": LIST, "config": {}})
    return [held.part(part.role, part.entry) for part in parts(LIST, {"items": stack.config["cells"]})]


STEPS: dict[str, Step] = {
    "SimpleRNNCell": _simple,
    "LSTMCell": _lstm,
    "GRUCell": _gru,
    "ConvLSTMCell": _convolutional,
    "StackedRNNCells": _stacked,
}


def _states(cell: Layer, x: Array, batch: int) -> list[Array]:
    """The states before the first step; x is the first step's input."""
    if cell.class_name == "StackedRNNCells":
        return [state for inner in _cells(cell) for state in _states(inner, x, batch)]
    if cell.class_name == "ConvLSTMCell":
        rank = x.ndim - 2
        kernel = cell.needed("kernel")
        strides, rates = sizes(cell.get("strides", 1), rank), sizes(cell.get("dilation_rate", 1), rank)
        zeros = convolve(
            cell, np.zeros_like(x), np.zeros_like(kernel), strides, rates, str(cell.get("padding", "valid"))
        )
        zeros = zeros[..., : kernel.shape[-1] // 4]
        return [zeros, zeros]
    if cell.class_name not in STEPS:
        raise cell.unproven("its cell is of a class that is not known")
    zeros = np.zeros((batch, int(cell.config["units"])))
    return [zeros, zeros] if cell.class_name == "LSTMCell" else [zeros]


_CELLS = {"LSTM": "LSTMCell", "GRU": "GRUCell", "SimpleRNN": "SimpleRNNCell"} | {
    f"ConvLSTM{rank}D": "ConvLSTMCell" for rank in (1, 2, 3)
}


def _cell(layer: Layer) -> Layer:
    if layer.class_name == "RNN":
        cell = layer.config["cell"]
        if cell["class_name"] not in STEPS:
            raise layer.unproven("its cell is of a class that is not known")
        return layer.part("cell", cell)
    return layer.part("cell", {"class_name": _CELLS[layer.class_name], "config": layer.config})


@computes("RNN", *_CELLS)
def recurrent(layer: Layer, arguments: Arguments) -> list[Tensor]:
    """Outputs, and with `return_state` the states behind them."""
    x, given = _called_with(layer, arguments)
    mask = arguments.kwargs.get("mask")
    used = layer.used(x.mask if mask is None else mask.values if isinstance(mask, Tensor) else mask)
    return over_time(layer, x, given, used)


def _called_with(layer: Layer, arguments: Arguments) -> tuple[Tensor, list[Array]]:
    """The sequence, and initial states: further inputs, or given by name."""
    first = arguments.first
    held = list(first) if isinstance(first, list) else [first]
    constants = layer.config.get("num_constants") or arguments.kwargs.get("constants")
    if constants or not held or not all(isinstance(one, Tensor) for one in held):
        raise layer.unproven("it is called with constants, or on something else than tensors")
    named = arguments.kwargs.get("initial_state")
    given = held[1:] or (
        named if isinstance(named, list) and not _is_rows(named) else [named] if named is not None else []
    )
    return held[0], [floating(one.values if isinstance(one, Tensor) else one) for one in given]


def _is_rows(value: list[Any]) -> bool:
    """Whether a list is one array of numbers."""
    inner: Any = value
    while isinstance(inner, list) and inner:
        inner = inner[0]
    depth, here = 0, value
    while isinstance(here, list) and here:
        depth, here = depth + 1, here[0]
    return not isinstance(inner, Tensor) and depth == 2


def over_time(layer: Layer, sequence: Tensor, given: list[Array], mask: Array | None) -> list[Tensor]:
    """A recurrent layer over a sequence (batch, time, ...)."""
    if layer.config.get("time_major"):
        raise layer.unproven("its time is in front of the batch")
    if layer.training and (layer.config.get("dropout") or layer.config.get("recurrent_dropout")):
        raise layer.unproven("it is always called with training=True, and then drops at random")
    cell = _cell(layer)
    x = floating(sequence.values)
    first = layer.config.get("data_format") == "channels_first"
    if cell.class_name == "ConvLSTMCell":
        x = np.moveaxis(x, 2, -1) if first else x
        given = [channels_last(layer, state) for state in given]
    steps = np.moveaxis(x, 1, 0)
    masks = None if mask is None else np.moveaxis(mask, 1, 0)
    if layer.config.get("go_backwards"):
        steps = steps[::-1]
        masks = None if masks is None else masks[::-1]
    states = given or _states(cell, steps[0], x.shape[0])
    step = STEPS[cell.class_name]
    outputs: list[Array] = []
    for number, one in enumerate(steps):
        y, after = step(cell, one, states)
        if masks is None:
            states = after
        else:
            kept = masks[number]
            zero = not outputs or layer.config.get("zero_output_for_mask")
            before = np.zeros_like(y) if zero else outputs[-1]
            states = [_where(kept, new, old) for new, old in zip(after, states, strict=True)]
            y = _where(kept, y, before)
        outputs.append(y)
    y = np.stack(outputs, axis=1) if layer.config.get("return_sequences") else outputs[-1]
    if first and cell.class_name == "ConvLSTMCell":
        y = np.moveaxis(y, -1, 2 if layer.config.get("return_sequences") else 1)
        states = [np.moveaxis(state, -1, 1) for state in states]
    passed = mask if layer.config.get("return_sequences") else None
    return [Tensor(y, passed), *(Tensor(state) for state in states if layer.config.get("return_state"))]


def _where(kept: Array, new: Array, old: Array) -> Array:
    return np.where(kept.reshape(kept.shape[:1] + (1,) * (new.ndim - 1)), new, old)


def with_setting(entry: Json, **settings: Any) -> Json:
    return {**entry, "config": {**entry["config"], **settings}}


@computes("Bidirectional")
def bidirectional(layer: Layer, arguments: Arguments) -> list[Tensor]:
    """Both directions; a sequence of the backward one is turned round again.

    In TensorFlow's Keras and in Keras 3 a masked step of a sequence is 0, whatever the layers inside say.

    Source: keras/src/layers/rnn/bidirectional.py (2.15 and 3.15).
    """
    from tcn_migrate.evaluation.model import called

    forward = layer.config["layer"]
    backward = layer.config.get("backward_layer")
    if not isinstance(backward, dict):
        backward = with_setting(forward, go_backwards=not forward["config"].get("go_backwards"))
    x, given = _called_with(layer, arguments)
    mask = arguments.kwargs.get("mask")
    masked = Tensor(x.values, x.mask if mask is None else mask.values if isinstance(mask, Tensor) else np.asarray(mask))
    results = []
    for number, (role, entry) in enumerate((("forward_layer", forward), ("backward_layer", backward))):
        half = len(given) // 2
        states = given[half * number : half * (number + 1)]
        if layer.setting.is_tf and entry["class_name"] not in ("TCN", "LegacyTCN"):
            entry = with_setting(entry, zero_output_for_mask=bool(entry["config"].get("return_sequences")))
        inputs: list[Any] = [masked, *(Tensor(state) for state in states)]
        kwargs: Json = {"training": True} if layer.training else {}
        made = called(layer.part(role, entry), Arguments([inputs if states else masked], kwargs))
        if not all(isinstance(one, Tensor) for one in made):
            raise made[0]
        results.append(made)
    (ahead, *ahead_states), (back, *back_states) = results
    sequences = bool(forward["config"].get("return_sequences"))
    passed = ahead.mask if sequences else None
    y1, y2 = ahead.values, back.values[:, ::-1] if sequences else back.values
    mode = layer.config.get("merge_mode", "concat")
    states_after = [*ahead_states, *back_states]
    if mode is None:
        return [Tensor(y1, passed), Tensor(y2, passed), *states_after]
    if mode == "concat":
        y = np.concatenate([y1, y2], axis=-1)
    else:
        y = {"sum": y1 + y2, "ave": (y1 + y2) / 2, "mul": y1 * y2}[mode]
    return [Tensor(y, passed), *states_after]
