"""The `training` argument of a call, which Keras 2 keeps in a functional model and Keras 3 replaces.

`layer(x, training=False)` in a functional model of Keras 2 is called so in every prediction and training step. In Keras
3 the model passes its own value on, whatever stands in the file (keras/src/models/functional.py, `operation_fn`). Here
each such call becomes one that needs no argument:

- The value changes nothing: it is left out.
- `training=False` and a rate: the rate is 0.
- A nested model: its layers get the value, but for those that have their own.
- All else is wrapped in this package's `FixedTraining`, or, for the plain target, refused by name. There a layer with
  `training=False` stays as it is, with a warning: it predicts the same, and only training differs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config import classes
from tcn_migrate.config.entries import is_entry, is_model, name_of
from tcn_migrate.config.keras_operations import is_operation
from tcn_migrate.config.repair import Repair
from tcn_migrate.config.settings import words
from tcn_migrate.errors import SettingError, quoted

FIXED_TRAINING = "FixedTraining"
"""The class of this package that calls another layer with one value of `training`."""

_RECURRENT = ("dropout", "recurrent_dropout")
RATES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        words("Dropout AlphaDropout GaussianDropout SpatialDropout1D SpatialDropout2D SpatialDropout3D"), ("rate",)
    ),
    "GaussianNoise": ("stddev",),
    **dict.fromkeys(
        words("LSTM GRU SimpleRNN LSTMCell GRUCell SimpleRNNCell ConvLSTM1D ConvLSTM2D ConvLSTM3D"), _RECURRENT
    ),
    **dict.fromkeys(words("Attention AdditiveAttention MultiHeadAttention GroupQueryAttention"), ("dropout",)),
    **dict.fromkeys(words("TCN LegacyTCN"), ("dropout_rate",)),
}
"""By class: settings by which a layer computes something else in training; at 0 they do nothing."""

ALWAYS = words(
    "SpectralNormalization AugMix AutoContrast CutMix MixUp RandAugment RandomBrightness RandomColorDegeneration",
    "RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur",
    "RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation",
    "RandomSharpness RandomShear RandomTranslation RandomZoom Solarization Pipeline",
)
"""Classes that compute something else in training, whatever their settings."""


def fix_training(config: Json, *, wrap: bool, keras_version: str | None = None) -> tuple[Json, list[Repair], list[str]]:
    """The config without `training` arguments, computing what it computed in Keras 2.

    Since: Keras 3.0.
    Issue: none known; the predictions of `BatchNormalization()(x, training=True)` differ without a message.

    Args:
        config: a model in normal form, after all repairs; it is not changed.
        wrap: whether the new file may hold `FixedTraining`.
        keras_version: of the release that wrote the file; before TensorFlow 2 a batch norm that is not trainable used
            the batch's statistics, too, if it was called with `training=True`.

    Returns:
        The new config, what was changed, and warnings.

    Raises:
        SettingError: an argument that is neither true nor false; or a layer that only `FixedTraining` can say.
    """
    fixing = _Fixing(wrap, bool(re.match(r"2\.2\.\d+-tf$|2\.[0-3]\.\d+$", keras_version or "")))
    fixed = fixing.model(config, "")
    return fixed, fixing.repairs, fixing.differences()


def refuse_random_crops(config: Json) -> None:
    """Refuses a RandomCrop that may be called with `training=True`, before a repair replaces it by a Resizing.

    Args:
        config: a model in normal form, as stored.

    Raises:
        SettingError: there is one, and there is such a call.
    """
    crops, calls, waiting = [], [], [config]
    while waiting:
        entry = waiting.pop()
        crops += [name_of(entry)] if entry["class_name"] == "RandomCrop" else []
        calls += [call["kwargs"].get("training") for call in entry.get("inbound_nodes") or []]
        waiting += _inside(entry)
    if crops and any(value is not None and value is not False for value in calls):
        raise SettingError(
            "RandomCrop in a model with a call that has training=True crops at random in predictions, or may; here it "
            "would resize",
            address=f"layer {quoted(crops[0])}",
        )


def depends_on_training(entry: Json) -> bool:
    """Whether a layer, or one inside it, computes something else in training than in predictions."""
    name, config = entry["class_name"], entry["config"]
    if is_operation(entry.get("module"), name):
        return False
    if is_model(entry):
        return any(depends_on_training(layer) for layer in config["layers"])
    trained = config.get("trainable", True) is not False
    if _is_tcn(entry):
        return _has_rate(entry) or (trained and bool(config.get("use_batch_norm")))
    if name == "BatchNormalization":
        return trained
    if name in ALWAYS or not (classes.is_known(name) or name in _PARTS):
        return True
    return _has_rate(entry) or any(depends_on_training(part) for part in _inside(entry))


_PARTS = words("LSTMCell GRUCell SimpleRNNCell ConvLSTMCell")


def _is_tcn(entry: Json) -> bool:
    return entry["class_name"] in ("TCN", "LegacyTCN")


def _inside(entry: Json) -> list[Json]:
    """The layers that stand in a layer's settings."""
    values = [item for value in entry["config"].values() for item in (value if isinstance(value, list) else [value])]
    return [value for value in values if is_entry(value)]


def _has_rate(entry: Json) -> bool:
    return any(entry["config"].get(key) for key in RATES.get(entry["class_name"], ()))


def _has_batch_norm(entry: Json, *, frozen: bool = False) -> bool:
    """Whether a layer is a batch norm or holds one; `frozen`: one that is not trainable."""
    config = entry["config"]
    if entry["class_name"] == "BatchNormalization" or (_is_tcn(entry) and config.get("use_batch_norm")):
        return not frozen or config.get("trainable", True) is False
    return any(_has_batch_norm(part, frozen=frozen) for part in _inside(entry))


def _without_rates(entry: Json) -> Json:
    """The entry with all rates at 0, also those of the layers inside it."""
    rates = {key: 0.0 for key in RATES.get(entry["class_name"], ()) if entry["config"].get(key)}

    def still(value: Any) -> Any:
        if isinstance(value, list):
            return [still(item) for item in value]
        return _without_rates(value) if is_entry(value) else value

    return {**entry, "config": {key: still(value) for key, value in {**entry["config"], **rates}.items()}}


@dataclass
class _Fixing:
    """One walk through a config, and what it did."""

    wrap: bool
    frozen_norms_train: bool
    repairs: list[Repair] = field(default_factory=list)
    unlike_in_training: list[str] = field(default_factory=list)

    def model(self, entry: Json, path: str) -> Json:
        """A model whose calls have no `training` argument any more."""
        layers = [self.layer(layer, self.arguments(layer, path), path) for layer in entry["config"]["layers"]]
        return {**entry, "config": {**entry["config"], "layers": layers}}

    def arguments(self, entry: Json, path: str) -> list[bool | None]:
        """The `training` argument of each call."""
        values = [call["kwargs"].get("training") for call in entry.get("inbound_nodes") or []]
        for value in values:
            if value is not None and value not in (0, 1):
                raise SettingError(
                    "the argument training of a call is not a constant",
                    address=f"layer {quoted(path + name_of(entry))}",
                    expected="true or false",
                    found="a tensor" if isinstance(value, dict) else quoted(value),
                )
        return [None if value is None else bool(value) for value in values]

    def layer(self, entry: Json, values: Sequence[bool | None], path: str) -> Json:
        """A layer that is called with these values of `training`."""
        address = path + name_of(entry)
        entry = _without_arguments(entry)
        given = set(values) - {None}
        if True in given and self.frozen_norms_train and _has_batch_norm(entry, frozen=True):
            raise SettingError(
                "is or holds a batch norm that is not trainable, called with training=True; in this release of Keras "
                "it used the batch's statistics all the same, which Keras 3 cannot",
                address=f"layer {quoted(address)} (class {quoted(entry['class_name'])})",
            )
        if not given or not depends_on_training(entry):
            if given:
                self.note(address, "its argument training changes nothing and is left out")
            return self.inside(entry, path)
        value = values[0]
        if any(other != value for other in values):
            return self.wrapped(self.inside(entry, path), None, values, address)
        assert value is not None  # for the type checker: a None among equal values was handled above
        if is_model(entry):
            self.note(address, f"its layers are called with training={value}; Keras 3 would replace the argument")
            return self.with_value(entry, value, f"{address}/")
        if not value and not depends_on_training(still := _without_rates(entry)):
            self.note(address, "called with training=False, which is a rate of 0; Keras 3 would replace the argument")
            return self.inside(still, path)
        return self.wrapped(self.inside(entry, path), value, values, address)

    def with_value(self, model: Json, value: bool, path: str) -> Json:
        """A nested model, called with one value: each of its layers has it, but for those with a value of their own."""
        layers = []
        for layer in model["config"]["layers"]:
            own = self.arguments(layer, path) or ([] if layer["class_name"] == "InputLayer" else [None])
            layers.append(self.layer(layer, [value if one is None else one for one in own], path))
        return {**model, "config": {**model["config"], "layers": layers}}

    def inside(self, entry: Json, path: str) -> Json:
        """A layer whose inner models have no `training` arguments any more."""
        if is_model(entry):
            return self.model(entry, f"{path}{name_of(entry)}/")
        config = {key: self.inside(value, path) if is_entry(value) else value for key, value in entry["config"].items()}
        return {**entry, "config": config}

    def wrapped(self, entry: Json, value: bool | None, values: Sequence[bool | None], address: str) -> Json:
        """What only a wrapper says."""
        if True in values and entry["class_name"] == "TimeDistributed" and _has_batch_norm(entry["config"]["layer"]):
            raise SettingError(
                "is called with training=True and holds a batch norm, which Keras 2 gives the statistics of all steps "
                "and Keras 3 those of one",
                address=f"layer {quoted(address)} (class TimeDistributed)",
            )
        shown = " and ".join(sorted({"without it" if one is None else f"training={one}" for one in values}))
        if not self.wrap:
            if True in values:
                raise SettingError(
                    f"is called with {shown}, which Keras's own layers cannot say in Keras 3",
                    address=f"layer {quoted(address)} (class {quoted(entry['class_name'])})",
                    hint="Use --target layer",
                )
            self.unlike_in_training.append(address)
            return entry
        self.note(address, f"called with {shown}; {FIXED_TRAINING} calls it so, for Keras 3 would replace the argument")
        outside: Json = {key: entry[key] for key in ("name", "inbound_nodes") if key in entry}
        inner = {key: item for key, item in entry.items() if key not in outside}
        if value is None:
            calls = [
                call if one is None else {**call, "kwargs": {**call["kwargs"], "fixed": one}}
                for call, one in zip(outside["inbound_nodes"], values, strict=True)
            ]
            outside["inbound_nodes"] = calls
        return {
            "module": "tcn_migrate",
            "class_name": FIXED_TRAINING,
            "registered_name": f"tcn_migrate>{FIXED_TRAINING}",
            "config": {"name": name_of(entry), "layer": inner, "training": value},
            **outside,
        }

    def differences(self) -> list[str]:
        """What a training step of the new file does otherwise, in one warning."""
        if not self.unlike_in_training:
            return []
        names = ", ".join(quoted(address) for address in self.unlike_in_training[:3])
        more = len(self.unlike_in_training) - 3
        return [
            f"called with training=False in Keras 2: {names}{f' and {more} more' if more > 0 else ''}. Predictions are "
            "the same, but training goes on differently, for Keras 3 replaces the argument; --target layer keeps it"
        ]

    def note(self, address: str, sentence: str) -> None:
        self.repairs.append(Repair(address, "training-argument", sentence))


def _without_arguments(entry: Json) -> Json:
    if "inbound_nodes" not in entry:
        return entry
    calls = [
        {**call, "kwargs": {key: value for key, value in call["kwargs"].items() if key != "training"}}
        for call in entry["inbound_nodes"]
    ]
    return {**entry, "inbound_nodes": calls}
