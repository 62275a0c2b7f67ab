"""How finely recorded values are known is told from the values alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcn_migrate.recovery.rounding import is_single, rounding_of, steps_of

seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(200, 2)).astype(np.float32)


@given(seeds, st.integers(0, 5))
def test_decimals_are_told(seed: int, decimals: int) -> None:
    values = np.round(drawn(seed), decimals)
    assert rounding_of(values) == pytest.approx(10.0**-decimals / np.sqrt(12), rel=1e-3)
    assert rounding_of(np.round(drawn(seed).astype(np.float64), decimals)) == rounding_of(values)
    assert not is_single(values)


@given(seeds)
def test_the_rounding_is_the_error_that_it_made(seed: int) -> None:
    values = drawn(seed)
    for rounded in (np.round(values, 3), values.astype(np.float16)):
        made = np.sqrt(np.mean((rounded.astype(np.float64) - values) ** 2))
        assert 0.7 < made / rounding_of(rounded) < 1.4


@given(seeds)
def test_float32_and_better_is_single(seed: int) -> None:
    values = drawn(seed)
    assert is_single(values)
    assert is_single(np.random.default_rng(seed).normal(size=200))
    assert np.array_equal(steps_of(values), np.spacing(np.abs(values)).astype(np.float64))
    assert not is_single(values.astype(np.float16))
    assert not is_single((values.view(np.uint32) & 0xFFFF0000).view(np.float32))


def test_zeros_and_large_numbers_are_no_trouble() -> None:
    assert np.isfinite(rounding_of(np.zeros(3)))
    assert np.isfinite(rounding_of(np.array([1e38, -1e38, 3.0])))
    assert np.isfinite(rounding_of(np.array([1e300])))
