"""Fixtures `operators/images-*`: convolutions, pools, norms and functions of keras.backend on images, between layers.

    python image_operators.py OUT

Made with Python 3.7 and tensorflow 1.15.0 (`images-tf115`: nodes of a graph), and Python 3.11 and tensorflow 2.15.1
(`images-tf215`: names of functions, and the same in Lambdas; tensorflow 2.4.4 writes the same).
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

OUT = Path(sys.argv[1])
VERSION = {"1.15.0": "2.2.4-tf", "2.4.4": "2.4.0", "2.15.1": "2.15.0"}[tf.__version__]
OLD = VERSION == "2.2.4-tf"
RNG = np.random.RandomState(3)
KERNEL = RNG.normal(size=(3, 2, 3, 4)).astype("float32")
PER_CHANNEL = RNG.normal(size=(3, 3, 3, 2)).astype("float32")
SQUARE = RNG.normal(size=(2, 3)).astype("float32")
MEAN, VARIANCE = RNG.normal(size=3).astype("float32"), RNG.uniform(0.5, 2, 3).astype("float32")


def of_tensorflow(x):
    """On a tensor of shape (batch, 8, 6, 3)."""
    yield tf.nn.conv2d(x, KERNEL, strides=[1, 2, 1, 1], padding="SAME")
    yield tf.nn.conv2d(x, KERNEL, strides=[1, 1, 1, 1], padding="VALID", dilations=[1, 2, 2, 1])
    yield tf.nn.depthwise_conv2d(x, PER_CHANNEL, strides=[1, 1, 1, 1], padding="SAME")
    yield tf.nn.max_pool2d(x, [1, 2, 3, 1], [1, 2, 1, 1], "VALID")
    yield tf.nn.avg_pool2d(x, [1, 3, 2, 1], [1, 2, 2, 1], "SAME")
    yield tf.nn.max_pool(x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")
    yield tf.nn.bias_add(x, MEAN)


def of_tensorflow_2(x):
    yield tf.nn.conv2d(x, KERNEL, 1, "SAME")
    yield tf.nn.avg_pool2d(x, 2, 2, "VALID")
    yield tf.nn.avg_pool(x, [2, 2], [1, 1], "VALID")
    yield tf.nn.max_pool3d(x[:, :, :, None], [1, 2, 2, 1, 1], [1, 1, 1, 1, 1], "SAME")
    yield tf.nn.conv3d(x[..., None], KERNEL[..., None, :2].reshape(3, 2, 3, 1, 2), [1, 1, 1, 1, 1], "VALID")
    yield tf.nn.batch_normalization(x, MEAN, VARIANCE, None, None, 1e-3)
    yield tf.nn.batch_normalization(x, MEAN, VARIANCE, MEAN * 2, VARIANCE + 1, 1e-2)
    yield tf.image.resize(x, (5, 9))
    yield tf.linalg.matvec(SQUARE, x)
    yield tf.linalg.matvec(x, MEAN)


def of_keras(x):
    """Functions of keras.backend; where they stand between layers, too, TensorFlow 2.4 to 2.15 stores their own names."""
    yield K.mean(x, axis=[1, 2])
    yield K.max(x, axis=-1, keepdims=True)
    yield K.l2_normalize(x, axis=-1)
    yield K.clip(x, -0.5, 0.5)
    yield K.sqrt(x)
    if VERSION == "2.15.0":  # before, with sizes that only a run of the model gives
        yield K.resize_images(x, 2, 3, "channels_last")
    yield K.expand_dims(x)
    yield K.concatenate([x, x])
    yield K.permute_dimensions(x, (0, 2, 1, 3))
    yield K.repeat_elements(x, 2, axis=2)
    yield K.repeat(x[:, 0, 0], 3)
    yield K.softmax(x)
    yield K.hard_sigmoid(x)
    yield K.relu(x, alpha=0.2)
    yield K.cast(K.argmax(x), "float32")
    yield K.one_hot(K.cast(x[:, 0, 0] > 0, "int32"), 2)
    yield K.batch_flatten(x)
    yield K.cast(K.any(x > 1.5, axis=-1), "float32")
    yield K.stack([x, -x], axis=-1)


def main():
    x = keras.Input((8, 6, 3), name="x")
    start = keras.layers.Dense(3, name="start")(x)
    outputs = list(of_tensorflow(start))
    if not OLD:
        outputs += [*of_tensorflow_2(start), *of_keras(start)]
        inside = {}
        inside["pool"] = lambda t: tf.nn.max_pool2d(t, 2, 2, "VALID") - tf.nn.avg_pool2d(t, ksize=2, strides=2, padding="VALID")
        inside["resized"] = lambda t: K.resize_images(t, 2, 2, "channels_last")
        inside["repeated"] = lambda t: K.repeat(t[:, 0, 0], 3)
        inside["many"] = lambda t: K.one_hot(K.argmax(t), 3) + K.hard_sigmoid(t) + K.elu(t, 0.5) - K.cast(K.any(t > 1, axis=-1, keepdims=True), "float32")
        inside["dot"] = lambda t: K.dot(t, K.transpose(t[0, 0]))
        inside["flipped"] = lambda t: tf.image.flip_left_right(t) - tf.image.flip_up_down(t)
        inside["bilinear"] = lambda t: tf.image.resize(t, [5, 9])
        inside["nearest"] = lambda t: tf.image.resize(t, size=(16, 12), method="nearest")
        outputs += [keras.layers.Lambda(function, name=name)(start) for name, function in sorted(inside.items())]
    outputs = [keras.layers.Activation("linear", name="y%03d" % number)(y) for number, y in enumerate(outputs)]
    model = keras.Model(x, outputs)
    rng = np.random.RandomState(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    image = rng.normal(size=(2, 8, 6, 3)).astype("float32")
    predictions = model.predict(image)
    OUT.mkdir(parents=True)
    model.save(str(OUT / "old.h5"))
    arrays = {"y%03d" % number: y for number, y in enumerate(predictions)}
    np.savez_compressed(str(OUT / "golden.npz"), x0=image, **arrays)
    case = {
        "source": "old.h5",
        "expect": "exact",
        "tags": ["healthy", "no-tcn"],
        "made_with": {"python": sys.version.split()[0], "tensorflow": tf.__version__, "keras": VERSION},
        "peculiarity": "convolutions, pools and norms with constants between layers" + ("" if OLD else ", functions of keras.backend, and both in Lambdas"),
    }
    (OUT / "case.json").write_text(json.dumps(case, indent=1) + "\n")
    print(VERSION, len(outputs), "outputs", sorted({str(l.get_config().get("function")) for l in model.layers if "Op" in type(l).__name__})[:60])


main()
