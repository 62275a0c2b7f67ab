"""SavedModels with their serving graphs, which say once more what the model computes.

    python serving_graphs.py OUT [--only WORD]       a folder for each case

Runs in an environment of its day; a case that its TensorFlow cannot build is left out:
    Python 3.11: tensorflow==2.15.1 keras-tcn==3.5.0        Python 3.8: tensorflow==2.4.4 keras-tcn==3.4.0

A model is saved with the signature that Keras makes by default, and without the traces of its layers, which nothing
reads and which are most of such a file. A folder holds the old files, golden.npz with the inputs x0, x1,
... and the old library's predictions y0, y1, ... in the model's own order, and case.json.
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
    stub = types.ModuleType(missing)
    stub.WeightNormalization, stub.layers = None, sys.modules.get("tensorflow_addons.layers")
    sys.modules[missing] = stub
from tcn import TCN  # noqa: E402

try:
    from keras.src.saving.legacy.saving_utils import trace_model_call
except ImportError:
    from tensorflow.python.keras.saving.saving_utils import trace_model_call
keras, L = tf.keras, tf.keras.layers
ENVIRONMENT = "tf" + "".join(tf.__version__.split(".")[:2])
CASES = {}


def case(shows, **facts):
    def enter(build):
        CASES[build.__name__.replace("_", "-")] = dict(build=build, shows=shows, **facts)
        return build

    return enter


@case("LSTM and GRU as loops over TensorLists, forwards and backwards, behind a mask and without one; outputs not in the order of their names")
def recurrent():
    i = keras.Input((6, 3), name="series")
    masked = L.Masking()(i)
    a = L.Bidirectional(L.LSTM(3, return_sequences=True), name="both")(masked)
    b = L.GRU(3, name="z_gru")(a)
    c = L.Conv1D(3, 2, padding="causal", dilation_rate=2)(i)
    d = L.SimpleRNN(2, go_backwards=True, name="a_simple")(c)
    return keras.Model(i, [b, d])


@case("Embedding, attention with a mask, layer norm, two inputs whose names are not in order")
def attention():
    words, series = keras.Input((7,), name="words"), keras.Input((7, 4), name="series")
    x = L.Embedding(11, 4, mask_zero=True)(words)
    x = L.Attention(use_scale=True)([x, x])
    if hasattr(L, "MultiHeadAttention"):
        x = L.MultiHeadAttention(2, 3)(x, series)
    x = L.LayerNormalization()(L.Add()([x, series]))
    return keras.Model([words, series], L.Dense(2, activation="tanh", name="head")(L.GlobalAveragePooling1D()(x)))


@case("a causal TCN with dilations, batch norm and skip connections; separable, depthwise, transposed and dilated convolutions of images")
def convolutions():
    i, j = keras.Input((12, 3), name="series"), keras.Input((8, 8, 2), name="image")
    t = TCN(4, kernel_size=2, dilations=[1, 2, 4], use_batch_norm=True, use_skip_connections=True, return_sequences=True)(i)
    t = L.SeparableConv1D(3, 2, padding="causal" if ENVIRONMENT == "tf215" else "same", activation="elu")(t)
    x = L.SeparableConv2D(3, 3, padding="same")(j)
    x = L.BatchNormalization()(L.DepthwiseConv2D(2, strides=2, padding="same")(x))
    x = L.Conv2DTranspose(2, 3, strides=2, padding="same", activation="relu")(x)
    x = L.MaxPooling2D(2, strides=1, padding="same")(L.Conv2D(3, 2, dilation_rate=2)(x))
    ends = [L.GlobalMaxPooling1D()(t), L.Flatten()(L.AveragePooling2D(3, padding="same")(x))]
    return keras.Model([i, j], L.Dense(3, activation="softmax", name="head")(L.Concatenate()(ends)))


@case("a Sequential model: the signature calls its input by another name than its config")
def sequential():
    return keras.Sequential([keras.Input((9, 2)), TCN(3, kernel_size=2, dilations=[1, 2]), L.Dense(2, activation="softplus")])


def draw(model, rng):
    for variable in model.weights:
        name, shape = variable.name, tuple(variable.shape)
        if "gamma" in name or "variance" in name:
            value = rng.uniform(0.5, 1.5, shape)
        elif "kernel" in name or "embeddings" in name:
            value = rng.normal(size=shape) * 1.3 / max(np.prod(shape[:-1]), 1) ** 0.5
        else:
            value = rng.normal(size=shape) * 0.3
        variable.assign(value.astype("float32"))


def inputs_of(model, rng):
    made = []
    for tensor in model.inputs:
        shape = (3, *tensor.shape[1:])
        if len(shape) == 2:
            x = rng.randint(1, 11, shape).astype("float32")
            x[1, 4:] = 0
        else:
            x = rng.normal(size=shape).astype("float32")
            x[1, 4:] = 0
        made.append(x)
    return made


def listed(values):
    return list(values) if isinstance(values, (list, tuple)) else [values]


def write(name, of, out):
    keras.backend.clear_session()
    tf.random.set_seed(1)
    model, rng = of["build"](), np.random.RandomState(sum(map(ord, name)))
    draw(model, rng)
    inputs = inputs_of(model, rng)
    wanted = listed(model.predict_on_batch(inputs if len(inputs) > 1 else inputs[0]))
    folder = Path(out) / ("%s-%s" % (name, ENVIRONMENT))
    folder.mkdir(parents=True, exist_ok=True)
    model.save(str(folder / "old"), include_optimizer=False, save_traces=False, signatures=trace_model_call(model))
    np.savez_compressed(str(folder / "golden.npz"), **{"x%d" % k: x for k, x in enumerate(inputs)}, **{"y%d" % k: y for k, y in enumerate(wanted)})
    record = {
        "source": "old", "expect": "exact", "mentions": ["serving graph agrees"], "tags": ["healthy", "savedmodel"],
        "made_with": {
            "python": platform.python_version(), "tensorflow": tf.__version__,
            "keras": getattr(keras, "__version__", None) or __import__("keras").__version__,
            "keras_tcn": "3.5.0" if ENVIRONMENT == "tf215" else "3.4.0",
        },
        "peculiarity": of["shows"],
    }
    (folder / "case.json").write_text(json.dumps(record, indent=1) + "\n")
    print(name, [float(y.std()) for y in wanted], flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    for name, of in CASES.items():
        if options.only in name:
            write(name, of, options.out)


if __name__ == "__main__":
    main()
