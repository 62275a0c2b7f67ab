"""Repairs of a layer's config: from what Keras 2 computes to the config with which Keras 3 computes the same.

A repair is a function of one layer's entry in normal form that returns a `Change`, or None. To add one:

1. Write the function in the module of its subject, with "Since:" (which releases write and refuse what) and "Issue:"
   (what the user saw) in its docstring. It must not change what it is given.
2. Put it into `INDEX`, behind the repairs whose result it needs.
3. Test what it changes, and one neighbour that it must leave alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tcn_migrate.checkpoint import Json, KerasVersion
from tcn_migrate.config.graph.entries import Address
from tcn_migrate.config.repair import Repair
from tcn_migrate.config.repairs.attention import causal_attention, shapes_of_heads
from tcn_migrate.config.repairs.change import LayerRepair, Transform
from tcn_migrate.config.repairs.dropped import settings_that_say_nothing
from tcn_migrate.config.repairs.hard_sigmoid import (
    activation_layer_as_function,
    hard_sigmoid_alone,
    hard_sigmoid_of_a_kernel,
    hard_sigmoid_of_gates,
)
from tcn_migrate.config.repairs.recurrent import (
    constants,
    constants_in_a_call,
    reset_after,
    states_in_a_call,
    time_major,
)
from tcn_migrate.config.repairs.renamed import (
    category_encoding,
    list_of_one_axis,
    merge_of_one,
    names_of_functions,
    slope_of_leaky_relu,
)
from tcn_migrate.config.repairs.replaced_classes import (
    bilinear_up_sampling,
    causal_separable_convolution,
    discretization,
    hashing,
    losses_and_metrics,
    random_crop,
    random_crop_that_resizes_first,
    random_sizes,
    resizing_by_lost_methods,
    synchronized_batch_normalization,
    thresholded_relu,
    unsalted_hashing,
)
from tcn_migrate.config.repairs.transposed import dilated_transposed_convolution
from tcn_migrate.config.repairs.walk import Walk

INDEX: tuple[LayerRepair, ...] = (
    synchronized_batch_normalization,
    thresholded_relu,
    losses_and_metrics,
    random_sizes,
    random_crop,
    resizing_by_lost_methods,
    discretization,
    hashing,
    unsalted_hashing,
    list_of_one_axis,
    slope_of_leaky_relu,
    category_encoding,
    merge_of_one,
    names_of_functions,
    activation_layer_as_function,
    time_major,
    constants,
    reset_after,
    states_in_a_call,
    constants_in_a_call,
    causal_attention,
    shapes_of_heads,
    hard_sigmoid_of_a_kernel,
    hard_sigmoid_of_gates,
    hard_sigmoid_alone,
    causal_separable_convolution,
    settings_that_say_nothing,
    dilated_transposed_convolution,
)
"""All repairs of what Keras 2 wrote, in the order in which they are tried on each layer."""


@dataclass(frozen=True)
class Repaired:
    """A repaired config.

    Attributes:
        config: in normal form.
        transforms: what has to be done to an array on its way, by its address.
        repairs: what was done.
    """

    config: Json
    transforms: Mapping[Address, Transform]
    repairs: tuple[Repair, ...]


def repair_layers(config: Json, *, keras_2: bool, keras_version: str | None = None) -> Repaired:
    """Repairs every layer of a model, also those inside models and wrappers.

    Args:
        config: a model in normal form; it is not changed.
        keras_2: whether Keras 2 wrote it. A config of Keras 3 needs no repair.
        keras_version: of the release that wrote it, if that is known; a few layers changed within Keras 2.

    Raises:
        SettingError: a setting with which Keras 3 cannot compute what Keras 2 did.
    """
    if not keras_2 or "layers" not in config["config"]:
        return Repaired(config, {}, ())
    walk = Walk((*_of_release(KerasVersion.parse(keras_version)), *INDEX))
    repaired = walk.model(config, ())
    return Repaired(repaired, walk.transforms, tuple(walk.repairs))


def _of_release(version: KerasVersion | None) -> Iterator[LayerRepair]:
    """What a few releases of Keras 2 computed otherwise than the last one."""
    if version is not None and version.before(2, 7):
        yield random_crop_that_resizes_first
    if version is not None and version.without_tensorflow:
        yield bilinear_up_sampling
