"""Old files with arguments of calls, and with settings, that mean something else in Keras 3.

    python calls.py OUT [--only WORD]       a folder for each case

Runs in Python 3.11 with tensorflow==2.15.1 keras-tcn==3.5.0. A case is a function that builds a model. Its weights are
drawn so that every variable matters. A folder holds the old file, golden.npz with the inputs x0, x1, ... and the old
library's predictions y0, y1, ..., and case.json. A model that is trained was compiled with Adam and trained for one step
before it was saved; step.npz holds targets t0, ... and what the old library predicts (after0, ...) after one more
`train_on_batch` of the saved file.
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

keras, L = tf.keras, tf.keras.layers
CASES = {}
SERIES = (8, 3)


def case(shows, suffix=".h5", trained=False, **facts):
    def enter(build):
        CASES[build.__name__.replace("_", "-")] = dict(build=build, shows=shows, suffix=suffix, trained=trained, facts=facts)
        return build

    return enter


def tcn(**settings):
    return TCN(4, kernel_size=2, dilations=[1, 2], return_sequences=True, **settings)


def head(*ends):
    return L.Dense(2, name="head")(L.Concatenate()([L.GlobalAveragePooling1D()(end) for end in ends]))


# --- training=True and training=False in a call -----------------------------------------------------------------------
def norms_in_a_model(name, value=None):
    i = keras.Input(SERIES)
    x = L.BatchNormalization()(L.Dense(4)(i), **({} if value is None else {"training": value}))
    return keras.Model(i, L.Conv1D(3, 2)(L.BatchNormalization()(x)), name=name)


@case("training=True in calls of a batch norm, a TCN, a nested model, inside of one, and of a shared layer", trained=True, plain="refuse")
def training_true():
    i = keras.Input(SERIES)
    shared = L.BatchNormalization(name="shared")
    return keras.Model(i, head(
        L.BatchNormalization(name="norm")(L.Dense(4)(i), training=True),
        tcn(use_batch_norm=True, name="tcn")(i, training=True),
        norms_in_a_model("base")(i, training=True),
        norms_in_a_model("around", True)(i),
        norms_in_a_model("own_value", True)(i, training=False),
        L.Add()([shared(i, training=True), shared(L.Rescaling(0.5)(i))]),
        L.GRU(2, return_sequences=True, name="nothing_to_train")(i, training=True)))


@case("training=True in calls that Keras's own layers can say: of a TCN, of batch norms behind operators and behind a last step", trained=True)
def training_true_plain():
    i = keras.Input(SERIES)
    x = L.Dense(4)(i)
    last = TCN(4, kernel_size=2, dilations=[1, 2], name="last")(i)
    return keras.Model(i, L.Dense(2, name="head")(L.Concatenate()([
        L.GlobalAveragePooling1D()(L.BatchNormalization(name="norm")(x * 0.5 + tf.nn.relu(x), training=True)),
        L.GlobalAveragePooling1D()(tcn(use_batch_norm=True, activation="hard_sigmoid", name="tcn")(i, training=True)),
        L.GlobalAveragePooling1D()(norms_in_a_model("base")(i, training=True)),
        L.BatchNormalization(name="of_a_step")(last, training=True)])))


def base(name, layers):
    i = x = keras.Input(SERIES)
    for layer in layers:
        x = layer(x)
    return keras.Model(i, x, name=name)


def of_transfer_learning():
    i = keras.Input(SERIES)
    parts = lambda: [L.Dense(4), L.BatchNormalization(), L.Dropout(0.5), L.Conv1D(3, 2), tcn(use_batch_norm=True, dropout_rate=0.3)]  # noqa: E731
    frozen = base("frozen", [L.Dense(4), L.BatchNormalization(), L.Dropout(0.5)])
    frozen.trainable = False
    attended = L.Dense(4)(i)
    return keras.Model(i, head(
        base("base", parts())(i, training=False),
        keras.Sequential([L.InputLayer(SERIES), *parts()], name="chain")(i, training=False),
        frozen(i, training=False),
        L.BatchNormalization(name="norm")(L.Dense(4)(i), training=False),
        L.GaussianNoise(0.5, name="noise")(L.SpatialDropout1D(0.5, name="dropout")(i, training=False), training=0),
        L.Bidirectional(L.LSTM(2, dropout=0.4, recurrent_dropout=0.3, return_sequences=True), name="both_ways")(i, training=False),
        L.MultiHeadAttention(2, 3, dropout=0.5, name="attention")(attended, attended, training=False),
        tcn(dropout_rate=0.4, name="tcn")(i, training=False)))


@case("training=False in the calls of nested models, as in transfer learning, and of layers", suffix=".keras", trained=True)
def training_false():
    return of_transfer_learning()


@case("the same as a SavedModel", suffix="")
def training_false_savedmodel():
    return of_transfer_learning()


# --- activations that are layers, class names or functions of TensorFlow ----------------------------------------------
def activated():
    i = keras.Input(SERIES)
    of_a_tcn = [L.LeakyReLU(0.2), "LeakyReLU", L.ELU(0.5), "ELU", L.ReLU(1.5, 0.1, 0.2), "ReLU", L.Softmax(1), "Softmax", L.ThresholdedReLU(0.3)]
    of_a_layer = [L.PReLU(), "PReLU", L.LeakyReLU(0.2), "LeakyReLU", "ThresholdedReLU", "Softmax"]
    return keras.Model(i, head(
        *[tcn(activation=one)(i) for one in of_a_tcn],
        *[L.Dense(3, activation=one)(i) for one in of_a_layer],
        L.Conv1D(3, 2, activation=L.PReLU(shared_axes=[1]))(i),
        L.TimeDistributed(L.Dense(3, activation=L.PReLU()))(i),
        base("nested", [L.Dense(3, activation="PReLU")])(i),
        L.LSTM(3, activation=L.LeakyReLU(0.2), return_sequences=True)(i)))


@case("activations that are layers and names of classes", trained=True)
def activations():
    return activated()


@case("the same in an archive", suffix=".keras")
def activations_zip():
    return activated()


@case("activations that are functions of TensorFlow, with which the old library cannot read the file again")
def activations_of_tensorflow():
    i = keras.Input(SERIES)
    functions = [tf.sin, tf.cos, tf.exp, tf.abs, tf.square, tf.sign, tf.nn.softmax, tf.identity, tf.negative, tf.atan, tf.asinh, tf.sinh, tf.cosh, tf.tan, tf.math.erf, tf.floor, tf.math.ceil, tf.math.expm1]
    also = [tf.nn.log_softmax, tf.nn.relu6, tf.nn.leaky_relu, tf.nn.silu]
    return keras.Model(i, head(*[L.Dense(3, activation=one)(i) for one in functions + also], *[tcn(activation=one)(i) for one in [tf.sin, tf.cos, tf.negative, tf.nn.softmax]]))


# --- transposed convolutions with a dilation rate -----------------------------------------------------------------------
@case("dilated transposed convolutions, which Keras 3 cannot compute on TensorFlow; in three dimensions the rate is ignored", trained=True)
def dilated_transposes():
    i, image, volume = keras.Input(SERIES), keras.Input((5, 6, 2)), keras.Input((3, 4, 3, 2))
    ends = [
        L.Conv1DTranspose(4, 3, dilation_rate=2, activation="elu")(i),
        L.Conv1DTranspose(2, 4, dilation_rate=3, padding="same", use_bias=False)(i),
        L.Conv1DTranspose(3, 2, dilation_rate=2, padding="same", output_padding=0)(i),
        L.Conv1DTranspose(3, 1, dilation_rate=2)(i),
        L.TimeDistributed(L.Conv1DTranspose(2, 2, dilation_rate=2))(image),
        L.Conv2DTranspose(4, (3, 2), dilation_rate=2, padding="same")(image),
        L.Conv2DTranspose(3, 2, dilation_rate=(3, 3), kernel_regularizer="l2")(image),
        L.Conv3DTranspose(3, 2, dilation_rate=2, padding="same")(volume),
        base("nested", [tcn(), L.Conv1DTranspose(2, 3, dilation_rate=2), L.Conv1DTranspose(2, 2)])(i),
        keras.Sequential([L.InputLayer(SERIES), L.Conv1DTranspose(2, 3, dilation_rate=2), L.Conv1D(2, 2)])(i),
    ]
    flat = [L.Reshape((-1, end.shape[-1]))(end) for end in ends]
    return keras.Model([i, image, volume], head(*flat))


# --- nested models that are called on an axis more or less -----------------------------------------------------------------
def takes(shape, name, *layers):
    i = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(i, x, name=name)


def ranks():
    i, series, image = keras.Input((6,)), keras.Input(SERIES), keras.Input((6, 6, 2))
    one, two = keras.Input((5, 1)), keras.Input((4,))
    several = keras.Model([one, two], L.Concatenate()([L.GRU(3)(one), L.Dense(2)(two)]), name="several")
    deep = takes((6, 1), "deep", takes((6,), "inner", L.Dense(5)), takes((5, 1), "again", L.Conv1D(2, 2)), L.Flatten())
    shared = takes((6, 1), "shared", L.Conv1D(3, 2), L.Flatten())
    ends = [
        takes((6, 1), "expanded", L.Conv1D(3, 2), tcn(), L.Flatten())(i),
        takes((8,), "squeezed", L.Dense(3))(L.Dense(1)(series)),
        takes((None, 1), "open", L.GRU(3))(i),
        keras.Sequential([L.InputLayer((6, 1)), L.Conv1D(3, 2), L.Flatten()], name="chain")(i),
        keras.Sequential([L.InputLayer((6, 6, 2)), L.Conv2D(4, 3), L.GlobalAveragePooling2D(), takes((4, 1), "in_chain", L.Conv1D(2, 2), L.Flatten())], name="around")(image),
        several([L.Dense(5)(i), L.Conv1D(1, 1)(L.Conv1D(2, 5)(series)[:, :, :1])]),
        deep(i),
        shared(i),
        shared(L.Reshape((6, 1))(L.Dense(6)(i))),
    ]
    return keras.Model([i, series, image], L.Dense(2, name="head")(L.Concatenate()(ends)))


@case("nested models called on an input without the last axis of 1 that they declare, or with one more")
def ranks_of_nested_models():
    return ranks()


@case("the same in an archive", suffix=".keras")
def ranks_of_nested_models_zip():
    return ranks()


# --- other arguments of calls -------------------------------------------------------------------------------------------
@case("arguments of calls that are constants, masks and switches; a merge of one tensor; a Softmax with a mask")
def other_arguments():
    i = keras.Input(SERIES, batch_size=4)
    counts = tf.constant([[True] * 5 + [False] * 3] * 4)
    rows, cells = tf.ones((4, 3)), 0.5 * tf.ones((4, 3))
    attended, scores = L.Attention(use_scale=True)([i, i], return_attention_scores=True)
    causal, weights = L.MultiHeadAttention(2, 3)(i, i, use_causal_mask=True, return_attention_scores=True)
    ends = [
        L.LSTM(3, return_sequences=True)(i, mask=counts),
        L.LSTM(3, return_sequences=True)(i, initial_state=[rows, cells]),
        L.GRU(3, return_sequences=True)(i, initial_state=rows, mask=i[:, :, 0] > 0),
        L.Bidirectional(L.GRU(2, return_sequences=True))(i, mask=counts),
        attended, scores, causal, L.Reshape((8, 16))(L.Permute((2, 1, 3))(weights)),
        L.MultiHeadAttention(2, 3)(i, i, attention_mask=np.tril(np.ones((8, 8), bool))[None]),
        L.Reshape((8, 3))(L.Softmax()(i, mask=i > 0)),
        L.Reshape((8, 3))(L.Softmax(axis=1)(i, mask=i[:, :, :1] > 5)),
        L.Concatenate()([i]),
        L.Add()([i]),
    ]
    return keras.Model(i, head(*ends))


# --- writing ----------------------------------------------------------------------------------------------------------
def drawn(variable, rng):
    if not variable.dtype.is_floating:
        return variable.numpy()
    values = rng.standard_normal(variable.shape) * 0.5
    if "variance" in variable.name:
        values = np.abs(values) + 0.5
    return (values + ("gamma" in variable.name)).astype(variable.dtype.as_numpy_dtype)


def listed(values):
    return list(values.values()) if isinstance(values, dict) else list(values) if isinstance(values, (list, tuple)) else [values]


def write(name, of, out):
    keras.backend.clear_session()
    rng, folder = np.random.default_rng(7), Path(out) / name
    folder.mkdir(parents=True)
    model = of["build"]()
    model.set_weights([drawn(variable, rng) for variable in model.weights])
    inputs = [rng.standard_normal((4, *(size or 6 for size in i.shape[1:]))).astype(np.float32) for i in model.inputs]
    given = inputs if len(inputs) > 1 else inputs[0]
    if of["trained"]:
        model.compile(keras.optimizers.Adam(0.05), "mse")
        targets = [rng.standard_normal((4, *o.shape[1:])).astype(np.float32) for o in model.outputs]
        model.train_on_batch(given, targets if len(targets) > 1 else targets[0])
    source = folder / ("old" + of["suffix"])
    model.save(source, **({} if of["suffix"] else {"save_traces": False}))
    if of["trained"]:
        again = keras.models.load_model(source, custom_objects={"TCN": TCN})
        again.train_on_batch(given, targets if len(targets) > 1 else targets[0])
        after = listed(again.predict(given, verbose=0))
        np.savez(folder / "step.npz", **{"t%d" % n: t for n, t in enumerate(targets)}, **{"after%d" % n: y for n, y in enumerate(after)})
    outputs = listed(model.predict(given, verbose=0))
    np.savez(folder / "golden.npz", **{"x%d" % n: x for n, x in enumerate(inputs)}, **{"y%d" % n: y for n, y in enumerate(outputs)})
    made_with = {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": __import__("keras").__version__, "keras_tcn": "3.5.0"}
    facts = {"source": source.name, "options": [], "expect": "exact", "mentions": [], "tags": ["healthy"], "tolerance": 1e-5, "made_with": made_with, "peculiarity": of["shows"], **of["facts"]}
    (folder / "case.json").write_text(json.dumps(facts, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    for name, of in CASES.items():
        if options.only in name:
            write(name, of, options.out)


main()
