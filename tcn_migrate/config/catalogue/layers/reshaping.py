"""Layers that change the shape alone."""

from __future__ import annotations

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.layer_class import MAY_BE_THE_INPUT, Shape, layer
from tcn_migrate.config.catalogue.shapes import flattened, of_one, whole, windows


@of_one
def _reshaped(config: Json, shape: Shape) -> Shape | None:
    sizes = config.get("target_shape")
    if not isinstance(sizes, list):
        return None
    return (shape[0], *(size if whole(size) else None for size in sizes))


@of_one
def _permuted(config: Json, shape: Shape) -> Shape | None:
    axes = config.get("dims")
    if not isinstance(axes, list) or sorted(map(str, axes)) != sorted(str(axis) for axis in range(1, len(shape))):
        return None
    return (shape[0], *(shape[axis] for axis in axes))


ROWS = (
    *(
        layer(name, settings, masks=MAY_BE_THE_INPUT, output_shape=windows, younger=younger)
        for name, settings, younger in (
            ("Cropping1D", "cropping", {}),
            ("Cropping2D", "cropping data_format", {}),
            ("Cropping3D", "cropping data_format", {}),
            ("UpSampling1D", "size", {}),
            ("UpSampling2D", "size data_format interpolation", {}),
            ("UpSampling3D", "size data_format", {}),
            ("ZeroPadding1D", "padding data_format", {"data_format": "channels_last"}),
            ("ZeroPadding2D", "padding data_format", {}),
            ("ZeroPadding3D", "padding data_format", {}),
        )
    ),
    layer("Flatten", "data_format", masks=MAY_BE_THE_INPUT, output_shape=flattened),
    layer("Permute", "dims", masks=MAY_BE_THE_INPUT, output_shape=_permuted),
    layer("Reshape", "target_shape", masks=MAY_BE_THE_INPUT, output_shape=_reshaped),
    layer(
        "RepeatVector",
        "n",
        output_shape=of_one(lambda config, shape: (shape[0], whole(config.get("n")), shape[-1])),
    ),
)
