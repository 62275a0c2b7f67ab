"""Fixtures `formulas/expressions-*`: one model of many Lambdas, an output for each.

    python lambda_expressions.py OUT [.h5|.keras]

Made with Python 3.7, keras 2.3.1 and tensorflow 1.15.0 (`expressions-keras231`); Python 3.8 and tensorflow 2.4.4
(`expressions-tf24`); Python 3.11 and tensorflow 2.15.1 (`expressions-tf215`). What `drawn` draws differs by release.
"""
import json
import os
import random
import sys
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

OF_TENSORFLOW = tf.__version__.startswith("2.")
if OF_TENSORFLOW:
    from tensorflow import keras
    from tensorflow.keras import backend as K  # noqa: N812
else:
    import keras
    from keras import backend as K  # noqa: N812
L = keras.layers
OUT, SUFFIX = Path(sys.argv[1]), (sys.argv[2:] or [".h5"])[0]


def scaled(factor, shift=0.5):
    return lambda t: t * factor + shift


def local_variables(t):
    """A docstring, and a name that is used twice."""
    centred = t - K.mean(t, axis=1, keepdims=True)
    spread = K.mean(K.square(centred), axis=1, keepdims=True)
    return centred / K.sqrt(spread + 1e-3)


def swapped(pair):
    a, b = pair
    a, b = b, a
    return a - 2 * b


def mixture(pair):
    first, second = pair
    gate = K.sigmoid(first)
    gate *= 0.5
    total = gate * first
    total += (1 - gate) * second
    return total


def imported(t):
    import tensorflow as tf

    return tf.nn.relu(t) - tf.abs(t)


def imported_from(t):
    from tensorflow import transpose

    return transpose(t, perm=[0, 2, 1])


ONE = {
    "rescaled": lambda t: t / 127.5 - 1,
    "over_255": lambda t: t / 255 - 0.5,
    "reversed_operators": lambda t: 1.0 - 2.0 / (3.0 + K.abs(t)),
    "powers": lambda t: t**2 - (-t) ** 3,
    "floors": lambda t: t // 0.7 + t % 0.3,
    "closure": scaled(0.25),
    "default": scaled(-2.0, shift=1.5),
    "mean": lambda t: K.mean(t, axis=1),
    "sum_of_all_axes": lambda t: t - K.sum(t, axis=[1, 2], keepdims=True),
    "max_min": lambda t: K.max(t, axis=-1) - K.min(t, axis=-1),
    "std_var": lambda t: K.std(t, axis=1) + K.var(t, axis=1),
    "prod": lambda t: K.prod(t, axis=2, keepdims=True),
    "logsumexp": lambda t: tf.reduce_logsumexp(t, axis=-1),
    "l2": lambda t: K.l2_normalize(t, axis=1),
    "l2_of_tf": lambda t: tf.nn.l2_normalize(t, 2),
    "expanded": lambda t: K.expand_dims(t),
    "squeezed": lambda t: K.squeeze(K.expand_dims(t, axis=1), axis=1),
    "squeezed_by_tf": lambda t: tf.squeeze(t[:, :1, :], axis=1),
    "softmax": lambda t: K.softmax(t),
    "clipped": lambda t: K.clip(t, -0.5, 0.5),
    "roots": lambda t: K.sqrt(t) + K.exp(-K.square(t)) + K.log(K.abs(t) + 1.0),
    "relu": lambda t: K.relu(t, alpha=0.1) + K.relu(t, max_value=0.5) + K.elu(t),
    "hard_sigmoid": lambda t: K.hard_sigmoid(t) * K.tanh(t) * K.softplus(t) * K.softsign(t) + K.sign(t),
    "permuted": lambda t: K.permute_dimensions(t, (0, 2, 1)),
    "reshaped": lambda t: K.reshape(t, (-1, 9, 2)),
    "flattened": lambda t: K.batch_flatten(t),
    "repeated": lambda t: K.repeat_elements(t, 2, axis=1),
    "tiled": lambda t: K.tile(t, [1, 2, 1]),
    "reversed": lambda t: K.reverse(t, axes=1),
    "cumulated": lambda t: K.cumsum(t, axis=1),
    "argmax": lambda t: K.cast(K.argmax(t, axis=-1), "float32"),
    "compared": lambda t: K.cast(K.greater(t, 0.1), K.floatx()) - K.cast(t < -0.1, "float32"),
    "maximum": lambda t: K.maximum(t, 0.2) + K.minimum(t, K.epsilon()),
    "stacked": lambda t: K.stack([t[:, 0], t[:, -1]], axis=1),
    "joined": lambda t: K.concatenate([t[:, 1:], t[:, :1]], axis=1),
    "joined_thrice": lambda t: K.concatenate([t] * 3),
    "last_steps": lambda t: t[:, -1, :] + t[:, 0] * t[:, 1, :],
    "of_two_axes": lambda t: t[:, 1::2, ::-1],
    "ones_and_zeros": lambda t: K.ones_like(t) * 3 + K.zeros_like(t),
    "stopped": lambda t: K.stop_gradient(t) + t,
    "math_of_numpy": lambda t: t * np.sqrt(2.0) + np.pi / 4,
    "array": lambda t: t * np.array([0.5, 1.0, 2.0]) - tf.constant([1.0, 2.0, 3.0]),
    "reduced_by_tf": lambda t: tf.reduce_mean(t, axis=1) - tf.reduce_max(t, 1) + tf.reduce_sum(t, axis=[1]),
    "activations_of_tf": lambda t: tf.nn.sigmoid(t) + tf.nn.tanh(t) + tf.nn.leaky_relu(t, alpha=0.3) + tf.nn.elu(t),
    "softmax_of_tf": lambda t: tf.nn.softmax(t, axis=1),
    "padded": lambda t: tf.pad(t, [[0, 0], [1, 2], [0, 0]]),
    "where": lambda t: tf.where(t > 0, t, 0.1 * t),
    "split": lambda t: tf.split(t, 3, axis=2)[1],
    "local_variables": local_variables,
    "imported": imported,
    "imported_from": imported_from,
    "batch_kept": lambda t: tf.reshape(t, [tf.shape(t)[0], 18]),
    "length_one": lambda t: tf.unstack(t, axis=1)[2],
}
TWO = {
    "difference": lambda p: K.abs(p[0] - p[1]),
    "distance": lambda p: K.sqrt(K.maximum(K.sum(K.square(p[0] - p[1]), axis=-1, keepdims=True), K.epsilon())),
    "cosine": lambda p: K.sum(K.l2_normalize(p[0], axis=-1) * K.l2_normalize(p[1], axis=-1), axis=-1),
    "batch_dot": lambda p: K.batch_dot(p[0], p[1], axes=[2, 2]),
    "swapped": swapped,
    "mixture": mixture,
    "sum_of_list": lambda p: sum([p[0], p[1], p[0]]),
    "stack_of_list": lambda p: K.mean(K.stack(p, axis=0), axis=0),
    "merged": lambda p: K.concatenate(p, axis=-1),
    "matmul": lambda p: tf.matmul(p[0], p[1], transpose_b=True),
}
ONLY_TENSORFLOW_2 = {
    "method": lambda t: tf.math.reduce_std(t, axis=1) + tf.math.squared_difference(t[:, 0], 1.0),
    "layers": lambda t: keras.layers.add([t, t]) * keras.layers.multiply([t, t]),
    "activation": lambda t: keras.activations.relu(t) + keras.activations.tanh(t),
    "equal": lambda t: tf.cast(t == t, tf.float32) + tf.cast(tf.not_equal(t, 0.0), "float32"),
    "unpacked": lambda t: tf.unstack(t, axis=2),
    "normalized": lambda t: tf.math.l2_normalize(t, axis=1, epsilon=1e-6),
    "resized": lambda t: tf.image.resize(t[..., None], (3, 5))[..., 0],
    "two_results": lambda t: (t + 1, t - 1),
    "wide": lambda t: tf.concat([t, tf.zeros_like(t), tf.ones_like(t)], axis=-1),
    "einsum": lambda t: tf.einsum("bij,bkj->bik", t, t),
    "gelu": lambda t: tf.nn.gelu(t) + tf.nn.silu(t),
}
UNARY = ["K.abs({})", "K.exp(-K.square({}))", "K.tanh({})", "-{}", "K.softmax({})", "K.l2_normalize({}, axis=-1)", "{}[:, ::-1]"]
UNARY += ["K.clip({}, -1.0, 1.0)", "K.sigmoid({})", "tf.nn.relu({})", "K.mean({}, axis=1, keepdims=True)", "K.square({})", "({} * 0.5)"]
BINARY = ["({} + {})", "({} - {})", "({} * {})", "K.maximum({}, {})", "({} / (1.0 + K.square({})))", "K.minimum({}, {})"]


def drawn(rng, depth):
    """A formula drawn at random."""
    if not depth or rng.random() < 0.15:
        return rng.choice(["t", "t", "%.2f" % rng.uniform(-2, 2), "t[:, :1]"])
    if rng.random() < 0.5:
        return rng.choice(UNARY).format("(%s + t)" % drawn(rng, depth - 1))
    return rng.choice(BINARY).format(drawn(rng, depth - 1), drawn(rng, depth - 1))


def main():
    version = keras.__version__ if not OF_TENSORFLOW else {"2.4.4": "2.4.0", "2.15.1": "2.15.0"}[tf.__version__]
    x, z = keras.Input((6, 3), name="x"), keras.Input((6, 3), name="z")
    start = L.Dense(3, name="start")(x)
    outputs = []
    for name, function in sorted(ONE.items()):
        outputs.append(L.Lambda(function, name=name)(start))
    for name, function in sorted(TWO.items()):
        outputs.append(L.Lambda(function, name=name)([start, z]))
    for name, function in sorted(ONLY_TENSORFLOW_2.items()) if OF_TENSORFLOW else ():
        more = L.Lambda(function, name=name)(start)
        outputs += more if isinstance(more, (list, tuple)) else [more]
    rng = random.Random(version)
    for number in range(12):
        source = "lambda t: %s + 0 * t" % drawn(rng, 4)
        outputs.append(L.Lambda(eval(source), name="drawn_%02d" % number)(start))
    each = L.TimeDistributed(L.Lambda(lambda t: K.abs(t) / K.max(t, 1, keepdims=True)), name="each")(L.Reshape((2, 3, 3))(start))
    outputs.append(each)
    outputs.append(L.Lambda(lambda t, k, axis: K.sum(t, axis=axis) * k, arguments={"k": 3, "axis": 1}, name="arguments")(start))
    model = keras.Model([x, z], outputs)
    rng = np.random.RandomState(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    inputs = [rng.normal(size=(2, 6, 3)).astype("float32") for _ in range(2)]
    predictions = model.predict(inputs)
    OUT.mkdir(parents=True)
    model.save(str(OUT / ("old" + SUFFIX)))
    arrays = {"x%d" % n: x for n, x in enumerate(inputs)}
    arrays.update({"y%03d" % n: y for n, y in enumerate(predictions)})
    np.savez_compressed(str(OUT / "golden.npz"), **arrays)
    case = {
        "source": "old" + SUFFIX,
        "expect": "exact",
        "tags": ["healthy", "lambda", "no-tcn"],
        "made_with": {"python": sys.version.split()[0], "tensorflow": tf.__version__, "keras": version},
        "peculiarity": "%d Lambdas, each an output: arithmetic, functions of K and tf, several inputs and results, drawn formulas" % len(model.layers),
    }
    (OUT / "case.json").write_text(json.dumps(case, indent=1) + "\n")
    print(version, len(outputs), "outputs")


main()
