"""Activations that Keras 2 stored as a layer, as a layer's class name, or as a function of TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.layer_class import Shape
from tcn_migrate.config.catalogue.layers import activation
from tcn_migrate.config.graph.entries import is_entry, is_model, name_of

OPERATIONS: dict[str, str] = {
    "abs": "numpy.Absolute",
    "asinh": "numpy.Arcsinh",
    "atan": "numpy.Arctan",
    "ceil": "numpy.Ceil",
    "cos": "numpy.Cos",
    "cosh": "numpy.Cosh",
    "erf": "math.Erf",
    "expm1": "numpy.Expm1",
    "floor": "numpy.Floor",
    "neg": "numpy.Negative",
    "sign": "numpy.Sign",
    "sin": "numpy.Sin",
    "sinh": "numpy.Sinh",
    "square": "numpy.Square",
    "tan": "numpy.Tan",
}
"""Functions of TensorFlow by the name under which they are stored as an activation (`tf.math.sin` is "sin"), as
operations of Keras 3. Keras 2 itself cannot read such a file again."""

FORMER_NAMES: dict[str, str] = {
    "exp": "exponential",
    "identity": "linear",
    "log_softmax_v2": "log_softmax",
    "softmax_v2": "softmax",
}
"""Names of TensorFlow for functions that Keras has under another name."""


def operation(function: str) -> Json:
    """The operation of Keras 3 for a function of TensorFlow, as the setting `activation` of a layer."""
    module, class_name = OPERATIONS[function].split(".")
    return {
        "module": f"keras.src.ops.{module}",
        "class_name": class_name,
        "config": {"name": function},
        "registered_name": None,
    }


def of_layer(class_name: str, stored: Json) -> tuple[str, Json] | None:
    """Class and settings, in Keras 3, of a layer that is an activation.

    Args:
        class_name: of Keras 2 or 3.
        stored: its config; what is not there has Keras 2's default.

    Returns:
        None if it is no such layer, or has a setting that is no number.
    """
    defaults = activation.DEFAULTS.get(class_name)
    if defaults is None:
        return None
    settings = {key: stored.get(key, value) for key, value in defaults.items()}
    if class_name == "LeakyReLU":
        settings = {"negative_slope": stored.get("negative_slope", settings["alpha"])}
    if class_name == "ThresholdedReLU":
        class_name, settings = "ReLU", {**activation.DEFAULTS["ReLU"], "threshold": settings["theta"]}
    if class_name == "ReLU":
        given = {key: value for key, value in settings.items() if value is not None}
        settings = {**activation.DEFAULTS["ReLU"], **given}
    return (class_name, settings) if all(_fits(key, value) for key, value in settings.items()) else None


def with_built_activations(entry: Json, address: tuple[str, ...], shapes: Mapping[tuple[str, ...], Shape]) -> Json:
    """The config with every activation that has variables built.

    Since: Keras 3 builds a layer from its input's shape without calling it, so that its activation has no variables yet
        when they are loaded; `build_config` gives them.
    Issue: "Layer 'p_re_lu' was never built".

    Args:
        entry: a model or layer in normal form; it is not changed.
        address: of the entry.
        shapes: of the stored arrays, by address.
    """
    config = dict(entry["config"])
    if is_model(entry):
        config["layers"] = [
            with_built_activations(layer, (*address, name_of(layer)), shapes) for layer in config["layers"]
        ]
    elif is_entry(config.get("layer")):
        config["layer"] = with_built_activations(config["layer"], (*address, "layer"), shapes)
    elif (slopes := shapes.get((*address, "activation", "alpha"))) is not None:
        config["activation"] = {**config["activation"], "build_config": {"input_shape": [None, *slopes]}}
    return {**entry, "config": config}


def _fits(key: str, value: Any) -> bool:
    if key == "axis":
        axes = value if isinstance(value, list) else [value]
        return bool(axes) and all(isinstance(axis, int) and not isinstance(axis, bool) for axis in axes)
    if key == "max_value" and value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30
