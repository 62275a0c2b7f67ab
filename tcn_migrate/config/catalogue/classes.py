"""The index of the catalogue: every layer class of Keras, by name.

`tests/test_config_classes.py` saves a model of every class with the installed Keras and compares.
"""

from __future__ import annotations

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.layer_class import LayerClass, MaskRule, Part, Shape, Variable
from tcn_migrate.config.catalogue.layers import (
    activation,
    attention,
    convolution,
    core,
    merging,
    normalization,
    pooling,
    preprocessing,
    recurrent,
    regularization,
    reshaping,
)
from tcn_migrate.config.catalogue.layers.recurrent import LIST
from tcn_migrate.config.catalogue.names import snake_case

__all__ = ["CLASSES", "LIST", "LayerClass", "MaskRule", "Part", "Shape", "Variable"]

FAMILIES = (
    core,
    activation,
    convolution,
    pooling,
    recurrent,
    normalization,
    attention,
    merging,
    reshaping,
    regularization,
    preprocessing,
)

CLASSES: dict[str, LayerClass] = {row.name: row for family in FAMILIES for row in family.ROWS}
"""Every row, by its newest name."""

FORMER_NAMES = {former: row.name for row in CLASSES.values() for former in row.former_names}
"""Class names that older releases wrote (keras <= 2.3.1, TensorFlow 1.13 - 2.2) for the same function."""

_NO_CLASS = LayerClass("")


def facts(class_name: object) -> LayerClass:
    """The row of a class; an empty one for a class that is not Keras's own."""
    return CLASSES.get(str(class_name), _NO_CLASS)


def is_known(class_name: str) -> bool:
    """Whether a class is one of Keras's own that can be migrated, as it is or as what replaces it (models included)."""
    return facts(class_name).is_known


def variables(class_name: str, config: Json) -> tuple[Variable, ...]:
    """A layer's own variables, without those of its parts, in the order of `vars/0`, `vars/1`, ... in Keras 3's store.

    Seeds of random generators are variables for Keras, but no release stores them, so they are not listed.

    Args:
        class_name: as in the normal form of a config. A class without variables, or an unknown one, has none.
        config: the layer's config in normal form.
    """
    return tuple(facts(class_name).variables(config))


def parts(class_name: str, config: Json) -> tuple[Part, ...]:
    """The layers that a layer holds. The layers of a model are not its parts; the config lists them.

    Roles are the attributes under which Keras 3's weight store keeps them. Measured by saving a model of every class
    with Keras 3.0.5 and 3.15.1, and in the HDF5 files and archives of TensorFlow 2.15.

    Args:
        class_name: as in the normal form of a config.
        config: the layer's config in normal form.
    """
    return tuple(facts(class_name).parts(config))


def store_name(class_name: str) -> str:
    """The name that Keras 3's weight store gives a layer of this class, before it counts.

    Args:
        class_name: as in a config. One class is serialized under a name that is not its own.
    """
    return snake_case(facts(class_name).store_as or class_name)
