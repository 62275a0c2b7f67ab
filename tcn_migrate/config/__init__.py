"""The model's config: from any form in which Keras stored it to the one that every release of Keras 3 reads."""

from __future__ import annotations

from tcn_migrate.config.modern import Modern, normalize, of_keras_2, repaired

__all__ = ["Modern", "normalize", "of_keras_2", "repaired"]
