"""Fixtures `lambdas`, and two of `formulas`: Lambda layers of hand-made models, in graphs that are no chain.

    python lambdas.py CASE OUT

Made with Python 3.8 and tensorflow 2.4.4 (`shared-calls`, `nested-sequential`, `indexing`), and with Python 3.11 and
tensorflow 2.15.1 (`time-distributed`, `vae-sampling`, `untranslatable-refused`).
"""
import json
import os
import sys
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow import keras  # noqa: E402
from tensorflow.keras import backend as K  # noqa: E402, N812
from tensorflow.keras import layers as L  # noqa: E402, N812

CASE, OUT = sys.argv[1], Path(sys.argv[2])
KERAS = {"2.4.4": "2.4.0", "2.15.1": "2.15.0"}[tf.__version__]


def channel_normalization(x):
    max_values = K.max(K.abs(x), 2, keepdims=True) + 1e-5
    out = x / max_values
    return out


def step(index):
    return lambda tt: tt[:, index, :]


def shared_calls():
    """channel_normalization called three times, the last step too, and both outputs of the model"""
    a, b = keras.Input((6, 3)), keras.Input((6, 3))
    normalize, last = L.Lambda(channel_normalization, name="normalize"), L.Lambda(lambda t: t[:, -1, :], name="last")
    x, y = normalize(a), normalize(b)
    pair = L.Concatenate()([last(x), last(L.Conv1D(3, 2)(y))])
    later = last(normalize(L.Conv1D(3, 1)(y)))
    return keras.Model([a, b], [L.Dense(2)(pair), later, x])


def nested_sequential():
    """a Sequential model with Lambdas, called twice, inside of another model"""
    encoder = keras.Sequential(
        [L.Conv1D(4, 2, input_shape=(6, 3)), L.Lambda(channel_normalization), L.Conv1D(4, 2), L.Lambda(step(-1))], name="encoder"
    )
    a, b = keras.Input((6, 3)), keras.Input((6, 3))
    return keras.Model([a, b], L.Dense(2)(L.Concatenate()([encoder(a), encoder(b)])))


def time_distributed():
    """Lambdas and a Sequential model of them in TimeDistributed: every axis moves up by one"""
    inner = keras.Sequential([L.Conv1D(4, 2, input_shape=(6, 3)), L.Lambda(channel_normalization), L.Lambda(step(0))], name="inner")
    x = keras.Input((5, 6, 3))
    y = L.TimeDistributed(L.Lambda(channel_normalization))(x)
    y = L.TimeDistributed(L.Lambda(lambda t: t[:, -1]))(y)
    return keras.Model(x, L.Dense(2)(L.Concatenate()([y, L.TimeDistributed(inner)(x)])))


def indexing():
    """slices of all kinds, with numbers out of defaults, of the layer's arguments and of a closure"""
    x, cut = keras.Input((6, 3)), 2
    parts = [lambda t: t[..., 0], lambda t: t[:, :, None, 1], lambda t, i=2: t[:, i], lambda t: t[:, :-cut, :], lambda t: t[:, ::-1, 1:]]
    outputs = [L.Flatten()(L.Lambda(part)(x)) for part in parts]
    outputs.append(L.Lambda(lambda t, k: t[:, k], arguments={"k": 1})(x))
    return keras.Model(x, [L.Dense(2)(L.Concatenate()(outputs)), L.Lambda(step(-2), name="the_output")(x)])


def sampling(args):
    z_mean, z_log_var = args
    batch, dim = K.shape(z_mean)[0], K.int_shape(z_mean)[1]
    epsilon = K.random_normal(shape=(batch, dim), mean=0.0, stddev=1.0)
    return z_mean + K.exp(0.5 * z_log_var) * epsilon


def vae_sampling():
    """a variational autoencoder that samples in predictions, too: its third output is another in each run"""
    x = keras.Input((6,))
    mean, log_var = L.Dense(2, name="mean")(x), L.Dense(2, name="log_var")(x)
    z = L.Lambda(sampling, output_shape=(2,), name="z")([mean, log_var])
    of_tf = L.Lambda(lambda p: p[0] + tf.random.normal(tf.shape(p[0]), stddev=2.0) * p[1], name="of_tf")([mean, log_var])
    return keras.Model(x, [mean, log_var, z, of_tf])


def untranslatable():
    """a Lambda whose code has a branch: refused, with the instruction and what was read so far"""
    x = keras.Input((6,))

    def doubled(t, twice=True):
        y = K.abs(t)
        if twice:
            y = y * 2
        return y

    return keras.Model(x, L.Dense(2)(L.Lambda(doubled, name="doubled")(L.Dense(3)(x))))


CASES = {"vae-sampling": vae_sampling, "untranslatable-refused": untranslatable, "shared-calls": shared_calls, "nested-sequential": nested_sequential, "time-distributed": time_distributed, "indexing": indexing}


def main():
    model = CASES[CASE]()
    rng = np.random.RandomState(1)
    model.set_weights([rng.normal(size=w.shape) * 0.5 for w in model.get_weights()])
    inputs = [rng.normal(size=[3] + [int(n) for n in tensor.shape[1:]]).astype("float32") for tensor in model.inputs]
    predictions = model.predict(inputs if len(inputs) > 1 else inputs[0])
    predictions = predictions if isinstance(predictions, list) else [predictions]
    OUT.mkdir(parents=True)
    model.save(str(OUT / "old.h5"))
    arrays = {"x%d" % n: x for n, x in enumerate(inputs)}
    arrays.update({"y%d" % n: y for n, y in enumerate(predictions)})
    if CASE not in ("vae-sampling", "untranslatable-refused"):
        np.savez_compressed(str(OUT / "golden.npz"), **arrays)
    refused = {"expect": "refused", "mentions": ["doubled", "branch", "K.abs(x)"]} if CASE == "untranslatable-refused" else {}
    case = {
        "source": "old.h5",
        "expect": "exact",
        **refused,
        "tags": ["healthy", "lambda"],
        "made_with": {"python": sys.version.split()[0], "tensorflow": tf.__version__, "keras": KERAS},
        "peculiarity": CASES[CASE].__doc__,
    }
    (OUT / "case.json").write_text(json.dumps(case, indent=1) + "\n")


main()
