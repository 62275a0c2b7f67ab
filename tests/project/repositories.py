"""Twelve small repositories as users have them, with real old files: who loads what, and from where."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.cases import case

END = "print(json.dumps(np.asarray(model.predict_on_batch(np.load('x.npy'))).tolist()))\n"


@dataclass(frozen=True)
class Repository:
    """A repository to make.

    Attributes:
        fixture: the old file.
        place: where it lies in the repository.
        script: the code that loads it, by its path.
        code: the code; it runs in the repository's folder, and prints predictions at its end.
        more: other files.
        options: of the command.
    """

    fixture: str
    place: str
    script: str
    code: str
    more: tuple[tuple[str, bytes], ...] = ()
    options: tuple[str, ...] = ()


HEAD = "import json\nimport numpy as np\n"

REPOSITORIES = {
    "a model in the root": Repository(
        "keras2/elu-skip-312",
        "model.h5",
        "app.py",
        HEAD
        + "import tensorflow as tf\nfrom tcn import TCN\n\n"
        + "model = tf.keras.models.load_model('model.h5', custom_objects={'TCN': TCN})\n"
        + END,
    ),
    "a model beside its scaler, in a folder": Repository(
        "keras2/batch-norm-skip-tf21-302",
        "models/tcn.h5",
        "streamlit_app.py",
        HEAD
        + "import os\nfrom tensorflow.keras.models import load_model\nfrom tcn import TCN\n\n"
        + "HERE = os.path.dirname(os.path.abspath(__file__))\n"
        + 'model = load_model(os.path.join(HERE, "models", "tcn.h5"), custom_objects={"TCN": TCN}, compile=False)\n'
        + END,
        (
            ("models/scaler.pkl", b"\x80\x04\x8c\x02os\x8c\x06system\x93"),
            ("requirements.txt", b"numpy\ntensorflow==2.11.0\nkeras-tcn==3.5.0 # TCN\nstreamlit>=1.0\n"),
        ),
    ),
    "weights for a model that is built in code": Repository(
        "keras2/weights-tf212-350",
        "weights/tcn.weights.h5",
        "src/predict.py",
        HEAD
        + "from tensorflow import keras\nfrom tcn import TCN\n\n\ndef build():\n    i = keras.layers.Input((10, 3))\n"
        + "    t = TCN(4, kernel_size=2, dilations=[1, 2], use_skip_connections=True, use_layer_norm=True)(i)\n"
        + "    return keras.Model(i, keras.layers.Dense(2)(t))\n\n\n"
        + "WEIGHTS = 'weights/tcn.weights.h5'\nmodel = build()\nmodel.load_weights(WEIGHTS)\n"
        + END,
    ),
    "a notebook with the name in an earlier cell": Repository(
        "keras2/bidirectional-350", "bi.h5", "explore.ipynb", "", ()
    ),
    "a SavedModel": Repository(
        "keras2/savedmodel-tf26-340",
        "saved",
        "serve.py",
        HEAD + "import tensorflow as tf\n\nmodel = tf.keras.models.load_model('./saved/')\n" + END,
    ),
    "HDF5 that is called .keras": Repository(
        "keras2/keras-suffix-hdf5-inside-310",
        "tcn.keras",
        "run.py",
        '"""Predicts."""\n' + HEAD + "import keras\nmodel = keras.models.load_model(filepath='tcn.keras')\n" + END,
    ),
    "norms that were numbered": Repository(
        "keras3/numbered-from-20-k38",
        "best model.keras",
        "predict.py",
        HEAD
        + "from pathlib import Path\nimport keras\nfrom tcn import TCN\n"
        + "\nNAME = 'best model.keras'\nmodel = keras.saving.load_model(Path(__file__).parent / NAME)\n"
        + END,
    ),
    "loaded in place": Repository(
        "keras2/weight-norm-321",
        "model.h5",
        "app.py",
        HEAD
        + "from keras.models import load_model as lm\nfrom tcn import TCN as T\n\n"
        + "model = lm('model.h5', custom_objects={'TCN': T})\n"
        + END,
        options=("--load-in-place",),
    ),
    "training that goes on": Repository(
        "keras2/compiled-regression-344",
        "regression.h5",
        "train.py",
        HEAD
        + "import tensorflow as tf\nfrom tensorflow.keras.optimizers import Adam\nfrom tcn import TCN\n"
        + "model = tf.keras.models.load_model(\n    'regression.h5',\n"
        + "    custom_objects={\n        'TCN': TCN,\n    },\n)\n"
        + "model.compile(optimizer=Adam(lr=1e-3), loss='mse', experimental_run_tf_function=False)\n"
        + "model.predict(np.load('x.npy'), verbose=0, workers=1, use_multiprocessing=False)\n"
        + END,
    ),
    "names with odd characters": Repository(
        "keras2/zip-tf212-350",
        "mödels/it's a {model}.keras",
        "é è.py",
        HEAD
        + "import keras\n# ünïcode before the call: é\n"
        + 'model = keras.models.load_model("mödels/it\'s a {model}.keras")\n'
        + END,
    ),
    "lines that end as on Windows": Repository(
        "keras2/zip-batch-norm-tf215-354",
        "out/m.keras",
        "app.py",
        (
            HEAD
            + "from keras.models import load_model\nfrom tcn import TCN\n"
            + "model = load_model('out/m.keras')\n"
            + END
        ).replace("\n", "\r\n"),
        (
            (
                "pyproject.toml",
                b'[project]\nname = "x"\ndependencies = [\n  "tensorflow==2.15.*",\n  "keras-tcn~=3.5"]\n',
            ),
        ),
    ),
    "Keras 2 by another name": Repository(
        "keras2/elu-skip-312",
        "model.hdf5",
        "old.py",
        (
            HEAD
            + "from tensorflow.python.keras.models import load_model\n"
            + "p = './model.hdf5'\nmodel = load_model(p, None)\n"
            + END
        ).rstrip("\n"),
        (
            (
                "environment.yml",
                b"dependencies:\n  - python=3.8\n  - tensorflow=2.4\n  - pip:\n    - keras-tcn==3.1.2\n",
            ),
        ),
    ),
}


def notebook(cells: list[str]) -> str:
    content = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "metadata": {},
                "outputs": [],
                "source": text.splitlines(True),
            }
            for text in cells
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


CELLS = [
    HEAD + "%matplotlib inline\nfrom tensorflow import keras\nfrom tcn import TCN\n",
    "MODEL = 'bi.h5'\n",
    "!ls\nmodel = keras.models.load_model(MODEL, custom_objects={'TCN': TCN})\n",
    END,
]


def make(name: str, folder: Path, git: Callable[..., object]) -> Repository:
    """Makes a repository, and commits it."""
    made = REPOSITORIES[name]
    found = case(made.fixture)
    place = folder / made.place
    place.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if found.source.is_dir() else shutil.copy)(found.source, place)
    if (found.folder / "model.json").exists():
        shutil.copy(found.folder / "model.json", place.parent)
    (folder / made.script).parent.mkdir(parents=True, exist_ok=True)
    text = notebook(CELLS) if made.script.endswith(".ipynb") else made.code
    (folder / made.script).write_bytes(text.encode())
    for path, content in made.more:
        (folder / path).write_bytes(content)
    np.save(folder / "x.npy", np.load(found.folder / "golden.npz")["x0"])
    git("init", "-q")
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "as it was")
    return made
