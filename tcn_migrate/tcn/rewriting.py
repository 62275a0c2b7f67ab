"""A TCN's entry in the migrated config: what keras-tcn 3.5.7 itself would write, or a name that it cannot misread."""

from __future__ import annotations

from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.activations import OPERATIONS, operation
from tcn_migrate.config.catalogue.objects import cleaned
from tcn_migrate.tcn.reading import TCNReading, is_current


def rewritten(entry: Json, reading: TCNReading) -> Json:
    """The entry of a TCN, for the layer target.

    Args:
        entry: the TCN's entry in normal form; its place in the graph is kept.
        reading: what the TCN is.

    Returns:
        A new entry, of class `TCN` (registered by keras-tcn 3.5.5 and later, and by this package) where that computes
        the same, else of `LegacyTCN`, which only this package has.
    """
    settings, current = reading.settings, is_current(reading)
    config: dict[str, Any] = {
        "name": settings.name,
        "trainable": settings.trainable,
        "dtype": settings.dtype,
        "nb_filters": settings.nb_filters if isinstance(settings.nb_filters, int) else list(settings.nb_filters),
        "kernel_size": settings.kernel_size,
        "nb_stacks": settings.nb_stacks,
        "dilations": list(settings.stack_dilations),
        "padding": settings.padding,
        "use_skip_connections": settings.use_skip_connections,
        "dropout_rate": settings.dropout_rate,
        "return_sequences": settings.return_sequences,
        "activation": written(settings.activation, settings.activation_settings),
        "use_batch_norm": reading.norm == "batch",
        "use_layer_norm": reading.norm == "layer",
        "kernel_initializer": initializer(settings.kernel_initializer),
        "go_backwards": settings.go_backwards,
        # Every release stores return_state and ignores it; the migrated model has the one output that the old one had.
        "return_state": False,
    }
    if not current:
        config["generation"] = reading.generation.name
        if settings.pass_mask:
            config["pass_mask"] = True
    name = "TCN" if current else "LegacyTCN"
    return {
        **entry,
        "module": "tcn_migrate",
        "class_name": name,
        "registered_name": "Custom>TCN" if current else "tcn_migrate>LegacyTCN",
        "config": config,
    }


def written(activation: str, settings: Json) -> Any:
    """An activation as a setting: its name, an operation, or a layer."""
    if settings:
        module = {"module": "keras.layers", "class_name": activation}
        return {**module, "config": dict(settings), "registered_name": None}
    return operation(activation) if activation in OPERATIONS else activation


def initializer(stored: Any) -> Any:
    """The stored initializer where it is one of Keras's, else the default; only new training would use it."""
    kept, known = cleaned("initializer", stored)
    return kept if known and kept is not None else "he_normal"
