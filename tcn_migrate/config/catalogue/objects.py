"""Initializers, regularizers and constraints: what training alone needs.

A migration does not need them, but whoever trains on does, so the known ones are kept. Any other is left out with a
warning, and Keras takes its default; nothing of the file's is looked up or run for it.
"""

from __future__ import annotations

import math
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.settings import OBJECTS, SHORT_NAMES

_FORMER_SHORT_NAMES = {"l1_l2": "l1l2", "maxnorm": "max_norm", "nonneg": "non_neg", "unitnorm": "unit_norm"}
_OTHER_CLASSES = {"Orthogonal": "OrthogonalInitializer"}
"""The one name that Keras 3.0 to 3.15 all know it by."""
_SAID_ELSEWHERE = frozenset({"dtype", "verify_shape", "partition_info", "input_axes", "output_axes"})


def kind_of(key: str) -> str | None:
    """What a setting of this name holds: "initializer", "regularizer" or "constraint"."""
    word = key.rpartition("_")[2]
    return word if word in OBJECTS else None


def cleaned(kind: str, stored: Any) -> tuple[Any, bool]:
    """An object as every release of Keras 3 reads it, and whether it is known.

    `dtype` (TensorFlow 1.13 - 2.0) and `input_axes`, `output_axes` (Keras 3.15) are settings that other releases
    refuse. A seed that is an object is left out.

    Args:
        kind: as `kind_of` says.
        stored: None, a name, or `{"class_name", "config"}`.
    """
    if stored is None:
        return None, True
    if isinstance(stored, str):
        short = _FORMER_SHORT_NAMES.get(stored, stored)
        if short in SHORT_NAMES[kind]:
            return short, True
        stored = {"class_name": stored, "config": {}}
    if not isinstance(stored, dict):
        return None, False
    class_name, config = stored.get("class_name"), stored.get("config", {})
    if not isinstance(class_name, str) or not isinstance(config, dict):
        return None, False
    class_name = _OTHER_CLASSES.get(class_name, class_name)
    allowed = OBJECTS[kind].get(class_name)
    if allowed is None or not _is_keras(stored):
        return None, False
    kept: Json = {}
    for key, value in config.items():
        if key in _SAID_ELSEWHERE and not (key.endswith("_axes") and value is not None):
            continue
        if key not in allowed or not _is_value(value):
            if key == "seed":
                continue
            return None, False
        kept[key] = value
    if class_name == "Constant" and isinstance(kept.get("value"), list):
        return None, False
    return {"module": f"keras.{kind}s", "class_name": class_name, "config": kept, "registered_name": None}, True


def _is_keras(stored: Json) -> bool:
    module, registered = stored.get("module"), stored.get("registered_name")
    mine = module is None or (isinstance(module, str) and module.split(".")[0] in {"keras", "tf_keras", "tensorflow"})
    return mine and registered in (None, stored["class_name"])


def _is_value(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= 8 and all(_is_value(item) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)
