"""Recurrent layers: settings that Keras 3 lacks, and states given in a call."""

from __future__ import annotations

from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.operations import is_tensor
from tcn_migrate.config.repairs.change import Change, with_config
from tcn_migrate.errors import SettingError, quoted

_STATES = frozenset({"initial_state", "constants"})
RECURRENT = frozenset({"LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"})


def time_major(entry: Json) -> Change | None:
    """`time_major: false` says nothing; true has the time in front of the batch, which Keras 3 cannot.

    Since: TensorFlow 1.15 to 2.15 write it; Keras 3.0 refuses it.
    Issue: keras #20750 (`Unrecognized keyword arguments passed to GRU: {'time_major': False}`).

    Raises:
        SettingError: it is true.
    """
    if entry["class_name"] not in RECURRENT or "time_major" not in entry["config"]:
        return None
    if entry["config"]["time_major"]:
        raise SettingError("time_major is true; Keras 3 has no such layer", address=_where(entry))
    return Change(with_config(entry, "time_major"), "time_major is no setting of Keras 3")


def constants(entry: Json) -> Change | None:
    """`num_constants` counts inputs that every step of the cell gets; Keras 3 knows none.

    Since: keras 2.1; Keras 3.0 refuses it.
    Issue: none known.

    Raises:
        SettingError: the layer has constants.
    """
    if "num_constants" not in entry["config"]:
        return None
    if entry["config"]["num_constants"]:
        raise SettingError("it is called with constants, which Keras 3 does not know", address=_where(entry))
    return Change(with_config(entry, "num_constants"), "num_constants is no setting of Keras 3")


def reset_after(entry: Json) -> Change | None:
    """A GRU without `reset_after` resets before the matrix product; Keras 3's default is after it.

    Since: keras 2.1.3 writes it.
    Issue: none known.
    """
    if entry["class_name"] not in {"GRU", "GRUCell"} or "reset_after" in entry["config"]:
        return None
    return Change(with_config(entry, reset_after=False), "older than the setting reset_after, which is false then")


def states_in_a_call(entry: Json) -> Change | None:
    """`lstm([x, h, c])` as `lstm(x, initial_state=[h, c])`.

    Since: all of Keras 2 store the states as further inputs; Keras 3.0 takes one input. A Bidirectional has
    `initial_state: null` and `constants: null` beside them.
    Issue: "expects 1 input(s), but it received 3 input tensors"; "got an unexpected keyword argument 'constants'".

    Raises:
        SettingError: constants in a call.
    """
    if entry["class_name"] not in RECURRENT | {"Bidirectional"}:
        return None
    calls = entry.get("inbound_nodes", [])
    made = [_one_input(call) for call in calls]
    if made == calls:
        return None
    return Change({**entry, "inbound_nodes": made}, "its initial states are given by the name initial_state")


def _one_input(call: Json) -> Json:
    said = {key: value for key, value in call["kwargs"].items() if key not in _STATES or value is not None}
    if "constants" in said:
        raise SettingError("a recurrent layer is called with constants, which Keras 3 does not know")
    call = {**call, "kwargs": said}
    if len(call["args"]) != 1 or not isinstance(call["args"][0], list):
        return call
    first, *states = call["args"][0]
    if not all(is_tensor(state) for state in states):
        return call
    keywords: dict[str, Any] = {"initial_state": states} if states else {}
    return {"args": [first], "kwargs": {**call["kwargs"], **keywords}}


def _where(entry: Json) -> str:
    return f"layer {quoted(entry['config'].get('name'))}"
