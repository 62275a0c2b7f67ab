"""Attention layers."""

from __future__ import annotations

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.repairs.change import Change, with_config
from tcn_migrate.errors import SettingError, quoted


def causal_attention(entry: Json) -> Change | None:
    """`causal` of the layer as `use_causal_mask` of its calls.

    Since: TensorFlow 1.15 to 2.8 have the setting, TensorFlow 2.9 and Keras 3 the argument.
    Issue: "Unrecognized keyword arguments passed to Attention: {'causal': False}".

    Raises:
        SettingError: a causal attention inside a wrapper, which has no calls of its own.
    """
    if entry["class_name"] not in {"Attention", "AdditiveAttention"} or "causal" not in entry["config"]:
        return None
    made = with_config(entry, "causal")
    if not entry["config"]["causal"]:
        return Change(made, "causal is no setting of Keras 3")
    if "inbound_nodes" not in entry:
        raise SettingError(
            "it is causal inside of another layer", address=f"layer {quoted(entry['config'].get('name'))}"
        )
    calls = [{**call, "kwargs": {**call["kwargs"], "use_causal_mask": True}} for call in entry["inbound_nodes"]]
    return Change({**made, "inbound_nodes": calls}, "causal is an argument of each call in Keras 3, use_causal_mask")


def shapes_of_heads(entry: Json) -> Change | None:
    """MultiHeadAttention's `query_shape`, `key_shape` and `value_shape` are found again when it is built.

    Since: TensorFlow 2.8 to 2.15 write them.
    Issue: "Unrecognized keyword arguments passed to MultiHeadAttention".
    """
    keys = ("query_shape", "key_shape", "value_shape")
    if entry["class_name"] != "MultiHeadAttention" or not any(key in entry["config"] for key in keys):
        return None
    return Change(with_config(entry, *keys), "the shapes of its inputs are no settings of Keras 3")
