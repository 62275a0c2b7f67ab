"""From a stored config to one that Keras 3 reads and that computes the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tcn_migrate.checkpoint import Json, KerasVersion
from tcn_migrate.config.catalogue.defaults import neutral
from tcn_migrate.config.graph.entries import Address
from tcn_migrate.config.guards.graph import check_graphs
from tcn_migrate.config.guards.settings import check_settings
from tcn_migrate.config.lambdas.replace import replace_lambdas
from tcn_migrate.config.model_repairs.einsum import with_sizes_of_inputs
from tcn_migrate.config.model_repairs.input_ranks import conform_inputs
from tcn_migrate.config.model_repairs.nested import repair_nested_models
from tcn_migrate.config.model_repairs.softmax import replace_masked_softmax
from tcn_migrate.config.operators.replace import replace_operators
from tcn_migrate.config.reading.normal_form import normal_form
from tcn_migrate.config.repair import Repair
from tcn_migrate.config.repairs import repair_layers
from tcn_migrate.config.repairs.change import Transform


@dataclass(frozen=True)
class Modern:
    """A config that every release of Keras 3 reads, and what was done for it.

    Attributes:
        config: in normal form.
        transforms: what has to be done to an array on its way, by the variable's address.
        repairs: what was changed, in the order in which it was.
        warnings: what was left out because a migration does not need it. Safe to print.
    """

    config: Json
    transforms: Mapping[Address, Transform]
    repairs: tuple[Repair, ...]
    warnings: tuple[str, ...] = ()


def normalize(stored: Json, *, keras_version: str | None, custom_classes: frozenset[str] = frozenset()) -> Json:
    """The stored config in normal form, computing what it computed for those who wrote it; see `normal_form`.

    Args:
        stored: the model's config as stored; it is not changed.
        keras_version: of the release that wrote it, such as "2.3.0-tf"; None if the file does not say.
        custom_classes: names of classes that the user supplies, with or without their package.

    Raises:
        MigrationError: the config cannot be trusted, names an unknown class, or no Keras wrote it.
    """
    config = normal_form(stored, keras_2=of_keras_2(stored, keras_version), custom_classes=custom_classes)
    check_graphs(config)
    return config


def repaired(
    config: Json,
    *,
    keras_2: bool,
    keras_version: str | None,
    custom_classes: frozenset[str] = frozenset(),
    passes: Callable[[Json], bool] | None = None,
    still_passes: bool = True,
) -> Modern:
    """A config that computes the same in Keras 3, without settings that only younger releases know.

    Args:
        config: in normal form; it is not changed.
        keras_2: whether Keras 2 wrote it.
        keras_version: of the release that wrote it, such as "2.3.0-tf"; None if the file does not say.
        custom_classes: names of classes that the user supplies, with or without their package.
        passes: whether the TCN of an entry passed masks on; without it masks are not looked after.
        still_passes: whether it will, too.

    Raises:
        MigrationError: the config cannot be migrated, and why.
    """
    repairs: list[Repair] = []
    config, done = replace_operators(config)
    repairs += done
    config, done = replace_lambdas(config, custom_classes, keras_version)
    repairs += done
    if keras_2:
        config, done = conform_inputs(config)
        repairs += done
    if keras_2 and passes is not None:
        from tcn_migrate.config.masks import repair_masks

        config, done = repair_masks(config, passes, keras_version, still_passes=still_passes)
        repairs += done
    if keras_2:
        config, done = replace_masked_softmax(config)
        repairs += done
    layers = repair_layers(config, keras_2=keras_2, keras_version=keras_version)
    config, nested = repair_nested_models(with_sizes_of_inputs(layers.config))
    config, warnings = check_settings(neutral(config), custom_classes)
    check_graphs(config)
    return Modern(config, layers.transforms, (*repairs, *layers.repairs, *nested), warnings)


def of_keras_2(stored: Json, keras_version: str | None) -> bool:
    """Whether Keras 2 wrote a config; where the version is unknown, by what only Keras 3 writes.

    Keras 3 calls a layer with `args` and `kwargs`, and an InputLayer's shape is `batch_shape`, in all its containers.
    """
    version = KerasVersion.parse(keras_version)
    if version is not None and version.major > 0:
        return version.major < 3
    config = stored.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    for layer in layers if isinstance(layers, list) else []:
        if not isinstance(layer, dict):
            continue
        calls, own = layer.get("inbound_nodes"), layer.get("config")
        if isinstance(calls, list) and any(isinstance(call, dict) and "args" in call for call in calls):
            return False
        if isinstance(own, dict) and layer.get("class_name") == "InputLayer" and "batch_shape" in own:
            return False
    return True
