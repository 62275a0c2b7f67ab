"""Settings that Keras 3 does not take and that change nothing at the value they have."""

from __future__ import annotations

from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.repairs.change import Change, with_config
from tcn_migrate.errors import SettingError, quoted

_ANY = object()
_KERNEL = {f"kernel_{kind}": _ANY for kind in ("initializer", "regularizer", "constraint")}
_RECURRENT = dict.fromkeys(("implementation",), _ANY)

SAYING_NOTHING: dict[str, dict[str, Any]] = {
    **{f"SpatialDropout{rank}D": {"trainable": _ANY, "noise_shape": None} for rank in (1, 2, 3)},
    "Discretization": {"trainable": _ANY},
    "HashedCrossing": {"trainable": _ANY},
    "InputLayer": {"trainable": _ANY, "ragged": False, "type_spec": None, "batch_size": None, "input_tensor": None},
    "Embedding": {"input_length": _ANY, "sparse": False},
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN", "LSTMCell", "GRUCell", "SimpleRNNCell"), _RECURRENT),
    **{f"ConvLSTM{rank}D": _RECURRENT for rank in (1, 2, 3)},
    "StackedRNNCells": {"reverse_state_order": False},
    **{f"SeparableConv{rank}D": {"groups": 1, **_KERNEL} for rank in (1, 2)},
    **{f"DepthwiseConv{rank}D": {"groups": 1, "filters": None, **_KERNEL} for rank in (1, 2)},
    **{f"Conv{rank}DTranspose": {"groups": 1} for rank in (1, 2, 3)},
    "BatchNormalization": {"fused": _ANY, "virtual_batch_size": None, "adjustment": None},
    "Normalization": {"count": _ANY},
    "Dropout": {"force_generator": _ANY, "rng_type": _ANY},
}
"""By class: settings of Keras 2, and the one value at which each can be left out (or any)."""


def settings_that_say_nothing(entry: Json) -> Change | None:
    """Leaves out settings that no Keras 3 takes.

    Since: Keras 3.0 refuses what it does not know.
    Issue: keras #19151 (`Unrecognized keyword arguments passed to DepthwiseConv2D: {'groups': 1}`), keras #20106.

    Raises:
        SettingError: such a setting at another value, with which the layer computes something else.
    """
    table = SAYING_NOTHING.get(entry["class_name"], {})
    found = [key for key in table if key in entry["config"]]
    for key in found:
        value = entry["config"][key]
        if table[key] is not _ANY and value != table[key] and value is not None:
            raise SettingError(
                f"{key} is {quoted(value)}, which Keras 3 cannot",
                address=f"layer {quoted(entry['config'].get('name'))}",
            )
    if not found:
        return None
    return Change(with_config(entry, *found), f"{', '.join(found)}: no setting of Keras 3, and without effect here")
