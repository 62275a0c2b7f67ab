"""Noise and dropout: in inference they hand their input on."""

from __future__ import annotations

from typing import Any

from tcn_migrate.config.catalogue.layer_class import ANY, PASSES, layer
from tcn_migrate.config.catalogue.shapes import same

_COMMON: dict[str, Any] = {"masks": PASSES, "output_shape": same}
_SPATIAL: dict[str, Any] = {"keras_2_settings": {"trainable": ANY, "noise_shape": None}, "rates": "rate", **_COMMON}

ROWS = (
    layer("ActivityRegularization", "l1 l2", **_COMMON),
    layer("AlphaDropout", "rate noise_shape seed", rates="rate", **_COMMON),
    layer(
        "Dropout",
        "rate noise_shape seed",
        keras_2_settings={"force_generator": ANY, "rng_type": ANY},
        rates="rate",
        several_outputs=True,
        **_COMMON,
    ),
    layer("GaussianDropout", "rate seed", rates="rate", **_COMMON),
    layer("GaussianNoise", "stddev seed", rates="stddev", **_COMMON),
    layer("SpatialDropout1D", "rate seed", **_SPATIAL),
    layer("SpatialDropout2D", "rate seed data_format", **_SPATIAL),
    layer("SpatialDropout3D", "rate seed data_format", **_SPATIAL),
)
