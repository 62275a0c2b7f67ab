"""Fixtures `operators`: functions of TensorFlow applied to the tensors between layers, all in one model.

    python operators.py ENV OUT

ENV names the environment it runs in, and so the case that it makes:
    tf21   Python 3.7, tensorflow 2.1.4, h5py 2.10     (TensorFlowOpLayer; tensorflow 1.15.0 writes the same: tf115)
    tf215  Python 3.11, tensorflow 2.15.1              (TFOpLambda, SlicingOpLambda; tensorflow 2.4.4 writes the same: tf24)
In HDF5, TensorFlow 1.15 and 2.1 cannot save operators whose name has a slash, such as those of `tf.clip_by_value`: left out there.
"""
import json
import os
import sys
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow import keras  # noqa: E402

ENV, OUT = sys.argv[1], Path(sys.argv[2])
VERSION = {"tf115": "2.2.4-tf", "tf21": "2.3.0-tf", "tf24": "2.4.0", "tf215": "2.15.0"}[ENV]
NODES = ENV in ("tf115", "tf21")
CHANNELS = (np.arange(4) + 0.5).astype("float32")
TAPS = np.random.RandomState(2).normal(size=(3, 4, 2)).astype("float32")
SQUARE = np.random.RandomState(0).normal(size=(4, 2)).astype("float32")


def plus(x):
    return tf.abs(x) + 0.1


def number(x):
    return tf.cast(x, tf.float32)


def functions(x):
    """Everything that a person may write on a tensor of shape (batch, 6, 4)."""
    yield from (x * 2.0, 2.0 * x, x + 1, 1 + x, x - 0.5, 1.0 - x, x / 3.0, 3.0 / plus(x), x // 0.3, x % 0.3, 1.7 % plus(x), x**2, 2.0**x, plus(x) ** 0.5, -x, x * x)
    yield from (x * CHANNELS, CHANNELS - x, x / CHANNELS, x + tf.constant(CHANNELS), x * np.float32(1.5), tf.nn.bias_add(x, CHANNELS))
    yield from (tf.add(x, 1.5), tf.multiply(x, plus(x)), tf.subtract(2.0, x), tf.divide(x, 2.0), tf.math.squared_difference(x, plus(x)), tf.math.floormod(x, 0.7))
    yield from (tf.math.divide_no_nan(x, tf.nn.relu(x)), tf.add_n([x, x, plus(x)]), tf.atan2(x, plus(x)), tf.pow(plus(x), 1.5), tf.maximum(x, 0.1), tf.minimum(x, tf.nn.relu(x) - 0.2))
    for name in "abs exp square sign floor ceil sin cos tan tanh sinh cosh asinh atan sigmoid softplus expm1 erf round".split():
        yield getattr(tf.math, name)(x)
    for name in "sqrt rsqrt log log1p reciprocal".split():
        yield getattr(tf.math, name)(plus(x))
    for name in "relu relu6 elu selu softplus softsign leaky_relu tanh sigmoid softmax log_softmax".split():
        yield getattr(tf.nn, name)(x)
    yield from (tf.nn.leaky_relu(x, alpha=0.3), tf.acos(tf.tanh(x)), tf.asin(tf.tanh(x)), tf.atanh(tf.tanh(x) * 0.9))
    for name in "sum mean max min prod".split():
        reduce = getattr(tf, "reduce_" + name)
        yield from (reduce(x, axis=1), reduce(x, axis=[1, 2], keepdims=True), reduce(x, -1))
    yield from (number(tf.reduce_any(x > 0.5, axis=1)), number(tf.reduce_all(x > -1.5, axis=-1)), number(tf.argmax(x, axis=-1)), number(tf.argmin(x, axis=1)))
    for name in "greater greater_equal less less_equal equal not_equal".split():
        yield from (number(getattr(tf.math, name)(x, tf.nn.relu(x))), number(getattr(tf, name)(x, 0.0)))
    yield from (number(tf.logical_and(x > 0, x < 1)), number(tf.logical_or(x < 0, x > 1)), number(tf.logical_not(x < 0)), tf.where(x > 0, x, -2 * x), tf.where(x > 0, tf.zeros_like(x), x))
    yield from (x[:, -1, :], x[:, -1], x[:, 2:, :3], x[:, :-2], x[:, ::-1], x[:, 1::2, :], x[:, None], x[:, -3:-1, -1:], x[:, 1, 2], x[:])
    yield from (x[..., 0], x[..., 1:3], x[..., tf.newaxis], x[:, 0, ..., 1])
    yield from (tf.slice(x, [0, 1, 0], [-1, 3, 2]), tf.strided_slice(x, [0, 1, 0], [2, 5, 4], [1, 2, 1]), tf.gather(x, [0, 2, 2], axis=1), tf.gather(x, 3, axis=-1))
    yield from (tf.reshape(x, (-1, 24)), tf.reshape(x, [-1, 3, 8]), tf.transpose(x, [0, 2, 1]), tf.concat([x, -x], -1), tf.concat([x, x, plus(x)], axis=1), tf.stack([x, -x], axis=1), tf.stack([x, x], -1))
    yield from (tf.expand_dims(x, 1), tf.squeeze(tf.expand_dims(x, 2), axis=2), number(tf.cast(x * 3, tf.int32)), tf.identity(x) + 1, tf.stop_gradient(x) * 2, tf.one_hot(tf.cast(x > 0, tf.int32), 2))
    yield from (tf.matmul(x, tf.transpose(x, [0, 2, 1])), tf.matmul(x, x, transpose_b=True), tf.matmul(x, x, transpose_a=True))
    yield from (tf.cumsum(x, axis=1), tf.cumsum(x, axis=1, exclusive=True), tf.cumsum(x, 1, reverse=True), tf.cumsum(x, axis=1, exclusive=True, reverse=True), tf.math.cumprod(x, axis=-1))
    yield from (tf.tile(x, [1, 2, 1]), tf.reverse(x, [1]), tf.roll(x, 2, axis=1), tf.pad(x, [[0, 0], [2, 0], [0, 0]]), tf.pad(x, [[0, 0], [1, 1], [0, 0]], constant_values=1.5), tf.pad(x, [[0, 0], [2, 1], [0, 0]], mode="REFLECT"))
    yield from (tf.split(x, 2, axis=-1)[1], tf.split(x, [1, 3], -1)[1], tf.unstack(x, axis=1)[2], tf.linalg.band_part(tf.matmul(x, x, transpose_b=True), -1, 0), tf.sqrt(tf.reduce_sum(tf.square(x), axis=-1) + 1e-6), x - tf.reduce_mean(x))
    if NODES:
        yield tf.einsum("btf,bsf->bts", x, x) if ENV == "tf21" else tf.tanh(x)
        return
    yield from (tf.clip_by_value(x, -0.5, 0.7), tf.matmul(x, SQUARE), tf.tensordot(x, tf.constant(SQUARE), axes=1), tf.ones_like(x) + x, tf.math.l2_normalize(x, axis=-1), tf.norm(x, axis=-1), tf.norm(x, ord=1, axis=1, keepdims=True))
    yield from (tf.math.reduce_std(x, axis=1), tf.math.reduce_variance(x, axis=-1, keepdims=True), tf.math.reduce_logsumexp(x, axis=1), tf.math.log_sigmoid(x), tf.nn.silu(x), tf.nn.gelu(x), tf.nn.gelu(x, approximate=True))
    yield from (tf.reshape(x, [tf.shape(x)[0], 24]), tf.reshape(x, [tf.shape(x)[0], -1]), tf.repeat(x, 2, axis=1), tf.sort(x, axis=1), tf.sort(x, axis=-1, direction="DESCENDING"), number(tf.argsort(x, axis=1)), tf.math.top_k(x, k=2)[0])
    yield from (tf.nn.avg_pool1d(x, 2, 2, "VALID"), tf.nn.max_pool1d(x, 2, 2, "SAME"), tf.where(x > 0, x, 0.0), tf.where(x > 0, 1.0, x), tf.math.scalar_mul(0.3, x), keras.backend.batch_flatten(x))
    mean, image = tf.reduce_mean(x, 1, keepdims=True), tf.reshape(x, (-1, 3, 2, 4))
    yield from (tf.nn.silu(x, beta=1.5), tf.broadcast_to(mean, tf.shape(x)), tf.broadcast_to(mean, [tf.shape(x)[0], 5, 4]))
    yield from (tf.nn.conv1d(x, TAPS, 1, "SAME"), tf.nn.conv1d(x, TAPS, stride=2, padding="VALID"), tf.nn.conv1d(x, TAPS, stride=1, padding="VALID", dilations=2))
    yield from (tf.nn.conv2d(image, TAPS[:, None], 1, "SAME"), tf.nn.conv2d(image, TAPS[:, None], [1, 1, 1, 1], "SAME", dilations=[1, 2, 1, 1]))


def main():
    inputs = keras.Input((6, 4))
    outputs = [tensor for tensor in functions(inputs)]
    dense = keras.layers.Dense(3)(inputs)
    model = keras.Model(inputs, outputs + [dense])
    rng = np.random.RandomState(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    x = rng.normal(size=(2, 6, 4)).astype("float32")
    OUT.mkdir(parents=True)
    model.save(str(OUT / "old.h5"))
    predictions = model.predict(x)
    np.savez_compressed(str(OUT / "golden.npz"), x0=x, **{"y%03d" % n: y.astype("float32") for n, y in enumerate(predictions)})
    case = {
        "source": "old.h5",
        "expect": "exact",
        "tags": ["healthy", "operators"],
        "made_with": {"python": sys.version.split()[0], "tensorflow": tf.__version__, "keras": VERSION},
        "peculiarity": "%d functions of TensorFlow on the tensors between layers, as %s"
        % (len(outputs), "TensorFlowOpLayer" if NODES else "TFOpLambda and SlicingOpLambda"),
    }
    (OUT / "case.json").write_text(json.dumps(case, indent=1) + "\n")


main()
