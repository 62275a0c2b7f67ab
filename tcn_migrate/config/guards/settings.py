"""The settings of built-in layers, held against the table before Keras sees them.

Checked is a config in normal form, after all repairs: what stands in it now is what is written.
"""

from __future__ import annotations

import math
import re
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue import classes
from tcn_migrate.config.catalogue.activations import OPERATIONS, operation
from tcn_migrate.config.catalogue.identity import FIXED_TRAINING
from tcn_migrate.config.catalogue.objects import cleaned, kind_of
from tcn_migrate.config.catalogue.operations import is_operation
from tcn_migrate.config.catalogue.settings import ACTIVATIONS, COMMON, words
from tcn_migrate.config.graph.entries import is_entry, is_model, map_entries, spoken
from tcn_migrate.errors import SettingError, UnknownLayerError, UnsafeError, quoted

_LARGEST = 2**31 - 1
_MOST_NUMBERS = 1_000_000
_LARGEST_BATCH = 1 << 16
_LARGEST_INPUT = 1 << 28
_LARGEST_OF = {
    "num_oov_indices": 1_000_000,
    "ngrams": 1_000,
    **dict.fromkeys(("fft_length", "num_mel_bins", "sequence_length", "frame_length"), 1 << 13),
}
"""Settings by which Keras makes lists and matrices while it builds a layer, before anything is computed."""

_POSITIVE = words(
    "units filters depth_multiplier num_heads key_dim value_dim head_dim num_query_heads num_key_value_heads input_dim",
    "output_dim n power_iterations num_bins height width",
)
_EXTENTS = frozenset(["kernel_size", "strides", "pool_size", "dilation_rate", "size"])
_SWITCHES = words(
    "use_bias return_sequences return_state go_backwards stateful unroll zero_output_for_mask unit_forget_bias",
    "reset_after center scale use_scale mask_zero keepdims sparse renorm synchronized invert normalize use_gate",
    "crop_to_aspect_ratio pad_to_aspect_ratio antialias trainable",
)
_RATES = frozenset(["rate", "dropout", "recurrent_dropout"])
_CHOICES: dict[str, frozenset[Any]] = {
    "data_format": frozenset({"channels_last", "channels_first", None}),
    "merge_mode": frozenset({"sum", "mul", "concat", "ave", None}),
    "score_mode": frozenset({"dot", "concat"}),
}
_FUNCTIONS = frozenset({"activation", "recurrent_activation"})
_ENTRIES = frozenset({"layer", "backward_layer", "cell"})
_ENTRY_LISTS = frozenset({"cells", "layers"})
_WORDS = frozenset({"lower_and_strip_punctuation", "lower", "strip_punctuation", "whitespace", "character", None})


def check_settings(config: Json, custom_classes: frozenset[str] = frozenset()) -> tuple[Json, tuple[str, ...]]:
    """The config with known objects alone, and warnings about those that were left out.

    Args:
        config: a model in normal form; it is not changed.
        custom_classes: names that the user supplies; an activation may be one of them.

    Raises:
        SettingError: a setting that the class does not have, or a value that it cannot have.
        UnsafeError: a setting that holds code, or points to a file.
        UnknownLayerError: an activation function that is not Keras's.
    """
    checker = _Checker(custom_classes)
    checked = map_entries(config, checker.entry)
    return checked, tuple(checker.warnings)


class _Checker:
    def __init__(self, custom_classes: frozenset[str]) -> None:
        self.custom_classes = custom_classes
        self.warnings: list[str] = []

    def entry(self, entry: Json) -> Json:
        class_name = entry["class_name"]
        if is_model(entry) or class_name in ("TCN", "LegacyTCN"):
            return entry
        if is_operation(entry["module"], class_name):
            self.operation(entry)
            return entry
        row = classes.facts(class_name)
        if row.raw:
            raise UnknownLayerError(f"its class {quoted(class_name)} could not be replaced", address=spoken(entry))
        if class_name == FIXED_TRAINING:
            self.fixed_training(entry)
            return entry
        if entry["module"] != "keras.layers" or row.settings is None:
            return entry  # the user's own class, with the user's own checks
        allowed = row.settings | COMMON
        config: Json = {}
        for key, value in entry["config"].items():
            if key not in allowed:
                if _says_something(value):
                    raise SettingError(
                        f"{class_name} has no setting {quoted(key)}", address=spoken(entry), found=quoted(value)
                    )
                continue
            kind = kind_of(key)
            if kind is not None:
                value, known = cleaned(kind, value)
                if not known:
                    self.left_out(entry, key)
                    continue
            else:
                self.value(entry, key, value)
                if key in _FUNCTIONS and isinstance(value, str) and value in self.custom_classes:
                    value = self.function_of_the_user(value)
            config[key] = value
        self.lookup(entry)
        return {**entry, "config": config}

    def fixed_training(self, entry: Json) -> None:
        config = entry["config"]
        if not is_entry(config.get("layer")):
            raise SettingError("layer is not a layer", address=spoken(entry))
        if config.get("training") not in (None, True, False):
            raise SettingError(
                "training has a wrong value",
                address=spoken(entry),
                expected="true, false or null",
                found=quoted(config["training"]),
            )

    def function_of_the_user(self, name: str) -> Json:
        """A function that the user supplies, as Keras 3 finds it: by a name alone it looks among its own functions.

        Source: keras/src/activations/__init__.py, `get` and `serialize`, 3.0.5 to 3.15.1.
        """
        registered = next((full for full in sorted(self.custom_classes) if full.endswith(f">{name}")), name)
        return {"module": "builtins", "class_name": "function", "config": registered, "registered_name": "function"}

    def left_out(self, entry: Json, key: str) -> None:
        self.warnings.append(
            f"{spoken(entry)}: its {key} is not one of Keras's own and was left out; predictions do not depend on it"
        )

    def value(self, entry: Json, key: str, value: Any) -> None:
        if key in _FUNCTIONS:
            self.activation(entry, key, value)
        elif key in _ENTRIES:
            if value is not None and not is_entry(value):
                raise SettingError(f"{key} is not a layer", address=spoken(entry))
        elif key in _ENTRY_LISTS:
            if not isinstance(value, list) or not all(is_entry(item) for item in value):
                raise SettingError(f"{key} is not a list of layers", address=spoken(entry))
        else:
            expected = _expected(key, value)
            if expected is not None:
                raise SettingError(
                    f"{key} has a wrong value", address=spoken(entry), expected=expected, found=quoted(value)
                )

    def activation(self, entry: Json, key: str, value: Any) -> None:
        if value is None or (isinstance(value, str) and (value in ACTIVATIONS or value in self.custom_classes)):
            return
        if is_entry(value) and self.is_function(entry, value):
            return
        shown = value.get("class_name") if isinstance(value, dict) else value
        raise UnknownLayerError(
            f"its {key} {quoted(shown)} is not a function of Keras's own",
            address=spoken(entry),
            hint="If it is yours, give the module that registers it: --custom-objects package.module",
        )

    def is_function(self, owner: Json, value: Json) -> bool:
        """Whether a layer or operation can stand for a function: one without variables, or a PReLU where it is built.

        Args:
            owner: whose activation it is. A recurrent layer would build a PReLU in a loop.
            value: the layer or operation.
        """
        class_name, config = value["class_name"], value["config"]
        if value in map(operation, OPERATIONS):
            return True
        known = classes.facts(class_name).settings is not None or class_name in self.custom_classes
        built = any(part.entry is value for part in classes.parts(owner["class_name"], {"activation": value}))
        free = built or not classes.variables(class_name, config)
        return known and free and not classes.parts(class_name, config)

    def operation(self, entry: Json) -> None:
        for key, value in entry["config"].items():
            expected = _data(value)
            if expected is not None:
                raise SettingError(
                    f"{quoted(key)} has a wrong value", address=spoken(entry), expected=expected, found=quoted(value)
                )

    def lookup(self, entry: Json) -> None:
        """A vocabulary that stands in the config is data; one that is a path is another file."""
        if "vocabulary" not in (classes.facts(entry["class_name"]).settings or ()):
            return
        config = entry["config"]
        for key in ("vocabulary", "idf_weights"):
            if isinstance(config.get(key), str):
                raise UnsafeError(
                    f"the {key} of {entry['class_name']} is read from another file, {quoted(config[key])}",
                    address=spoken(entry),
                )
        if config.get("vocabulary") is None:
            raise SettingError(
                f"the vocabulary of {entry['class_name']} was adapted to data and is not in the config",
                address=spoken(entry),
            )
        for key in ("standardize", "split"):
            if config.get(key) not in _WORDS:
                raise UnsafeError(f"its {key} is a function that is not in the file", address=spoken(entry))


def _says_something(value: Any) -> bool:
    return value is not None and value is not False and value != [] and value != {}


def _expected(key: str, value: Any) -> str | None:
    """What a setting should have been, if it is not."""
    if key in _POSITIVE:
        return None if value is None or _whole(value, 1) else "a positive whole number"
    if key in _LARGEST_OF:
        return None if value is None or _whole(value, 0, _LARGEST_OF[key]) else f"at most {_LARGEST_OF[key]}"
    if key == "batch_shape":
        return _expected_shape(value)
    if key in _EXTENTS:
        sizes = value if isinstance(value, list) else [value]
        fits = 1 <= len(sizes) <= 3 and all(_whole(size, 1) for size in sizes)
        return None if fits or value is None else "positive whole numbers"
    if key in _SWITCHES and not isinstance(value, int | float):
        one_a_channel = key == "scale" and isinstance(value, list)  # of Rescaling
        return None if value is None or one_a_channel else "true or false"
    if key in _RATES:
        return None if _number(value) and 0 <= value <= 1 else "a number from 0 to 1"
    if key in _CHOICES:
        fits = value is None or isinstance(value, str)
        return None if fits and value in _CHOICES[key] else f"one of {', '.join(sorted(map(str, _CHOICES[key])))}"
    if key == "equation":
        fits = isinstance(value, str) and bool(re.fullmatch(r"[A-Za-z.]{1,60},[A-Za-z.]{1,60}->[A-Za-z.]{1,60}", value))
        return None if fits else "an equation of einsum with one comma"
    if key == "mask_value" and isinstance(value, float) and math.isnan(value):
        return None
    return _data(value)


def _expected_shape(value: Any) -> str | None:
    """Keras makes the states of a stateful layer, and unrolls loops, for the sizes of an input."""
    if not isinstance(value, list) or not all(size is None or _whole(size, 0) for size in value):
        return "a list of sizes"
    batch, steps = value[:1], value[1:]
    if batch and batch[0] is not None and batch[0] > _LARGEST_BATCH:
        return f"a batch of at most {_LARGEST_BATCH}"
    if math.prod(size for size in steps if size is not None) > _LARGEST_INPUT:
        return f"at most {_LARGEST_INPUT} numbers in one example"
    return None


def _whole(value: Any, least: int, most: int = _LARGEST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _data(value: Any) -> str | None:
    """Numbers, short texts, and lists of them; and dictionaries of such, as `renorm_clipping` is one."""
    count = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        count += 1
        if count > _MOST_NUMBERS:
            return f"at most {_MOST_NUMBERS} values"
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            if "class_name" in item:
                return "numbers or texts"
            waiting.extend(item.values())
        elif isinstance(item, float):
            if not math.isfinite(item):
                return "a finite number"
        elif isinstance(item, int):
            if abs(item) >= 2**63:
                return "a number of 64 bits"
        elif item is not None and not (isinstance(item, str) and len(item) <= 100_000):
            return "numbers or texts"
    return None
