"""A migrated model that is called verified has predicted; and verification leaves nothing behind in the process."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tcn_migrate
from tcn_migrate.errors import SettingError, VerificationError
from tcn_migrate.limits import MOST_STATES, check_features
from tcn_migrate.trial_run import run_once
from tcn_migrate.verify import check_size
from tests.cases import case
from tests.config_entries import functional, layer, source

SMALL = case("keras3/numbered-from-20-k38").source


class Failing(keras.layers.Layer):  # type: ignore[misc]
    """Cannot be computed, like an operation that the backend does not have."""

    def call(self, x: Any) -> Any:
        return keras.ops.cond(True, lambda: self.fail(x), lambda: x) if hasattr(x, "numpy") else x

    def fail(self, x: Any) -> Any:
        raise NotImplementedError("no such kernel on this processor")


def test_the_first_layer_that_cannot_be_computed_is_named_with_the_reason() -> None:
    inputs = keras.Input((None, 3))
    x = keras.layers.Dense(2, name="before")(inputs)
    x = Failing(name="odd")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="behind")(x))

    with pytest.raises(VerificationError, match=r"layer 'odd' \(class 'Failing'\).*no such kernel on this processor"):
        run_once(model)


def test_a_model_that_cannot_predict_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise NotImplementedError("no such kernel on this processor")

    monkeypatch.setattr("tcn_migrate.tcn.layer.ResidualBlock.call", fail)

    with pytest.raises(VerificationError, match="no such kernel") as refused:
        tcn_migrate.migrate(SMALL, tmp_path / "new.keras")
    assert refused.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([keras.layers.Conv1D(2, 40)], (None, 3)),  # as many steps as the kernel reaches
        ([keras.layers.Embedding(2, 3)], (5,)),
        ([keras.layers.Embedding(1, 3), keras.layers.GlobalAveragePooling1D()], (None,)),
        ([keras.layers.Conv2D(2, 3), keras.layers.GlobalMaxPooling2D()], (None, None, 3)),
    ],
    ids=["long kernel", "small vocabulary", "one word", "image of any size"],
)
def test_inputs_suit_the_model(layers: list[Any], shape: tuple[int | None, ...]) -> None:
    model = keras.Sequential([keras.Input(shape), *layers])

    (ran_on,) = run_once(model)

    assert len(ran_on) == len(shape) + 1
    assert ran_on[0] == 1


def test_a_fixed_batch_and_inputs_by_name_are_kept() -> None:
    inputs = {name: keras.Input(batch_shape=(4, 3), name=name) for name in ("a", "b")}
    model = keras.Model(inputs, keras.layers.Add()(list(inputs.values())))

    assert run_once(model) == ((4, 3), (4, 3))


def test_whole_numbers_and_words_are_drawn_where_they_are_taken() -> None:
    numbers, words = keras.Input((2,), dtype="int32"), keras.Input((1,), dtype="string")
    found = keras.layers.StringLookup(vocabulary=["word"])(words)
    model = keras.Model([numbers, words], [keras.layers.Embedding(3, 2)(numbers), found])

    assert run_once(model) == ((1, 2), (1, 1))


def test_evidence_says_on_what_the_model_was_run(tmp_path: Path) -> None:
    outcome = tcn_migrate.migrate(SMALL, tmp_path / "new.keras")

    assert outcome.evidence is not None
    assert outcome.evidence.run_on == ((2, *outcome.model.input_shape[1:]),)
    assert outcome.evidence.as_json()["run_on"] == [[2, *outcome.model.input_shape[1:]]]


def test_threads_leave_keras_and_the_process_as_they_were(tmp_path: Path) -> None:
    tcn_migrate.migrate(SMALL, tmp_path / "first.keras")  # what is imported once is imported now
    before = (keras.layers.Layer.add_weight, list(warnings.filters), os.fstat(2))
    failures: list[BaseException] = []

    def migrate(number: int) -> None:
        try:
            for turn in range(3):
                tcn_migrate.migrate(SMALL, tmp_path / f"{number}-{turn}.keras")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert (keras.layers.Layer.add_weight, list(warnings.filters), os.fstat(2)) == before
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_variables_that_no_array_vouches_for_are_refused_before_they_are_made(tmp_path: Path) -> None:
    class Greedy(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(name="w", shape=(1 << 40,))

        def call(self, x: Any) -> Any:
            return x

    plan = tcn_migrate.plan(SMALL)
    layers = [*plan.config["config"]["layers"]]
    greedy = {"module": None, "class_name": "Greedy", "config": {"name": "greedy"}, "registered_name": "Greedy"}
    model = {"module": "keras", "class_name": "Sequential", "registered_name": None}
    sequential = {**model, "config": {"name": "s", "layers": [layers[0], greedy], "build_input_shape": [None, 4, 1]}}
    from dataclasses import replace

    with pytest.raises(VerificationError, match="no arrays for"):
        check_size(replace(plan, config=sequential), {"Greedy": Greedy})


@pytest.mark.parametrize("class_name", ["LSTM", "GRU", "SimpleRNN"])
def test_states_of_a_stateful_layer_are_bounded_before_they_are_made(class_name: str) -> None:
    def model(batch: int) -> Any:
        return functional(source(shape=(batch, 5, 3)), layer(class_name, "l", "x", units=1024, stateful=True))

    check_features(model(MOST_STATES // 1024), {}, {})
    with pytest.raises(SettingError, match="stateful"):
        check_features(model(MOST_STATES // 1024 + 1), {}, {})


def test_a_recorded_prediction_is_not_changed_by_the_trial(tmp_path: Path) -> None:
    """Batch statistics and seeds stay as they are: the trial is inference."""
    found = case("keras3/numbered-from-20-k38")
    golden = np.load(found.folder / "golden.npz")

    outcome = tcn_migrate.migrate(found.source, tmp_path / "new.keras")

    np.testing.assert_allclose(outcome.model.predict_on_batch(golden["x0"]), golden["y0"], rtol=1e-5, atol=1e-6)
