"""Plain files are Keras models like any other: the usual converters take them, and what comes out predicts the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from tcn_migrate import migrate
from tests.cases import case

NAMES = ["keras3/numbered-from-20-k38", "keras2/same-middle-step-292"]
"""Batch norm and the last step; an old function and the middle step."""


def migrated(name: str, folder: Path) -> tuple[Any, Any, Any]:
    """The plain model, and the old library's inputs and predictions."""
    old = case(name)
    migrate(old.source, folder / "new.keras", target="plain", verify=False)
    golden = np.load(old.folder / "golden.npz")
    return keras.saving.load_model(folder / "new.keras"), golden["x0"].astype(np.float32), golden["y0"]


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_model_converts_to_tflite(name: str, tmp_path: Path) -> None:
    model, x, y = migrated(name, tmp_path)

    interpreter = tf.lite.Interpreter(model_content=tf.lite.TFLiteConverter.from_keras_model(model).convert())
    entrance = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(entrance, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entrance, x)
    interpreter.invoke()

    np.testing.assert_allclose(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), y, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_model_exports_to_onnx(name: str, tmp_path: Path) -> None:
    model, x, y = migrated(name, tmp_path)
    model(x)  # Keras exports a model that was called

    model.export(tmp_path / "new.onnx", format="onnx", verbose=False)

    session = onnxruntime.InferenceSession(tmp_path / "new.onnx")
    np.testing.assert_allclose(session.run(None, {session.get_inputs()[0].name: x})[0], y, atol=1e-5)
