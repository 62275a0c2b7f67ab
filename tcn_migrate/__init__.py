"""Migrate legacy keras-tcn checkpoints to `.keras` files that load everywhere, exactly.

    outcome = tcn_migrate.migrate("old.h5", "new.keras")

Nothing heavy is imported before it is needed: no Keras until the layer or a model is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tcn_migrate.batch.run import migrate_many
    from tcn_migrate.errors import MigrationError
    from tcn_migrate.inspection import inspect
    from tcn_migrate.loading import load_model, load_weights
    from tcn_migrate.migration import migrate, plan
    from tcn_migrate.tcn.layer import TCN, FixedTraining, LegacyTCN

__version__ = "0.1.0"
__all__ = [
    "TCN",
    "FixedTraining",
    "LegacyTCN",
    "MigrationError",
    "inspect",
    "load_model",
    "load_weights",
    "migrate",
    "migrate_many",
    "plan",
]

_HOMES = {
    "TCN": "tcn_migrate.tcn.layer",
    "LegacyTCN": "tcn_migrate.tcn.layer",
    "FixedTraining": "tcn_migrate.tcn.layer",
    "MigrationError": "tcn_migrate.errors",
    "inspect": "tcn_migrate.inspection",
    "load_model": "tcn_migrate.loading",
    "load_weights": "tcn_migrate.loading",
    "migrate": "tcn_migrate.migration",
    "migrate_many": "tcn_migrate.batch.run",
    "plan": "tcn_migrate.migration",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tcn_migrate' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
