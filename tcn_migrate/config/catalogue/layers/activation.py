"""Activations as layers. `defaults` are those of Keras 2 (keras/src/layers/activation, 2.15)."""

from __future__ import annotations

from typing import Any

from tcn_migrate.config.catalogue.layer_class import PASSES, MaskRule, Variable, activation_part, layer
from tcn_migrate.config.catalogue.shapes import same

_COMMON: dict[str, Any] = {"masks": PASSES, "output_shape": same}

ROWS = (
    layer("Activation", "activation", parts=activation_part, several_outputs=True, **_COMMON),
    layer("ELU", "alpha", defaults={"alpha": 1.0}, **_COMMON),
    layer("LeakyReLU", "negative_slope", defaults={"alpha": 0.3}, **_COMMON),
    layer(
        "PReLU",
        "alpha_initializer alpha_regularizer alpha_constraint shared_axes",
        variables=lambda config: (Variable("alpha"),),
        **_COMMON,
    ),
    layer(
        "ReLU",
        "max_value negative_slope threshold",
        defaults={"max_value": None, "negative_slope": 0.0, "threshold": 0.0},
        # In TensorFlow 2.4 it does not pass masks, in 2.6 it does.
        masks=MaskRule(keras_2=True, since=(2, 6), unmeasured=frozenset({(2, 5)}), keras_3=True),
        output_shape=same,
    ),
    layer("Softmax", "axis", defaults={"axis": -1}, **_COMMON),
    layer("ThresholdedReLU", None, replaced_by="ReLU", defaults={"theta": 1.0}, **_COMMON),
)

DEFAULTS = {row.name: row.defaults for row in ROWS if row.defaults}
"""Activations without variables, with their settings' defaults in Keras 2."""
