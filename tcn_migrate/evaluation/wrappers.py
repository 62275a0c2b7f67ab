"""TimeDistributed.

Source: keras/src/layers/rnn/time_distributed.py (2.15), keras/src/layers/rnn/time_distributed.py (3.15).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tcn_migrate.config.catalogue.settings import words
from tcn_migrate.evaluation.model import called
from tcn_migrate.evaluation.table import Arguments, Layer, computes
from tcn_migrate.evaluation.tensors import UNCLEAR, Tensor

_USES_MASKS = words(
    "LSTM GRU SimpleRNN RNN ConvLSTM1D ConvLSTM2D ConvLSTM3D Bidirectional GlobalAveragePooling1D",
    "Functional Sequential Softmax Attention AdditiveAttention MultiHeadAttention",
)


@computes("TimeDistributed")
def time_distributed(layer: Layer, arguments: Arguments) -> list[Tensor]:
    """The layer inside, on each step as on a sample of its own.

    In Keras 2 that layer says what becomes of the mask; where it ends it, a step still counts if anything of it does.
    """
    x = arguments.tensor(layer)
    given = arguments.kwargs.get("mask")
    mask = x.mask if given is None else np.asarray(given.values if isinstance(given, Tensor) else given)
    inner_entry = layer.config["layer"]
    batch, steps = x.values.shape[:2]
    if mask is not None and not layer.keras_2 and inner_entry["class_name"] in _USES_MASKS:
        raise layer.unproven("releases of Keras 3 differ in the mask that it uses")
    inner_mask = None
    if mask is not None and layer.keras_2:
        mask = np.asarray(layer.used(mask))
        inner_mask = mask.reshape(-1, *mask.shape[2:])
    inner = layer.part("layer", inner_entry)
    inputs = Tensor(x.values.reshape(-1, *x.values.shape[2:]), inner_mask)
    made = called(replace(inner, training=layer.training), Arguments([inputs], _training(layer)))
    found = []
    for one in made:
        if not isinstance(one, Tensor):
            raise one
        y = one.values.reshape(batch, steps, *one.values.shape[1:])
        found.append(Tensor(y, _mask_after(layer, one, mask, (batch, steps))))
    return found


def _training(layer: Layer) -> dict[str, Any]:
    return {"training": True} if layer.training else {}


def _mask_after(layer: Layer, made: Tensor, mask: Any, front: tuple[int, int]) -> Any:
    if not layer.keras_2:
        return mask
    if made.mask is UNCLEAR:
        return UNCLEAR
    if made.mask is not None:
        return np.asarray(made.mask).reshape(*front, *np.shape(made.mask)[1:])
    if mask is None:
        return None
    return mask.any(axis=tuple(range(2, mask.ndim))) if mask.ndim > 2 else mask
