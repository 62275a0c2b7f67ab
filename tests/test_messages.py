"""The messages of today's Keras that the cookbook quotes are those that files of Keras 2 meet; the files migrate.

That each of them migrates exactly is in `test_fixtures.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cases import FIXTURES, case
from tests.readme import ROOT

SHOWN = {
    "Kernel shape must have the same length as input, but received kernel of shape": "messages/kernel-shape",
    "Argument(s) not recognized: {'lr':": "messages/learning-rate",
    "pop expected at most 1 argument, got 2": "messages/list-of-layers",
    "Unrecognized keyword arguments passed to Conv2DTranspose: {'groups': 1}": "messages/conv2d-transpose",
    "must be a string and cannot contain character `/`": "messages/slash",
    "int() argument must be a string, a bytes-like object or a real number, not 'list'": "messages/axis-of-a-norm",
    "either has loops or disconnected nodes": "messages/shared",
    "'str' object has no attribute 'quantization_mode'": "messages/policy",
    "Unrecognized keyword arguments passed to MultiHeadAttention: {'query_shape'": "messages/query-shape",
    "Could not locate class 'Dense'": "messages/time-distributed",
    "Unknown layer: 'TensorFlowOpLayer'": "keras2/tensorflow-op-layers-312",
    "expects 1 input(s), but it received 2 input tensors": "messages/two-inputs",
}
"""Part of a message of Keras 3 -> the fixture that shows it."""

COUNT = "Layer count mismatch when loading weights from file"


def quoted(message: str) -> bool:
    """Whether the cookbook's table has a message, in backticks of one kind or the other."""
    page = (ROOT / "docs/cookbook.md").read_text().partition("## Messages")[2]
    return message in page


@pytest.mark.parametrize("message", SHOWN)
def test_a_message_that_users_quote_is_in_the_cookbook_and_a_file_shows_it(message: str) -> None:
    import keras

    with pytest.raises(Exception) as error:  # noqa: PT011  whatever Keras raises
        keras.saving.load_model(case(SHOWN[message]).source)
    assert message in str(error.value)
    assert quoted(message)


def test_layers_that_are_grouped_otherwise_than_in_the_file_are_counted_by_keras(tmp_path: Path) -> None:
    import keras

    import tcn_migrate

    x = keras.Input((4,))
    flat: Any = keras.Model(x, keras.layers.Dense(4)(keras.layers.Dense(4)(x)))
    old = FIXTURES / "messages/shared/old.h5"
    with pytest.raises(ValueError, match=COUNT):
        flat.load_weights(old)
    assert quoted(COUNT)
    assert tcn_migrate.migrate(old, tmp_path / "new.keras").model.count_params() == 20
