"""Pooling."""

from __future__ import annotations

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.layer_class import ENDS, USES, Shape, layer
from tcn_migrate.config.catalogue.shapes import of_one, windows


@of_one
def _over_all(config: Json, shape: Shape) -> Shape:
    return (shape[0], *([1] * (len(shape) - 2) if config.get("keepdims") else ()), shape[-1])


ROWS = tuple(
    row
    for kind in ("Average", "Max")
    for rank in (1, 2, 3)
    for row in (
        layer(f"{kind}Pooling{rank}D", "pool_size strides padding data_format", output_shape=windows),
        layer(
            f"Global{kind}Pooling{rank}D",
            "data_format keepdims",
            output_shape=_over_all,
            masks=USES if (kind, rank) == ("Average", 1) else ENDS,
        ),
        layer(f"Adaptive{kind}Pooling{rank}D", "output_size data_format"),
    )
)
