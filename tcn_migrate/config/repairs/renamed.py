"""Settings that have another name or form in Keras 3."""

from __future__ import annotations

from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.activations import FORMER_NAMES, OPERATIONS, operation
from tcn_migrate.config.graph.drawing import is_tensor
from tcn_migrate.config.repairs.change import Change, with_config

MERGES = frozenset(["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply"])


def list_of_one_axis(entry: Json) -> Change | None:
    """`axis: [2]` as `axis: 2`.

    Since: tf.keras writes the list; Keras 3.0 wants a number for BatchNormalization.
    Issue: "int() argument must be ... not 'list'".
    """
    if entry["class_name"] not in {"BatchNormalization", "SyncBatchNormalization", "LayerNormalization"}:
        return None
    axis = entry["config"].get("axis")
    if not isinstance(axis, list) or len(axis) != 1:
        return None
    return Change(with_config(entry, axis=axis[0]), "its axis is a number in Keras 3")


def slope_of_leaky_relu(entry: Json) -> Change | None:
    """`alpha` of LeakyReLU as `negative_slope`.

    Since: Keras 3.0 takes `alpha` with a warning.
    Issue: none known.
    """
    if entry["class_name"] != "LeakyReLU" or "alpha" not in entry["config"]:
        return None
    made = with_config(entry, "alpha", negative_slope=entry["config"]["alpha"])
    return Change(made, "alpha of LeakyReLU is called negative_slope in Keras 3")


def names_of_functions(entry: Json) -> Change | None:
    """Functions of TensorFlow that were stored by a name of theirs which no Keras reads.

    Since: TensorFlow 2.0 (`tf.nn.softmax` is stored as "softmax_v2", `tf.nn.log_softmax` as "log_softmax_v2",
        `tf.math.sin` as "sin").
    Issue: "Unknown activation function: log_softmax_v2".
    """
    found: Json = {}
    for key in ("activation", "recurrent_activation"):
        value = entry["config"].get(key)
        if isinstance(value, str) and value in FORMER_NAMES:
            found[key] = FORMER_NAMES[value]
        elif isinstance(value, str) and value in OPERATIONS:
            found[key] = operation(value)
    if not found:
        return None
    return Change(with_config(entry, **found), "its activation was stored by a name that only TensorFlow knows")


def merge_of_one(entry: Json) -> Change | None:
    """A merge of one tensor, which Keras 2 stores as a call on the tensor, and not on a list of one.

    Since: all of Keras 2 (a merge of one tensor works from TensorFlow 2.8 on); Keras 3 wants the list.
    Issue: "A `Concatenate` layer should be called on a list of at least 1 input".
    """
    if entry["class_name"] not in MERGES or entry["module"] != "keras.layers":  # operations share these names
        return None
    stored = entry.get("inbound_nodes", [])
    calls = [{**call, "args": [_listed(one) for one in call["args"]]} for call in stored]
    if calls == stored:
        return None
    return Change({**entry, "inbound_nodes": calls}, "it merges one tensor, which has to be in a list")


def _listed(argument: Any) -> Any:
    return [argument] if is_tensor(argument) else argument


def category_encoding(entry: Json) -> Change | None:
    """`max_tokens` and "binary" of CategoryEncoding as `num_tokens` and "multi_hot".

    Since: TensorFlow 2.3 to 2.5 have the former names.
    Issue: none known; read in the sources.
    """
    config = entry["config"]
    if entry["class_name"] != "CategoryEncoding" or not ({"max_tokens", "output_mode"} & set(config)):
        return None
    changes = {}
    if "max_tokens" in config and config.get("num_tokens") is None:
        changes["num_tokens"] = config["max_tokens"]
    if config.get("output_mode") == "binary":
        changes["output_mode"] = "multi_hot"
    if not changes and "max_tokens" not in config:
        return None
    return Change(with_config(entry, "max_tokens", **changes), "its settings have other names since TensorFlow 2.6")
