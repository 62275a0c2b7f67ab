"""Recurrent layers: settings that Keras 3 lacks, and states given in a call."""

from __future__ import annotations

from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import is_tensor
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


def constants_in_a_call(entry: Json) -> Change | None:
    """A mask or initial states that are numbers in the file, as arrays: Keras 3 takes lists for several tensors.

    Since: TensorFlow 2.4 to 2.15 store a constant among the arguments of a call as a list.
    Issue: "'list' object has no attribute 'dtype'" at the first prediction.

    Raises:
        SettingError: the numbers make no array.
    """
    if entry["class_name"] not in RECURRENT | {"Bidirectional", "TimeDistributed", "GlobalAveragePooling1D"}:
        return None
    calls = entry.get("inbound_nodes", [])
    made = [
        {**call, "kwargs": {key: _array(key, item, entry) for key, item in call["kwargs"].items()}} for call in calls
    ]
    if made == calls:
        return None
    return Change({**entry, "inbound_nodes": made}, "numbers among its arguments are arrays")


def _array(key: str, value: Any, entry: Json) -> Any:
    """An argument in which lists of numbers are arrays; several states stay a list."""
    if key not in ("mask", "initial_state") or not isinstance(value, list):
        return value
    if key == "initial_state" and not _is_matrix(value):
        return [_array(key, item, entry) if not is_tensor(item) else item for item in value]
    if not _is_matrix(value):
        raise SettingError(f"its argument {key} is neither a tensor nor numbers in rows", address=_where(entry))
    return {"class_name": "__numpy__", "config": {"value": value, "dtype": "bool" if key == "mask" else "float32"}}


def _is_matrix(value: Any) -> bool:
    """Rows of numbers, all of one length."""
    if not isinstance(value, list) or not value or not all(isinstance(row, list) for row in value):
        return False
    numbers = [item for row in value for item in row]
    return len({len(row) for row in value}) == 1 and all(isinstance(item, bool | int | float) for item in numbers)


def _where(entry: Json) -> str:
    return f"layer {quoted(entry['config'].get('name'))}"
