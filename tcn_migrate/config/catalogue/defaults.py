"""Settings that only younger releases of Keras 3 know, left out while they have their default.

Keras refuses a setting that it does not know, so a file of 3.14 does not load in 3.12 because of
`quantization_config: null`. Found by comparing `get_config()` of every layer class in 3.0.5, 3.3.3, 3.5.0, 3.8.0,
3.10.0, 3.12.0, 3.14.0 and 3.15.1.
"""

from __future__ import annotations

import re
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.names import snake_case
from tcn_migrate.config.catalogue.operations import is_operation
from tcn_migrate.config.catalogue.settings import words
from tcn_migrate.config.graph.entries import is_model, map_entries, name_of

_IMAGES_FIRST = {"data_format": "channels_last"}

DEFAULTS: dict[str, dict[str, Any]] = {
    "Dense": {"quantization_config": None},
    "EinsumDense": {"quantization_config": None},
    "Embedding": {"quantization_config": None},
    "ReversibleEmbedding": {"quantization_config": None},
    "InputLayer": {"optional": False, "ragged": False},
    "Attention": {"seed": None},
    "CategoryEncoding": {"sparse": False},
    "AdditiveAttention": {"seed": None},
    "MultiHeadAttention": {"seed": None, "sliding_window": None, "use_gate": False, "flash_attention": None},
    "GroupQueryAttention": {"seed": None, "sliding_window": None, "use_gate": False, "flash_attention": None},
    "Conv1DTranspose": {"output_padding": None},
    "Conv2DTranspose": {"output_padding": None},
    "Conv3DTranspose": {"output_padding": None},
    "LayerNormalization": {"rms_scaling": False},
    "IntegerLookup": {"oov_method": "floormod", "salt": None},
    "StringLookup": {"oov_method": "floormod", "salt": None},
    "Resizing": {"antialias": False, "pad_to_aspect_ratio": False, "fill_mode": "constant", "fill_value": 0.0},
    "RandomContrast": {"value_range": [0, 255], **_IMAGES_FIRST},
    "ZeroPadding1D": _IMAGES_FIRST,
    **dict.fromkeys(
        words(
            "AugMix AutoContrast CutMix Equalization MaxNumBoundingBoxes MixUp RandAugment RandomBrightness",
            "RandomColorDegeneration RandomColorJitter RandomElasticTransform RandomErasing RandomFlip",
            "RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization",
            "RandomSaturation RandomSharpness Solarization",
        ),
        _IMAGES_FIRST,
    ),
}
"""By class: settings that some release from 3.0.5 on does not know, with their default."""

_RENORM = ("renorm", "renorm_clipping", "renorm_momentum")
_LORA = ("lora_rank", "lora_alpha", "lora_enabled")
_WITHOUT_EFFECT = {
    "RandomRotation": ("value_range",),
    "IntegerLookup": ("vocabulary_size",),
    "StringLookup": ("vocabulary_size",),
    "TextVectorization": ("vocabulary_size",),
}


def neutral(config: Json) -> Json:
    """The config without settings that an older Keras 3 would refuse, where they say nothing.

    Args:
        config: a model in normal form; it is not changed.
    """
    return map_entries(config, _neutral)


def _neutral(entry: Json) -> Json:
    if is_model(entry):
        return _with_plain_operations(entry) if entry["class_name"] == "Functional" else entry
    defaults = DEFAULTS.get(entry["class_name"], {})
    config = {
        key: value for key, value in entry["config"].items() if key not in defaults or not _same(value, defaults[key])
    }
    if entry["class_name"] == "BatchNormalization" and not config.get("renorm"):
        config = {key: value for key, value in config.items() if key not in _RENORM}
    for key in _WITHOUT_EFFECT.get(entry["class_name"], ()):
        config.pop(key, None)
    if entry["module"] == "keras.layers":  # what LoRA learned is in the stored kernel
        config = {key: value for key, value in config.items() if key not in _LORA}
    return {**entry, "config": config}


def _same(value: Any, default: Any) -> bool:
    """Equal, and of one kind: 0 is no False."""
    return bool(value == default) and isinstance(value, bool) == isinstance(default, bool)


def _with_plain_operations(model: Json) -> Json:
    """Operations with settings of their own take no name before Keras 3.11; without one they go by their class.

    The name stays where another layer would have the one that Keras then chooses.
    """
    layers = model["config"]["layers"]

    def has_settings(layer: Json) -> bool:
        return is_operation(layer["module"], layer["class_name"]) and not set(layer["config"]) <= {"name"}

    others = {name_of(layer) for layer in layers if not has_settings(layer)}

    def plain(layer: Json) -> Json:
        if not has_settings(layer):
            return layer
        chosen = re.compile(rf"{re.escape(snake_case(layer['class_name']))}(_\d+)?")
        if any(chosen.fullmatch(name) for name in others):
            return layer
        return {**layer, "config": {key: value for key, value in layer["config"].items() if key != "name"}}

    return {**model, "config": {**model["config"], "layers": [plain(layer) for layer in layers]}}
