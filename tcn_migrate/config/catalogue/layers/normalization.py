"""Normalization."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.layer_class import ANY, PASSES, Variable, layer, only_if
from tcn_migrate.config.catalogue.shapes import same

_GAMMA_BETA = (
    "axis epsilon center scale beta_initializer gamma_initializer beta_regularizer gamma_regularizer "
    "beta_constraint gamma_constraint"
)


def _batch_normalization(config: Json) -> Iterable[Variable]:
    statistics = ["moving_mean", "moving_variance"]
    if config.get("renorm"):
        statistics += ["moving_stddev", "renorm_mean", "renorm_stddev"]
    return (
        *only_if(config.get("scale", True), Variable("gamma", (None,))),
        *only_if(config.get("center", True), Variable("beta", (None,))),
        *(Variable(name, (None,), trainable=False) for name in statistics),
    )


def _gamma_and_beta(config: Json) -> Iterable[Variable]:
    axis = config.get("axis", -1)
    shape = (None,) * (len(axis) if isinstance(axis, list | tuple) else 1)
    rms_scaling = config.get("rms_scaling")
    return (
        *only_if(config.get("scale", True) or rms_scaling, Variable("gamma", shape)),
        *only_if(config.get("center", True) and not rms_scaling, Variable("beta", shape)),
    )


_COMMON: dict[str, Any] = {"masks": PASSES, "output_shape": same}

ROWS = (
    layer(
        "BatchNormalization",
        f"{_GAMMA_BETA} momentum moving_mean_initializer moving_variance_initializer synchronized "
        "renorm renorm_clipping renorm_momentum",
        former_names=("BatchNormalizationV1", "BatchNormalizationV2"),
        keras_2_settings={"fused": ANY, "virtual_batch_size": None, "adjustment": None},
        variables=_batch_normalization,
        **_COMMON,
    ),
    layer(
        "SyncBatchNormalization",
        None,
        replaced_by="BatchNormalization",
        variables=_batch_normalization,
        **_COMMON,
    ),
    layer(
        "LayerNormalization",
        f"{_GAMMA_BETA} rms_scaling",
        younger={"rms_scaling": False},
        variables=_gamma_and_beta,
        **_COMMON,
    ),
    layer(
        "GroupNormalization",
        f"{_GAMMA_BETA} groups",
        variables=lambda config: _gamma_and_beta({**config, "axis": -1}),
        **_COMMON,
    ),
    layer("RMSNormalization", "axis epsilon", variables=lambda config: (Variable("scale"),), output_shape=same),
    layer("UnitNormalization", "axis", **_COMMON),
)
