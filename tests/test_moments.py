"""Moments merge without losing digits, and data comes out as batches of the model's inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn_migrate.errors import MigrationError
from tcn_migrate.recovery.data import batches, evenly
from tcn_migrate.recovery.moments import Moments


def of(values):
    values = np.asarray(values, dtype=np.float64)
    mean = values.mean(axis=0)
    return Moments(len(values), mean, ((values - mean) ** 2).sum(axis=0))


@given(
    mean=st.sampled_from([0.0, 1.0, 1000.0, -1e6]),
    deviation=st.sampled_from([0.1, 1.0]),
    cuts=st.lists(st.integers(0, 500), max_size=6),
)
@settings(max_examples=50, deadline=None)
def test_moments_of_the_parts_are_the_moments_of_the_whole(mean, deviation, cuts):
    """A mean of 1000 with a deviation of 0.1 too, of which sums of squares leave nothing in float32."""
    values = mean + deviation * np.random.default_rng(len(cuts)).normal(size=(500, 3))
    merged = Moments.nothing(3)
    for part in np.split(values, sorted(cuts)):
        merged = merged.merged(of(part) if len(part) else Moments.nothing(3))
    assert merged.count == 500
    np.testing.assert_allclose(merged.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(merged.variance, values.var(axis=0), rtol=1e-7)


def test_halves_that_differ_disagree():
    one, other = of(np.zeros((50, 1)) + [[0.0], [1.0]] * 25), of(np.zeros((50, 1)) + [[3.0], [4.0]] * 25)
    assert one.disagreement(one.merged(one)) == pytest.approx(0.0)
    assert one.disagreement(one.merged(other)) > 0.5


X, Y = np.zeros((10, 4, 2), np.float32), np.zeros((10, 1), np.float32)


@pytest.mark.parametrize(
    "inputs",
    [X, [X[:6], X[6:]], iter([X[:6], X[6:]]), [(X, Y)], iter([[X, Y]]), [(X, Y, Y)], {"a": X}, [({"a": X}, Y)], ([X],)],
    ids=[
        "array",
        "list of batches",
        "generator",
        "x and y",
        "torch loader",
        "with weights",
        "by name",
        "named",
        "lists",
    ],
)
def test_one_input_comes_in_many_forms(inputs):
    found = list(batches(inputs, ["a"]))
    assert sum(len(batch[0]) for batch in found) == 10
    assert all(len(batch) == 1 and batch[0].shape[1:] == (4, 2) for batch in found)


@pytest.mark.parametrize(
    "inputs",
    [[X, X[:, :1]], {"b": X[:, :1], "a": X}, [([X, X[:, :1]], Y)], [{"a": X, "b": X[:, :1]}], iter([[X, X[:, :1]]])],
    ids=["arrays", "by name", "with y", "batches by name", "batches of lists"],
)
def test_two_inputs_come_in_many_forms(inputs):
    (batch,) = batches(inputs, ["a", "b"])
    assert [array.shape for array in batch] == [(10, 4, 2), (10, 1, 2)]


def test_tensors_of_a_framework_become_arrays():
    class Tensor:  # as torch's, which has no __array__ while it requires a gradient
        shape = (10, 4, 2)

        def detach(self):
            return self

        def cpu(self):
            return X

    ((array,),) = batches([(Tensor(), Tensor())], ["a"])
    assert isinstance(array, np.ndarray)


@pytest.mark.parametrize("inputs", [[[X, X, X, X]], {"c": X}, np.array(["a", "b"])])
def test_what_does_not_fit_the_inputs_is_refused(inputs):
    with pytest.raises(MigrationError):
        list(batches(inputs, ["a", "b"] if isinstance(inputs, list) else ["a"]))


@given(st.lists(st.integers(0, 17), max_size=12), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_batches_are_cut_anew_whatever_they_were(sizes, rows):
    ends = np.cumsum(sizes, dtype=int)
    stream = ([np.arange(end - size, end)] for size, end in zip(sizes, ends, strict=True))
    found = [batch[0] for batch in evenly(stream, rows)]
    assert [len(batch) for batch in found[:-1]] == [rows] * (len(found) - 1)
    np.testing.assert_array_equal(np.concatenate([[], *found]), np.arange(sum(sizes)))


def test_sequences_of_another_length_begin_a_new_batch():
    stream = [[np.zeros((3, 5))], [np.zeros((2, 7))], [np.zeros((1, 7))]]
    assert [batch[0].shape for batch in evenly(stream, 4)] == [(3, 5), (3, 7)]
