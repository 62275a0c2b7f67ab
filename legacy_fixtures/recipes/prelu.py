"""Old files with a TCN whose activation is a PReLU: one object that all of its activations share, or, by the name of
the class, one for each.

    python prelu.py OUT [--only WORD]       a folder for each case

Runs in Python 3.11 with tensorflow==2.15.1 keras-tcn==3.5.0 (cases tf215-...; tf215-numbered-... with keras-tcn==3.2.1),
and in Python 3.8 with tensorflow==2.4.4 keras-tcn==3.4.0 (cases tf24-...). A folder holds the old file, golden.npz with the input x0 and the
old library's prediction y0, and case.json. Weights are drawn so that every variable matters.
"""

import argparse
import json
import os
import platform
import sys
import types
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
import numpy as np
import tensorflow as tf

for missing in ("tensorflow_addons", "tensorflow_addons.layers"):  # keras-tcn imports it for its weight norm alone
    sys.modules[missing] = types.ModuleType(missing)
from tcn import TCN  # noqa: E402

keras, L = tf.keras, tf.keras.layers
NEW = tf.__version__.startswith("2.15")
KERAS_TCN = "3.4.0" if not NEW else "3.5.0" if "return_state" in TCN(1).get_config() else "3.2.1"


def tcn(filters=4, axes=(1,), by_name=False, **settings):
    activation = "PReLU" if by_name else L.PReLU(shared_axes=list(axes))
    return TCN(filters, kernel_size=2, dilations=[1, 2], activation=activation, **settings)


CASES = {
    "tf215-h5": (".h5", lambda: [tcn(use_batch_norm=True)], "HDF5, with batch norm and a matching convolution"),
    "tf215-zip": (".keras", lambda: [tcn(use_layer_norm=True)], "an archive: the slopes lie in the first block; the old library cannot read it again"),
    "tf215-time-distributed": (".h5", lambda: [L.Reshape((2, 4, 3)), L.TimeDistributed(tcn())], "in a TimeDistributed"),
    "tf215-by-steps-h5": (".h5", lambda: [tcn(axes=(), go_backwards=True, return_sequences=True)], "HDF5, one object with a slope for each step and filter"),
    "tf215-class-name-h5": (".h5", lambda: [tcn(by_name=True, use_batch_norm=True)], "HDF5, by the name of its class: four a block, each with a slope for each step and filter"),
    "tf215-class-name-zip": (".keras", lambda: [tcn(by_name=True, use_layer_norm=True), L.Reshape((2, 2)), tcn(by_name=True)], "an archive with two TCNs, by the name of its class"),
    "tf215-class-name-savedmodel": ("", lambda: [tcn([4, 3], by_name=True, use_skip_connections=False, return_sequences=True)], "a SavedModel, by the name of its class, filters that differ"),
    "tf215-class-name-checkpoint": (".index", lambda: [tcn(3, by_name=True, padding="same")], "a TF checkpoint, by the name of its class"),
    "tf215-numbered-h5": (".h5", lambda: [tcn(by_name=True, use_layer_norm=True)], "HDF5, by the name of its class: a session numbers the activations"),
    "tf24-savedmodel": ("", lambda: [tcn([4, 3], (1, 2), use_skip_connections=False, return_sequences=True)], "a SavedModel: one slope for all filters, which differ"),
    "tf24-checkpoint": (".index", lambda: [tcn(3)], "a TF checkpoint: the slopes are an edge of the TCN"),
}


def drawn(variable, rng):
    values = rng.standard_normal(variable.shape) * 0.5
    return np.abs(values) + 0.5 if "variance" in variable.name else values


def write(name, out):
    keras.backend.clear_session()
    suffix, layers, shows = CASES[name]
    rng, folder = np.random.default_rng(7), Path(out) / name
    folder.mkdir(parents=True)
    i = x = keras.Input((8, 3))
    for layer in layers():
        x = layer(x)
    model = keras.Model(i, L.Dense(2)(x))
    model.set_weights([drawn(variable, rng) for variable in model.weights])
    options = []
    if suffix == ".index":
        model.save_weights(str(folder / "old"))
        (folder / "model.json").write_text(model.to_json())
        options = ["--architecture", "{case}/model.json"]
    else:
        model.save(str(folder / ("old" + suffix)))
    x0 = rng.standard_normal((4, 8, 3)).astype(np.float32)
    np.savez(folder / "golden.npz", x0=x0, y0=model.predict(x0, verbose=0))
    made_with = {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": __import__("keras").__version__ if NEW else keras.__version__, "keras_tcn": KERAS_TCN}
    facts = {"source": "old" + suffix, "options": options, "expect": "exact", "mentions": [], "tags": ["healthy"], "tolerance": 1e-5, "made_with": made_with, "peculiarity": "PReLU as a TCN's activation, " + shows}
    if "TimeDistributed" in shows:  # the plain target refuses it by name
        facts["plain"] = "refuse"
    (folder / "case.json").write_text(json.dumps(facts, indent=1) + "\n")


parser = argparse.ArgumentParser()
parser.add_argument("out")
parser.add_argument("--only", default="")
options = parser.parse_args()
for name in CASES:
    of_this_release = name.startswith("tf215" if NEW else "tf24") and ("numbered" in name) == (KERAS_TCN == "3.2.1")
    if options.only in name and of_this_release:
        write(name, options.out)
