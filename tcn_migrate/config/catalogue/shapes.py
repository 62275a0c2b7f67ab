"""Shapes of outputs: the rules that rows of several families share.

Unknown sizes are None, and so is a shape of which not even the rank is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.layer_class import Shape

Rule = Callable[[Json, Sequence[Shape | None]], Shape | None]


def same(config: Json, shapes: Sequence[Shape | None]) -> Shape | None:
    """The shape of the only input."""
    return shapes[0] if len(shapes) == 1 else None


def of_one(rule: Callable[[Json, Shape], Shape | None]) -> Rule:
    """A rule for one input with the channels last."""

    def shape_of(config: Json, shapes: Sequence[Shape | None]) -> Shape | None:
        shape = same(config, shapes)
        if shape is None or len(shape) < 2 or config.get("data_format") == "channels_first":
            return None
        return rule(config, shape)

    return shape_of


def whole(value: Any) -> int | None:
    """A size that a config states; None if it is no positive whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def times(size: int | None, factor: int) -> int | None:
    return None if size is None else size * factor


def sequence(width: Callable[[Json], Any]) -> Rule:
    """The rule of layers that give a whole sequence or one step, of a width that their config tells."""
    return of_one(
        lambda config, shape: (
            (shape[0], shape[1], whole(width(config)))
            if config.get("return_sequences") and len(shape) == 3
            else (shape[0], whole(width(config)))
        )
    )


@of_one
def windows(config: Json, shape: Shape) -> Shape:
    """Convolutions, pooling, cropping and the like: extents depend on sizes and paddings and are left open."""
    return (shape[0], *[None] * (len(shape) - 2), whole(config.get("filters")) if "filters" in config else shape[-1])


def elementwise(config: Json, shapes: Sequence[Shape | None]) -> Shape | None:
    return broadcast(shapes, at=1)


def broadcast(shapes: Sequence[Shape | None], *, at: int) -> Shape | None:
    """The shape of what is computed element by element.

    Source: keras/src/layers/merging/base_merge.py, `_compute_elemwise_op_output_shape` and `call`, and the rules of
    NumPy; the same in Keras 2.

    Args:
        shapes: of the tensors.
        at: where axes of 1 are put into a tensor of fewer axes: 0 in operations, 1 (behind the batch) in layers.
    """
    known = [shape for shape in shapes if shape is not None]
    if not known or len(known) < len(shapes):
        return None
    rank = max(map(len, known))
    if any(len(shape) < at for shape in known):
        return None
    aligned = [(*shape[:at], *[1] * (rank - len(shape)), *shape[at:]) for shape in known]
    return tuple(map(_common, zip(*aligned, strict=True)))


def _common(sizes: Shape) -> int | None:
    """The size of an axis to which others are stretched: that of those that are not 1, which agree if Keras runs it."""
    larger = {size for size in sizes if size is not None and size != 1}
    if len(larger) == 1:
        return larger.pop()
    return None if larger or None in sizes else 1


def concatenated(config: Json, shapes: Sequence[Shape | None]) -> Shape | None:
    axis = config.get("axis", -1)
    known = [shape for shape in shapes if shape is not None]
    ranks = {len(shape) for shape in known}
    if len(ranks) != 1 or len(known) < len(shapes):
        return None
    rank = ranks.pop()
    place = axis + rank if isinstance(axis, int) and axis < 0 else axis
    joined: list[int | None] = []
    for number in range(rank):
        sizes = [shape[number] for shape in known]
        if number == place:
            joined.append(None if None in sizes else sum(size for size in sizes if size is not None))
        else:
            joined.append(sizes[0] if len(set(sizes)) == 1 else None)
    return tuple(joined)


@of_one
def flattened(config: Json, shape: Shape) -> Shape:
    sizes = [size for size in shape[1:] if size is not None]
    return (shape[0], math.prod(sizes) if len(sizes) == len(shape) - 1 else None)
