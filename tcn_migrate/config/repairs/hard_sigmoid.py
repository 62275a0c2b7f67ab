"""Keras 2's hard sigmoid, clip(0.2 x + 0.5, 0, 1); Keras 3's is clip(x / 6 + 0.5, 0, 1) under the same name.

The old one of z is the new one of 1.2 z. So what makes z is multiplied by 1.2: exactly the same function, without a
class of ours in the file. Measured: predictions agree to 2e-7; unrepaired they are off by up to 0.7 of their deviation.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.entries import Address
from tcn_migrate.config.repairs.change import Change, Transform, new_layer, with_config
from tcn_migrate.errors import SettingError, quoted

FACTOR = 1.2
_NAME = "hard_sigmoid"
_WHY = (
    "Keras 3 computes another hard sigmoid, x / 6 + 0.5 for Keras 2's 0.2 x + 0.5; {} multiplied by 1.2, which gives "
    "the old function exactly"
)
_KERNELS = {
    "Dense": "kernel",
    "EinsumDense": "kernel",
    **{f"Conv{rank}D": "kernel" for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": "kernel" for rank in (1, 2, 3)},
    "DepthwiseConv1D": "kernel",
    "DepthwiseConv2D": "kernel",
    "SeparableConv1D": "pointwise_kernel",
    "SeparableConv2D": "pointwise_kernel",
}
_GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1, "ConvLSTM1D": 4, "ConvLSTM2D": 4, "ConvLSTM3D": 4}
_SIGMOIDS = {4: (0, 1, 3), 3: (0, 1), 1: ()}
"""Blocks of columns that go through `recurrent_activation`: input, forget and output gate of an LSTM, update and reset
gate of a GRU."""


def hard_sigmoid_of_a_kernel(entry: Json) -> Change | None:
    """A layer that multiplies by a kernel and then takes the hard sigmoid.

    Since: Keras 3.0.
    Issue: 13.
    """
    kernel = _KERNELS.get(entry["class_name"])
    if kernel is None or entry["config"].get("activation") != _NAME:
        return None
    times: dict[Address, Transform] = {(name,): scaled((0,), 1) for name in (kernel, "bias")}
    return Change(entry, _WHY.format("its kernel and bias are"), transforms=times)


def hard_sigmoid_of_gates(entry: Json) -> Change | None:
    """A recurrent layer or cell; `recurrent_activation` is `hard_sigmoid` by default in old releases.

    Since: Keras 3.0; the default changed to `sigmoid` in keras 2.3 and TensorFlow 2.0 (LSTM, GRU), in Keras 3.0
    (ConvLSTM).
    Issue: 13.

    Raises:
        SettingError: an LSTM that takes the hard sigmoid of its state, where nothing can be multiplied.
    """
    class_name, config = entry["class_name"], entry["config"]
    gates = _GATES.get(class_name.removesuffix("Cell"))
    if gates is None:
        return None
    blocks = set(_SIGMOIDS[gates]) if config.get("recurrent_activation") == _NAME and gates > 1 else set()
    if config.get("activation") == _NAME:
        if gates == 4:
            raise SettingError(
                "its activation is the hard sigmoid of Keras 2, also of the state, which Keras 3 cannot compute",
                address=f"layer {quoted(config.get('name'))}",
            )
        blocks.add(gates - 1)
    if not blocks:
        return None
    cell = () if class_name.endswith("Cell") else ("cell",)
    times = {(*cell, name): scaled(sorted(blocks), gates) for name in ("kernel", "recurrent_kernel", "bias")}
    return Change(entry, _WHY.format("its gates' kernels and biases are"), transforms=times)


def hard_sigmoid_alone(entry: Json) -> Change | None:
    """An Activation layer: a Rescaling goes in front.

    Since: Keras 3.0.
    Issue: 13.
    """
    if entry["class_name"] != "Activation" or entry["config"].get("activation") != _NAME:
        return None
    config = entry["config"]
    dtype = {"dtype": config["dtype"]} if "dtype" in config else {}
    front = new_layer("Rescaling", f"{config.get('name', 'activation')}_rescaling", scale=FACTOR, offset=0.0, **dtype)
    return Change(entry, _WHY.format("its input is"), before=(front,))


def activation_layer_as_function(entry: Json) -> Change | None:
    """`activation=Activation("tanh")`: a layer that only calls a function is that function.

    Since: any; it lets the other repairs see the function.
    Issue: none known.
    """
    found = {}
    for key in ("activation", "recurrent_activation"):
        held = entry["config"].get(key)
        if isinstance(held, dict) and held.get("class_name") == "Activation":
            found[key] = held["config"].get("activation")
    if not found:
        return None
    return Change(with_config(entry, **found), "its activation was a layer that only calls a function")


def scaled(blocks: Collection[int], of: int) -> Transform:
    """Multiplies blocks of columns by 1.2.

    Args:
        blocks: numbers of the blocks.
        of: how many blocks of equal width the last axis has.
    """

    def apply(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        width = values.shape[-1] // of
        made = values.astype(np.float64)
        for block in blocks:
            made[..., block * width : (block + 1) * width] *= FACTOR
        return made.astype(values.dtype)

    return Transform("multiplied by 1.2 for the hard sigmoid", apply)
