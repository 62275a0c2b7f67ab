"""Models of `keras.applications` in three containers and with a new head, by the old library, migrated and compared.

    python -m tests.applications OLD_PYTHON [NAME ...]

OLD_PYTHON is an interpreter with TensorFlow 2.15. Slow: about a minute a model. Weights are drawn, not downloaded. The
table goes to `tests/data/applications.md`, a row a model; rows of models that were not asked for stay.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "MobileNetV3Large": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "DenseNet121": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "Xception": 71,
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
    "VGG16": 32,
    "VGG19": 32,
    "ConvNeXtTiny": 32,
    "RegNetX002": 32,
    "RegNetY002": 32,
    "ResNetRS50": 32,
}
"""Model -> the side of the image: the smallest that it takes, or nearly."""
FORMS = ("h5", "keras", "savedmodel", "head")
TABLE = Path(__file__).parent / "data" / "applications.md"

MAKE = """
import json, os, sys
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
import numpy as np
from tensorflow import keras
name, size, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
rng = np.random.RandomState(1)
modules = {"RegNet": "regnet", "ResNetRS": "resnet_rs"}
make = getattr(keras.applications, name, None)
if make is None:
    for start, module in modules.items():
        if name.startswith(start):
            make = getattr(getattr(keras.applications, module), name)
def drawn(model):
    for layer in model._flatten_layers():
        for w in layer.weights:
            shape = w.shape
            if "variance" in w.name or w.name.endswith("gamma:0"):
                w.assign(rng.uniform(0.5, 1.5, shape))
            elif len(shape) < 2:
                w.assign(rng.normal(size=shape) * 0.1)
            else:
                w.assign(rng.normal(size=shape) / np.sqrt(max(1.0, np.prod(shape[:-1]))) * 1.3)
image = rng.uniform(0, 255, size=(2, size, size, 3)).astype("float32")
base = make(weights=None, include_top=True, classes=7, input_shape=(size, size, 3), classifier_activation=None)
drawn(base)
arrays = {"x": image, "base": base.predict(image, verbose=0)}
base.save(out + "/h5.h5"); base.save(out + "/keras.keras"); base.save(out + "/savedmodel")
body = make(weights=None, include_top=False, input_shape=(size, size, 3))
body.trainable = False
x = keras.Input((size, size, 3))
y = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(body(x, training=False)))
model = keras.Model(x, y)
drawn(model)
model.compile("adam", "mse")
arrays["head"] = model.predict(image, verbose=0)
model.save(out + "/head.h5")
np.savez(out + "/golden.npz", **arrays)
"""

SOURCES = {"h5": "h5.h5", "keras": "keras.keras", "savedmodel": "savedmodel", "head": "head.h5"}


def main() -> None:
    old, *names = sys.argv[1:]
    rows = _rows()
    for name in names or SIZES:
        rows[name] = _row(old, name)
        lines = ["| model | side | `.h5` | `.keras` | SavedModel | new head, `.h5` |", "|---|---|---|---|---|---|"]
        lines += [f"| `{one}` | {SIZES[one]} | {rows[one]} |" for one in SIZES if one in rows]
        TABLE.write_text("\n".join(lines) + "\n")
        print(name, rows[name], flush=True)


def _rows() -> dict[str, str]:
    """Model -> the cells of its forms, as they stand in the table."""
    rows = {}
    for line in TABLE.read_text().splitlines()[2:] if TABLE.exists() else []:
        _, name, _, *cells, _ = (cell.strip() for cell in line.split("|"))
        rows[name.strip("`")] = " | ".join(cells)
    return rows


def _row(old: str, name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        words = [old, "-c", MAKE, name, str(SIZES[name]), folder]
        made = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)
        if made.returncode:
            return " | ".join([f"not made: {made.stderr.strip().splitlines()[-1][:80]}", *["-"] * 3])
        golden = np.load(Path(folder) / "golden.npz")
        return " | ".join(_compared(Path(folder), form, golden) for form in FORMS)


def _compared(folder: Path, form: str, golden: Any) -> str:
    """How far the new file's predictions are from the old library's, in their standard deviations."""
    import tcn_migrate

    try:
        outcome = tcn_migrate.migrate(folder / SOURCES[form], folder / f"{form}-new.keras")
        found = np.asarray(outcome.model.predict_on_batch(golden["x"]))
    except tcn_migrate.MigrationError as refusal:
        return f"refused: {str(refusal).partition('. ')[0][-120:]}".replace("|", "/")
    wanted = golden["head" if form == "head" else "base"]
    error = float(np.abs(found - wanted).max() / wanted.std())
    return "exact" if error < 1e-4 else f"differs by {error:.1g}"


if __name__ == "__main__":
    main()
