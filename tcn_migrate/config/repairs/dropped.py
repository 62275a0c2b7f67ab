"""Settings that Keras 3 does not take and that change nothing at the value they have."""

from __future__ import annotations

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.classes import facts
from tcn_migrate.config.catalogue.layer_class import ANY
from tcn_migrate.config.repairs.change import Change, with_config
from tcn_migrate.errors import SettingError, quoted


def settings_that_say_nothing(entry: Json) -> Change | None:
    """Leaves out settings that no Keras 3 takes.

    Since: Keras 3.0 refuses what it does not know.
    Issue: keras #19151 (`Unrecognized keyword arguments passed to DepthwiseConv2D: {'groups': 1}`), keras #20106.

    Raises:
        SettingError: such a setting at another value, with which the layer computes something else.
    """
    table = facts(entry["class_name"]).keras_2_settings
    found = [key for key in table if key in entry["config"]]
    for key in found:
        value = entry["config"][key]
        if table[key] is not ANY and value != table[key] and value is not None:
            raise SettingError(
                f"{key} is {quoted(value)}, which Keras 3 cannot",
                address=f"layer {quoted(entry['config'].get('name'))}",
            )
    if not found:
        return None
    return Change(with_config(entry, *found), f"{', '.join(found)}: no setting of Keras 3, and without effect here")
