"""Masks: a config of Keras 2 is changed so that in Keras 3 every layer sees the mask that it saw in Keras 2.

Each model is walked once, with the mask that each tensor carries under Keras 2's rules and under Keras 3's
(`MaskRule`). Where a layer that uses a mask would see another one, it is repaired (`graph`) with what every release
from 3.0.5 to 3.15.1 reads without custom objects: a mask too many ends in a `Copy`, which is an operation and no layer;
one that is missing, or another, is computed by operations (`terms`) and given as the call's `mask`. What cannot be said
so is refused.

The rules of Keras 3 for layers with several inputs changed from release to release, and some compute other values under
a mask, so no mask ever reaches one of those (`layers`). Nested models are walked once for all their calls (`models`).
"""

from __future__ import annotations

from collections.abc import Callable

from tcn_migrate.checkpoint import Json, KerasVersion
from tcn_migrate.config.masks.graph import Work
from tcn_migrate.config.masks.models import repair_model
from tcn_migrate.config.repair import Repair

__all__ = ["repair_masks"]


def repair_masks(
    config: Json, passes: Callable[[Json], bool], keras_version: str | None = None, *, still_passes: bool = True
) -> tuple[Json, list[Repair]]:
    """Make Keras 3 use the masks that Keras 2 used.

    Since: Keras 3.0 (Rescaling, Normalization and Identity pass masks, merges OR them, ...).
    Issue: 11.

    Args:
        config: a model's entry in normal form, of a file that Keras 2 wrote. It is not changed.
        passes: whether the TCN of an entry passed its input's mask on.
        still_passes: whether it will, too: with `pass_mask` the new layer does, in Keras's own layers it cannot.
        keras_version: of the file; ReLU (2.6) and MultiHeadAttention (2.10) changed within Keras 2.

    Returns:
        The config, the same object if nothing had to change, and what was repaired.

    Raises:
        MigrationError: Keras 3 cannot be made to use the same mask, with the layers' names.
    """
    work = Work(passes, still_passes, KerasVersion.parse(keras_version))
    repaired = repair_model(config, (), work).entry
    return (repaired, work.repairs) if work.repairs else (config, [])
