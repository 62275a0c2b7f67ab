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

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tcn_migrate.checkpoint import Json, KerasVersion
from tcn_migrate.config.catalogue import classes
from tcn_migrate.config.catalogue.identity import FIXED_TRAINING
from tcn_migrate.config.catalogue.operations import is_operation
from tcn_migrate.config.graph.drawing import Drawing, history
from tcn_migrate.config.graph.entries import Address, every_entry, is_entry, is_model, name_of
from tcn_migrate.config.graph.rewrite import Outputs, functional_of, is_functional, replace_layers
from tcn_migrate.config.guards.shapes import Shape, input_shapes
from tcn_migrate.config.repair import Repair
from tcn_migrate.errors import SettingError, quoted


@dataclass
class Fixed:
    """A config without `training` arguments, and what was done for it.

    Attributes:
        config: in normal form.
        repairs: what was changed.
        warnings: what a training step of the new file does otherwise.
        places: new addresses of variables that moved, by their old ones.
        idle: old addresses of variables on which nothing depends any more.
    """

    config: Json
    repairs: list[Repair]
    warnings: list[str]
    places: dict[Address, Address]
    idle: set[Address]


def fix_training(
    config: Json,
    *,
    wrap: bool,
    keras_version: str | None = None,
    channels: Callable[[Address], int | None] = lambda address: None,
    by_steps: Collection[Address] = (),
) -> Fixed:
    """The config without `training` arguments, computing what it computed in Keras 2.

    Since: Keras 3.0.
    Issue: none known; the predictions of `BatchNormalization()(x, training=True)` differ without a message.

    Args:
        config: a model in normal form, after all repairs; it is not changed.
        wrap: whether the new file may hold `FixedTraining`.
        keras_version: of the release that wrote the file; before TensorFlow 2 a batch norm that is not trainable used
            the batch's statistics, too, if it was called with `training=True`.
        channels: the size of the variable at an address, if there is one.
        by_steps: models that stand for a TimeDistributed.

    Raises:
        SettingError: an argument that is neither true nor false; or a layer that only `FixedTraining` can say.
    """
    version = KerasVersion.parse(keras_version)
    old = version is not None and (version.without_tensorflow or version == KerasVersion((2, 2), of_tensorflow=True))
    # What is drawn for a batch norm would end a mask. Where nothing is known of the shapes, nothing is drawn.
    shapes = {} if _has_masks(config) else input_shapes(config).layers
    fixing = _Fixing(wrap, old, channels, shapes, by_steps)
    fixed = fixing.model(config, ())
    return Fixed(fixed, fixing.repairs, fixing.differences(), fixing.places, fixing.idle)


def refuse_random_replaced(config: Json) -> None:
    """Refuses a layer that is random in training and may be called so, before a repair replaces it by one that is not.

    Args:
        config: a model in normal form, as stored.

    Raises:
        SettingError: there is one, and there is such a call.
    """
    random, calls, waiting = [], [], [config]
    while waiting:
        entry = waiting.pop()
        row = classes.facts(entry["class_name"])
        random += [entry] if row.random and row.replaced_by is not None else []
        calls += [call["kwargs"].get("training") for call in entry.get("inbound_nodes") or []]
        waiting += _inside(entry)
    if random and any(value is not None and value is not False for value in calls):
        name = random[0]["class_name"]
        raise SettingError(
            f"{name} in a model with a call that has training=True is random in predictions, or may be, and the "
            f"{classes.facts(name).replaced_by} that replaces it is not",
            address=f"layer {quoted(name_of(random[0]))}",
        )


def refuse_fixed_training(config: Json) -> None:
    """Refuses a `FixedTraining` of a file of this package, for the plain target.

    Args:
        config: a model in normal form.

    Raises:
        SettingError: there is one.
    """
    for entry in every_entry(config):
        if entry["class_name"] == FIXED_TRAINING:
            raise SettingError(
                "keeps the training argument of a call, which Keras's own layers cannot",
                address=f"layer {quoted(name_of(entry))} (class {quoted(FIXED_TRAINING)})",
                hint="Use --target layer, or migrate the file that this one was made from",
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
    if classes.facts(name).random or not classes.is_known(name):
        return True
    return _has_rate(entry) or any(depends_on_training(part) for part in _inside(entry))


def _is_tcn(entry: Json) -> bool:
    return entry["class_name"] in ("TCN", "LegacyTCN")


def _inside(entry: Json) -> list[Json]:
    """The layers that stand in a layer's settings."""
    values = [item for value in entry["config"].values() for item in (value if isinstance(value, list) else [value])]
    return [value for value in values if is_entry(value)]


def _has_rate(entry: Json) -> bool:
    return any(entry["config"].get(key) for key in _rates(entry))


def _rates(entry: Json) -> tuple[str, ...]:
    """The settings by which a layer computes something else in training; at 0 they do nothing."""
    return ("dropout_rate",) if _is_tcn(entry) else classes.facts(entry["class_name"]).rates


def _has_masks(entry: Json) -> bool:
    """Whether a mask is made, or given to a call, anywhere in a model."""
    calls = entry.get("inbound_nodes") or []
    made = entry["class_name"] == "Masking" or bool(entry["config"].get("mask_zero"))
    return made or any(call["kwargs"].get("mask") is not None for call in calls) or any(map(_has_masks, _inside(entry)))


def _has_batch_norm(entry: Json, *, frozen: bool = False) -> bool:
    """Whether a layer is a batch norm or holds one; `frozen`: one that is not trainable."""
    config = entry["config"]
    if entry["class_name"] == "BatchNormalization" or (_is_tcn(entry) and config.get("use_batch_norm")):
        return not frozen or config.get("trainable", True) is False
    return any(_has_batch_norm(part, frozen=frozen) for part in _inside(entry))


def _without_rates(entry: Json) -> Json:
    """The entry with all rates at 0, also those of the layers inside it."""
    rates = {key: 0.0 for key in _rates(entry) if entry["config"].get(key)}

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
    channels: Callable[[Address], int | None]
    shapes: Mapping[Address, list[Shape]]
    by_steps: Collection[Address] = ()
    repairs: list[Repair] = field(default_factory=list)
    unlike_in_training: list[Address] = field(default_factory=list)
    places: dict[Address, Address] = field(default_factory=dict)
    idle: set[Address] = field(default_factory=set)
    drawn: dict[Address, bool] = field(default_factory=dict)

    def model(self, entry: Json, address: Address, value: bool | None = None) -> Json:
        """A model whose calls have no `training` argument any more.

        Args:
            value: what the model itself is called with; each of its layers has it, but for those with their own.
        """
        layers, can_draw = [], _may_be_drawn(entry)
        for layer in entry["config"]["layers"]:
            own = self.arguments(layer, address)
            if value is not None and layer["class_name"] != "InputLayer":
                own = [value if one is None else one for one in own or [None]]
            layers.append(self.layer(layer, own, (*address, name_of(layer)), can_draw=can_draw))
        return self.with_drawn({**entry, "config": {**entry["config"], "layers": layers}}, address)

    def arguments(self, entry: Json, address: Address) -> list[bool | None]:
        """The `training` argument of each call."""
        values = [call["kwargs"].get("training") for call in entry.get("inbound_nodes") or []]
        for value in values:
            if value is not None and value not in (0, 1):
                raise SettingError(
                    "the argument training of a call is not a constant",
                    address=f"layer {_shown((*address, name_of(entry)))}",
                    expected="true or false",
                    found="a tensor" if isinstance(value, dict) else quoted(value),
                )
        return [None if value is None else bool(value) for value in values]

    def layer(self, entry: Json, values: Sequence[bool | None], address: Address, *, can_draw: bool) -> Json:
        """A layer that is called with these values of `training`.

        Args:
            can_draw: whether operations may stand in its place.
        """
        entry = _without_arguments(entry)
        given = set(values) - {None}
        if True in given and self.frozen_norms_train and _has_batch_norm(entry, frozen=True):
            raise SettingError(
                "is or holds a batch norm that is not trainable, called with training=True; in this release of Keras "
                "it used the batch's statistics all the same, which Keras 3 cannot",
                address=f"layer {_shown(address)} (class {quoted(entry['class_name'])})",
            )
        if not given or not depends_on_training(entry):
            if given:
                self.note(address, "its argument training changes nothing and is left out")
            return self.inside(entry, address)
        by_steps = entry["class_name"] == "TimeDistributed" or address in self.by_steps
        if True in given and by_steps and _has_batch_norm(entry):
            raise SettingError(
                "is called with training=True and holds a batch norm; Keras 2 used the statistics of all steps or of "
                "each step, depending on the layer and the batch, and Keras 3 uses those of each step",
                address=f"layer {_shown(address)} (class TimeDistributed)",
            )
        value = values[0]
        if any(other != value for other in values):
            return self.wrapped(self.inside(entry, address), None, values, address)
        assert value is not None  # for the type checker: a None among equal values was handled above
        if is_model(entry):
            self.note(address, f"its layers are called with training={value}; Keras 3 would replace the argument")
            return self.model(entry, address, value)
        if not value and not depends_on_training(still := _without_rates(entry)):
            self.note(address, "called with training=False, which is a rate of 0; Keras 3 would replace the argument")
            return self.inside(still, address)
        if not self.wrap and can_draw and len(values) == 1 and self.can_be_drawn(entry, address):
            self.drawn[address] = value
            return entry
        return self.wrapped(self.inside(entry, address), value, values, address)

    def inside(self, entry: Json, address: Address) -> Json:
        """A layer whose inner models have no `training` arguments any more."""
        if is_model(entry):
            return self.model(entry, address)
        config = {
            key: self.inside(value, (*address, key)) if is_entry(value) else value
            for key, value in entry["config"].items()
        }
        return {**entry, "config": config}

    def wrapped(self, entry: Json, value: bool | None, values: Sequence[bool | None], address: Address) -> Json:
        """What only a wrapper says."""
        shown = " and ".join(sorted({"without it" if one is None else f"training={one}" for one in values}))
        if not self.wrap:
            if True in values:
                raise SettingError(
                    f"is called with {shown}, which Keras's own layers cannot say in Keras 3",
                    address=f"layer {_shown(address)} (class {quoted(entry['class_name'])})",
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
            "config": {"name": name_of(entry), "layer": inner, "training": value},
            "registered_name": f"tcn_migrate>{FIXED_TRAINING}",
            **outside,
        }

    # a batch norm in Keras's own layers

    def can_be_drawn(self, entry: Json, address: Address) -> bool:
        """Whether a batch norm can be said with operations and a layer that multiplies by gamma and adds beta."""
        config, (shape, *_) = entry["config"], (*self.shapes.get(address, []), None)
        plain = entry["class_name"] == "BatchNormalization" and not config.get("renorm") and shape is not None
        axis = config.get("axis", -1)
        last = shape is not None and isinstance(axis, int) and axis % len(shape) == len(shape) - 1
        whole = last and "16" not in str(config.get("dtype"))
        if not config.get("scale", True):
            return plain and whole and not config.get("center", True)
        return plain and whole and self.channels((*address, "gamma")) is not None

    def with_drawn(self, model: Json, address: Address) -> Json:
        """The model with what stands for its batch norms."""
        names = {here[-1] for here in self.drawn if here[:-1] == address}
        if not names:
            return model
        functional = model if is_functional(model) else functional_of(model)
        assert functional is not None  # `_may_be_drawn`

        def build(drawing: Drawing, layer: Json, arguments: Sequence[Any], keywords: Json, name: str) -> Outputs:
            return [self.norm(drawing, layer, arguments[0], (*address, name))]

        return replace_layers(functional, lambda layer: name_of(layer) in names, build)

    def norm(self, drawing: Drawing, layer: Json, x: Any, address: Address) -> Any:
        """A batch norm with the batch's statistics, or with those that it has and keeps."""
        config, name = layer["config"], address[-1]
        (shape, *_) = self.shapes[address]
        rank = len(shape or ())
        if self.drawn[address]:
            axes = list(range(rank - 1))
            mean = drawing.operation("numpy.Mean", x, name=f"{name}_mean", axis=axes, keepdims=True)
            variance = drawing.operation("numpy.Var", x, name=f"{name}_variance", axis=axes, keepdims=True)
            wide = drawing.operation("numpy.Add", variance, config.get("epsilon", 1e-3), name=f"{name}_wide")
            factor = drawing.operation("math.Rsqrt", wide, name=f"{name}_factor")
            x = drawing.operation("numpy.Subtract", x, mean, name=f"{name}_centered")
            x = drawing.operation("numpy.Multiply", x, factor, name=f"{name}_normalized")
            self.idle |= {(*address, statistic) for statistic in ("moving_mean", "moving_variance")}
            self.note(address, "called with training=True: it is computed from the batch's statistics by operations")
        else:
            kept = {
                key: value
                for key, value in config.items()
                if key != "name" and key.partition("_")[0] not in ("gamma", "beta")
            }
            kept |= {"center": False, "scale": False, "trainable": False}
            x = drawing.layer("BatchNormalization", x, name, **kept)
            self.note(address, "called with training=False: its statistics stay, and gamma and beta stand behind it")
        if not config.get("scale", True):
            return x
        letters = "abcdefgh"[:rank]
        channels = self.channels((*address, "gamma"))
        after = f"{name}_gamma_and_beta"
        own: Json = {
            "equation": f"{letters},{letters[-1]}->{letters}",
            "output_shape": [*[None] * (rank - 2), channels],
            "bias_axes": letters[-1] if config.get("center", True) else None,
            **{key: config[key] for key in ("trainable", "dtype") if key in config},
        }
        for old, new in (("gamma", "kernel"), ("beta", "bias")):
            if old == "gamma" or config.get("center", True):
                for kind in ("initializer", "regularizer", "constraint"):
                    if config.get(f"{old}_{kind}") is not None:
                        own[f"{new}_{kind}"] = config[f"{old}_{kind}"]
        x = drawing.layer("EinsumDense", x, after, **own)
        drawn = history(x)[0]
        self.places[*address, "gamma"] = (*address[:-1], drawn, "kernel")
        if config.get("center", True):
            self.places[*address, "beta"] = (*address[:-1], drawn, "bias")
        return x

    def differences(self) -> list[str]:
        """What a training step of the new file does otherwise, in one warning."""
        if not self.unlike_in_training:
            return []
        names = ", ".join(map(_shown, self.unlike_in_training[:3]))
        more = len(self.unlike_in_training) - 3
        return [
            f"called with training=False in Keras 2: {names}{f' and {more} more' if more > 0 else ''}. Predictions are "
            "the same, but training goes on differently, for Keras 3 replaces the argument; --target layer keeps it"
        ]

    def note(self, address: Address, sentence: str) -> None:
        self.repairs.append(Repair("/".join(address), "training-argument", sentence))


def _shown(address: Address) -> str:
    return quoted("/".join(address))


def _may_be_drawn(model: Json) -> bool:
    """Whether a model can hold operations: a functional one, or a Sequential that can be written as one."""
    return is_functional(model) or functional_of(model) is not None


def _without_arguments(entry: Json) -> Json:
    if "inbound_nodes" not in entry:
        return entry
    calls = [
        {**call, "kwargs": {key: value for key, value in call["kwargs"].items() if key != "training"}}
        for call in entry["inbound_nodes"]
    ]
    return {**entry, "inbound_nodes": calls}
