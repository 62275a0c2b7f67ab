"""A TCN's own settings, read out of a stored config and checked before anybody computes with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.activations import FORMER_NAMES, OPERATIONS, of_layer, operation
from tcn_migrate.errors import SettingError, UnsafeError, quoted
from tcn_migrate.tcn.activations import ACTIVATIONS

Norm = Literal["batch", "layer"]

KNOWN = frozenset(
    {
        "name", "trainable", "dtype", "nb_filters", "kernel_size", "nb_stacks", "dilations", "padding",
        "use_skip_connections", "dropout_rate", "return_sequences", "activation", "use_batch_norm", "use_layer_norm",
        "use_weight_norm", "kernel_initializer", "go_backwards", "return_state", "batch_input_shape", "batch_shape",
        "generation", "pass_mask",
    }
)  # fmt: skip
"""Every setting that a release of keras-tcn or of this package wrote. Any other is of an edited copy."""

MOST_BLOCKS = 1_000
"""No published model has more than 64; a config that asks for more would only exhaust the machine."""
LARGEST = {"kernel_size": 1 << 16, "nb_filters": 1 << 20, "dilations": 1 << 24, "nb_stacks": MOST_BLOCKS}
"""Far beyond any published model."""


@dataclass(frozen=True)
class TCNSettings:
    """What a stored TCN config says, as values that are known to be sound.

    Attributes:
        filters: the filters of each block, one number per block.
        dilations: the dilation rate of each block.
        declared_norms: the norms that the config asks for: both, one or none. The arrays decide (2.9.0 leaves
            `use_layer_norm` out of its config; files with both flags hold batch norm).
        weight_norm: the two convolutions of a block are wrapped in weight normalization.
        activation: the name of a function of Keras or TensorFlow, or the class of a layer: one without variables, or
            `PReLU`; see `own_slopes`.
        activation_settings: of that layer, in Keras 3's names; its axes count from the back. Empty for a function, and
            for a PReLU that was given by the name of its class.
        keys: the names of all settings that were in the config; missing ones tell the generation.
        Others are as in `tcn_migrate.TCN`.
    """

    name: str
    trainable: bool
    dtype: str
    nb_filters: int | tuple[int, ...]
    filters: tuple[int, ...]
    kernel_size: int
    nb_stacks: int
    stack_dilations: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: Literal["causal", "same"]
    use_skip_connections: bool
    dropout_rate: float
    return_sequences: bool
    activation: str
    activation_settings: Json
    declared_norms: tuple[Norm, ...]
    weight_norm: bool
    go_backwards: bool
    return_state: bool
    pass_mask: bool
    generation: str | None
    kernel_initializer: Any
    keys: frozenset[str]

    @property
    def blocks(self) -> int:
        return len(self.dilations)

    @property
    def own_slopes(self) -> bool:
        """Whether each activation is a PReLU of its own, with a slope for each step and filter.

        keras-tcn hands a PReLU object to every `Activation`, so that all share its one array; from the name of the
        class each makes its own (measured with keras-tcn 3.4.4 and 3.5.0 on Keras 2.15; Keras 2.4 refuses the name).
        """
        return self.activation == "PReLU" and not self.activation_settings


def read_settings(config: Mapping[str, Any], address: str) -> TCNSettings:
    """The settings of one TCN.

    Args:
        config: the layer's `config`, as stored by any release of keras-tcn from 2.9.0 on, or by this package.
        address: names the layer in errors; already safe to print.

    Raises:
        SettingError: a value that no release could have written or computed with.
        UnsafeError: an activation that is code.
    """
    if "nb_filters" not in config or "dilations" not in config or "kernel_size" not in config:
        raise SettingError(
            "is of class TCN, but its config is not one of keras-tcn",
            address=address,
            expected="nb_filters, kernel_size, dilations and other settings of keras-tcn's TCN",
            found=", ".join(quoted(key, 30) for key in list(config)[:12]) or "no setting at all",
            hint="If it is a layer of your own, give its class with --custom-objects package.module",
        )

    def bad(key: str, wanted: str) -> SettingError:
        return SettingError(
            f"{key} = {quoted(config[key])} cannot be; {wanted} is needed",
            address=address,
        )

    def whole(key: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST[key]:
            raise bad(key, f"a whole number from 1 to {LARGEST[key]}")
        return value

    def flag(key: str, default: bool = False) -> bool:
        value = config.get(key, default)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise bad(key, "true or false")
        return value

    dilations = config["dilations"]
    if not isinstance(dilations, list | tuple) or not dilations:
        raise bad("dilations", "a list of positive whole numbers")
    stacks = whole("nb_stacks", config.get("nb_stacks", 1))
    if stacks * len(dilations) > MOST_BLOCKS:
        raise SettingError(
            f"nb_stacks = {stacks} with {len(dilations)} dilations makes too many blocks",
            address=address,
            expected=f"at most {MOST_BLOCKS}",
        )
    stack_dilations = tuple(whole("dilations", rate) for rate in dilations)
    nb_filters = config["nb_filters"]
    widths: tuple[int, ...]
    if isinstance(nb_filters, list | tuple):
        if len(nb_filters) != len(stack_dilations):
            raise bad("nb_filters", f"one number, or one for each of the {len(stack_dilations)} dilations,")
        nb_filters = widths = tuple(whole("nb_filters", width) for width in nb_filters)
    else:
        nb_filters = whole("nb_filters", nb_filters)
        widths = (nb_filters,) * len(stack_dilations)
    padding = config.get("padding", "causal")
    if padding not in ("causal", "same"):
        raise bad("padding", "'causal' or 'same'")
    rate = config.get("dropout_rate", 0.0)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not math.isfinite(rate) or not 0 <= rate < 1:
        raise bad("dropout_rate", "a number from 0 up to, but not including, 1")
    skips = flag("use_skip_connections", True)
    if skips and len(set(widths)) > 1:
        raise bad("nb_filters", "one number for all blocks, since skip connections are a sum,")
    norms: list[Norm] = []
    if flag("use_batch_norm"):
        norms.append("batch")
    if flag("use_layer_norm"):
        norms.append("layer")
    activation, activation_settings = read_activation(config.get("activation", "relu"), address)
    shared = activation == "PReLU" and activation_settings
    if shared and 2 not in (activation_settings["shared_axes"] or ()) and len(set(widths)) > 1:
        raise bad("nb_filters", "one number for all blocks, since the activation has one slope for each filter,")
    generation = config.get("generation")
    return TCNSettings(
        name=str(config.get("name", "tcn")),
        trainable=flag("trainable", True),
        dtype=_policy(config.get("dtype"), lambda: bad("dtype", "the name of a dtype policy")),
        nb_filters=nb_filters,
        filters=widths * stacks,
        kernel_size=whole("kernel_size", config["kernel_size"]),
        nb_stacks=stacks,
        stack_dilations=stack_dilations,
        dilations=stack_dilations * stacks,
        padding=padding,
        use_skip_connections=skips,
        dropout_rate=float(rate),
        return_sequences=flag("return_sequences"),
        activation=activation,
        activation_settings=activation_settings,
        declared_norms=tuple(norms),
        weight_norm=flag("use_weight_norm"),
        go_backwards=flag("go_backwards"),
        return_state=flag("return_state"),
        pass_mask=flag("pass_mask"),
        generation=generation if isinstance(generation, str) else None,
        kernel_initializer=config.get("kernel_initializer", "he_normal"),
        keys=frozenset(config),
    )


def read_activation(stored: Any, address: str) -> tuple[str, Json]:
    """An activation, stored as a name, as a function, or as a layer.

    Returns:
        The name of a function of Keras or TensorFlow, and no settings; or the class of a layer, and its settings.

    Raises:
        SettingError: a name that Keras does not have, or a layer that is no function.
        UnsafeError: code, or a function of a module that the file names.
    """
    if stored is None:
        return "linear", {}
    settings: Json = {}
    given = stored
    if isinstance(stored, Mapping):
        inner, class_name = stored.get("config"), str(stored.get("class_name")).rpartition(">")[2]
        module = str(stored.get("module"))
        own = stored.get("module") is None or module.split(".")[0] in ("keras", "tf_keras")
        if class_name in ("__lambda__", "Lambda") or (class_name != "function" and not own):
            raise UnsafeError(
                "activation holds code or an object of the file's own, which is never run",
                address=address,
                expected="the name of one of Keras's activations",
            )
        if class_name == "function" or not isinstance(inner, Mapping):
            stored = inner
        elif module.startswith("keras.src.ops."):
            stored = next((name for name in OPERATIONS if operation(name)["class_name"] == class_name), class_name)
        elif class_name == "Activation":
            return read_activation(inner.get("activation"), address)
        else:
            stored, settings = class_name, dict(inner)
    layer = of_layer(stored, settings) if isinstance(stored, str) else None
    if layer is not None:
        return layer[0], {key: _from_the_back(value) if key == "axis" else value for key, value in layer[1].items()}
    if stored == "PReLU":
        return "PReLU", _of_prelu(settings, address) if isinstance(given, Mapping) else {}
    if not isinstance(stored, str):
        raise SettingError(
            f"activation = {quoted(stored)} cannot be; the name of one of Keras's activations is needed",
            address=address,
        )
    name = stored.rpartition(">")[2]
    name = FORMER_NAMES.get(name, name)
    if name not in ACTIVATIONS and name not in OPERATIONS:
        raise SettingError(
            f"activation = {quoted(stored)} is not known",
            address=address,
            expected=f"one of {', '.join(sorted(ACTIVATIONS))}",
        )
    return name, {}


def _of_prelu(settings: Json, address: str) -> Json:
    """The settings of a PReLU object that change what it computes: the axes that share a slope, None if none does.

    Raises:
        SettingError: axes that a TCN's output does not have, and what only changes training.
    """
    axes = settings.get("shared_axes")
    axes = [axes] if isinstance(axes, int) else axes or []
    if not isinstance(axes, list | tuple) or not set(axes) <= {1, 2}:
        raise SettingError(
            "activation is a PReLU with shared_axes that cannot be",
            address=address,
            expected="1 for the steps, 2 for the filters, both or none",
            found=quoted(axes),
        )
    for key in ("alpha_regularizer", "alpha_constraint"):
        if settings.get(key) is not None:
            raise SettingError(f"activation is a PReLU with {key}; that is not supported", address=address)
    return {"shared_axes": sorted(set(axes)) or None}


def _from_the_back(axis: Any) -> Any:
    """Axes of (batch, time, features), counted from the back, so that they hold with one axis more, too."""
    if isinstance(axis, list):
        return [_from_the_back(one) for one in axis]
    return axis - 3 if axis >= 0 else axis


def _policy(stored: Any, error: Callable[[], SettingError]) -> str:
    """A dtype policy's name: stored as a name, as Keras 2's Policy or as Keras 3's DTypePolicy."""
    if stored is None:
        return "float32"
    if isinstance(stored, Mapping):
        inner = stored.get("config")
        stored = inner.get("name") if isinstance(inner, Mapping) else None
    if stored not in ("float16", "float32", "float64", "bfloat16", "mixed_float16", "mixed_bfloat16"):
        raise error()
    return str(stored)
