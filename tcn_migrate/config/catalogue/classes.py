"""Which built-in layer classes there are, and what each owns: its variables, and the layers inside it.

`tests/test_config_classes.py` saves a model of every class with the installed Keras and compares.
"""

from __future__ import annotations

from tcn_migrate.config.catalogue.identity import MODELS, RAW, REPLACED
from tcn_migrate.config.catalogue.parts import LIST, Part, parts
from tcn_migrate.config.catalogue.settings import LAYERS
from tcn_migrate.config.catalogue.variables import Shape, Variable, variables

__all__ = ["LIST", "Part", "Shape", "Variable", "is_known", "parts", "variables"]


def is_known(class_name: str) -> bool:
    """Whether a class is one of Keras's own that can be migrated, as it is or as what replaces it (models included)."""
    return class_name in LAYERS or class_name in MODELS or class_name in RAW or class_name in REPLACED
