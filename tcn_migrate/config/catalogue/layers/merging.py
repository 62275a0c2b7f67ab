"""Layers that merge several tensors."""

from __future__ import annotations

from tcn_migrate.config.catalogue.layer_class import MERGES, layer
from tcn_migrate.config.catalogue.shapes import concatenated, elementwise

ROWS = (
    *(
        layer(name, masks=MERGES, output_shape=elementwise)
        for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
    ),
    layer("Concatenate", "axis", masks=MERGES, output_shape=concatenated),
    layer("Dot", "axes normalize"),
    layer("Merge", None, gone="keras below 2.2 alone can read it"),
)
