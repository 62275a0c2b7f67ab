"""What became of a TCN's norms is told from the arrays alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn_migrate.recovery.diagnose import AFFINE, INITIAL, STATISTICS, VARIABLES, diagnose

TRAINED_BIAS = [np.array([0.0, 0.01])]


def trained(kind="batch", blocks=3, channels=4, seed=0):
    random = np.random.default_rng(seed)
    return {
        (block, slot, name): random.uniform(0.1, 2.0, channels).astype(np.float32)
        for block in range(blocks)
        for slot in (0, 1)
        for name in VARIABLES[kind]
    }


def initial(arrays, *places):
    """The same with some norms at their initial values: (block, slot) or (block, slot, variable)."""
    return {
        key: np.full_like(values, INITIAL[key[2]]) if key in places or key[:2] in places else values
        for key, values in arrays.items()
    }


def everywhere(arrays):
    return sorted({key[:2] for key in arrays})


@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_a_healthy_model_is_complete(kind):
    found = diagnose(trained(kind), kind, TRAINED_BIAS)
    assert not found.damaged
    assert not found.untrained
    assert len(found.norms) == 6


def test_single_channels_at_their_initial_values_are_healthy():
    arrays = trained()
    for (_, _, name), values in arrays.items():
        values[:3] = INITIAL[name]
    assert not diagnose(arrays, "batch", TRAINED_BIAS).damaged


@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_initial_norms_beside_a_trained_bias_are_reset(kind):
    arrays = trained(kind)
    found = diagnose(initial(arrays, *everywhere(arrays)), kind, TRAINED_BIAS)
    assert found.states == ("reset",)
    assert all(norm.lost == VARIABLES[kind] for norm in found.norms)


@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_initial_norms_beside_initial_biases_are_untrained(kind):
    arrays = trained(kind)
    forget = np.r_[np.zeros(3), np.ones(3), np.zeros(6)].astype(np.float32)
    found = diagnose(initial(arrays, *everywhere(arrays)), kind, [np.zeros(4), np.zeros((2, 6)), forget])
    assert found.untrained
    assert not found.damaged


def test_one_bias_of_the_model_that_is_not_zero_makes_it_trained():
    arrays = trained()
    found = diagnose(initial(arrays, *everywhere(arrays)), "batch", [np.zeros(4), np.array([0.0, 1e-9])])
    assert found.states == ("reset",)


def test_one_reset_norm_among_trained_ones_is_reset_alone():
    found = diagnose(initial(trained(), (1, 0)), "batch", TRAINED_BIAS)
    assert [(norm.block, norm.slot) for norm in found.suspect] == [(1, 0)]
    assert found.states == ("reset",)
    assert not found.moves()


@given(slot=st.integers(0, 1), blocks=st.integers(1, 5), kind=st.sampled_from(["batch", "layer"]))
@settings(max_examples=20, deadline=None)
def test_a_neighbour_is_moved_back_and_only_the_other_half_is_lost(slot, blocks, kind):
    """The slot that is initial has its values under the other slot, whose own values are nowhere."""
    arrays = trained(kind, blocks)
    damaged = initial(arrays, *((block, slot) for block in range(blocks)))
    found = diagnose(damaged, kind, TRAINED_BIAS)
    assert found.states == ("neighbour",)
    assert found.moves() == {(block, slot): (block, 1 - slot) for block in range(blocks)}
    losses = found.losses(lambda block, place: ("tcn", f"residual_block_{block}", f"norm_{place}"))
    assert {loss.norm[-1] for loss in losses} == {f"norm_{1 - slot}"}
    assert len(losses) == blocks * len(VARIABLES[kind])


def test_statistics_at_their_initial_values_beside_trained_gammas_are_reset():
    arrays = trained()
    places = [(*place, name) for place in everywhere(arrays) for name in STATISTICS]
    found = diagnose(initial(arrays, *places), "batch", TRAINED_BIAS)
    assert found.states == ("statistics reset",)
    assert all(norm.lost == STATISTICS for norm in found.norms)


def test_missing_variables_are_named():
    arrays = trained()
    arrays[1, 0, "moving_mean"] = None
    del arrays[2, 1, "gamma"]
    found = diagnose(arrays, "batch", TRAINED_BIAS)
    assert {(norm.block, norm.slot): norm.lost for norm in found.missing} == {
        (1, 0): ("moving_mean",),
        (2, 1): ("gamma",),
    }
    assert not found.suspect


def test_a_norm_without_any_array_is_missing_where_it_is_named():
    arrays = {**trained(), **{(1, 1, name): None for name in VARIABLES["batch"]}}
    (norm,) = diagnose(arrays, "batch", TRAINED_BIAS).damaged
    assert (norm.state, norm.lost) == ("missing", VARIABLES["batch"])


def test_nan_statistics_lose_nothing_else():
    arrays = trained()
    for key in arrays:
        if key[2] in STATISTICS:
            arrays[key] = np.full(4, np.nan)
    found = diagnose(arrays, "batch", TRAINED_BIAS)
    assert found.states == ("non-finite",)
    assert all(norm.lost == STATISTICS and norm.channels is None for norm in found.norms)


@given(st.sets(st.integers(0, 7), min_size=1, max_size=7))
@settings(max_examples=30, deadline=None)
def test_only_the_channels_with_a_negative_variance_are_lost(channels):
    arrays = trained(channels=8)
    where = sorted(channels)
    arrays[0, 1, "moving_variance"][where] *= -1
    (norm,) = diagnose(arrays, "batch", TRAINED_BIAS).damaged
    assert (norm.state, norm.lost) == ("negative variance", ("moving_variance",))
    assert norm.channels == {"moving_variance": tuple(where)}
    (loss,) = diagnose(arrays, "batch", TRAINED_BIAS).losses(lambda block, slot: (str(block), str(slot)))
    assert (loss.address, loss.channels) == (("0", "1", "moving_variance"), tuple(where))


@given(
    kind=st.sampled_from(["batch", "layer"]),
    seed=st.integers(0, 1000),
    blocks=st.integers(1, 4),
    spoiled=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 1),
            st.sampled_from(AFFINE + STATISTICS),
            st.sampled_from(["gone", "nan", "initial", "negative"]),
        ),
        max_size=8,
    ),
)
@settings(max_examples=60, deadline=None)
def test_no_loss_is_overlooked_and_none_is_invented(kind, seed, blocks, spoiled):
    """What is absent, not finite or below zero is lost; a norm of which nothing was touched is complete."""
    arrays = trained(kind, blocks, seed=seed)
    touched, surely_lost = set(), set()
    for block, slot, name, how in spoiled:
        key = (block, slot, name)
        if arrays.get(key) is None:
            continue
        touched.add(key[:2])
        values = arrays[key]
        if how == "gone":
            arrays[key] = None
        elif how == "nan":
            arrays[key] = np.where(np.arange(values.size) == 1, np.nan, values)
        elif how == "negative" and name == "moving_variance":
            arrays[key] = -np.abs(values)
        elif how == "initial":
            arrays[key] = np.full_like(values, INITIAL[name])
        last = arrays[key]
        if last is None or not np.isfinite(last).all() or (name == "moving_variance" and (last < 0).any()):
            surely_lost.add(key)
        else:
            surely_lost.discard(key)
    found = diagnose(arrays, kind, TRAINED_BIAS)
    lost = {(norm.block, norm.slot, name) for norm in found.norms for name in norm.lost}
    assert surely_lost <= lost
    whole = {(norm.block, norm.slot) for norm in found.norms if norm.state == "complete"}
    if "neighbour" not in found.states:
        assert set(everywhere(arrays)) - touched <= whole
