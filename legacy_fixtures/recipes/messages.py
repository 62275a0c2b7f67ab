"""Fixtures `messages`: one small file for each message with which Keras 3 answers files of Keras 2.

    python messages.py OUT      writes those of its environment below OUT

Made with Python 3.7, keras 2.2.4 and tensorflow 1.15.0 (`keras22`), and Python 3.8 and tensorflow 2.4.4 (`tf24`);
`axis-of-a-norm` and `query-shape` with Python 3.11 and tensorflow 2.15.1.
"""
import json
import os
import sys
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
import h5py  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

OF_TENSORFLOW = tf.__version__.startswith("2.")
if OF_TENSORFLOW:
    from tensorflow import keras
else:
    import keras
L = keras.layers
OUT = Path(sys.argv[1])


def kernel_shape():
    return keras.Sequential([L.Conv2D(3, 2, input_shape=(5, 5, 2)), L.Flatten(), L.Dense(2)])


def dense():
    x = keras.Input((4,))
    return keras.Model(x, L.Dense(2)(x))


def conv2d_transpose():
    x = keras.Input((4, 4, 2))
    return keras.Model(x, L.Conv2DTranspose(3, 2, strides=2)(x))


def slash():
    x = keras.Input((4,))
    return keras.Model(x, L.Dense(2, name="block/dense")(x))


def axis_of_a_norm():
    x = keras.Input((3, 4, 2))
    return keras.Model(x, L.TimeDistributed(L.BatchNormalization())(x))


def query_shape():
    x = keras.Input((3, 4))
    return keras.Model(x, L.MultiHeadAttention(2, 2)(x, x))


def time_distributed():
    x = keras.Input((3, 4))
    return keras.Model(x, L.TimeDistributed(L.Dense(2))(x))


def policy():
    x = keras.Input((4,))
    y = L.Dense(3, dtype=keras.mixed_precision.experimental.Policy("mixed_float16"))(x)
    return keras.Model(x, L.Dense(2, dtype="float32")(y))


def two_inputs():
    image = keras.Input((4, 4, 3))
    base = keras.Model(image, L.Conv2D(3, 2)(image), name="base")
    model = keras.Sequential([base, L.GlobalAveragePooling2D(), L.Dense(2, name="dense")], name="head")
    model.build((None, 4, 4, 3))
    return model


def shared():
    inner_in = keras.Input((4,))
    inner = keras.Model(inner_in, L.Dense(4)(inner_in), name="inner")
    x = keras.Input((4,))
    return keras.Model(x, inner(inner(x)))


CASES = {
    "2.15.1": {"axis-of-a-norm": axis_of_a_norm, "query-shape": query_shape},
    "2.4.4": {
        "conv2d-transpose": conv2d_transpose,
        "slash": slash,
        "time-distributed": time_distributed,
        "policy": policy,
        "two-inputs": two_inputs,
        "shared": shared,
    },
    "1.15.0": {"kernel-shape": kernel_shape, "list-of-layers": kernel_shape, "learning-rate": dense},
}


def main():
    version = {"2.4.4": "2.4.0", "2.15.1": "2.15.0"}.get(tf.__version__, "2.2.4")
    for name, make in CASES[tf.__version__].items():
        model, rng = make(), np.random.RandomState(1)
        model.set_weights([np.abs(rng.normal(size=w.shape)) + 0.1 for w in model.get_weights()])
        inputs = [rng.normal(size=[2] + [int(n) for n in t.shape[1:]]).astype("float32") for t in model.inputs]
        predictions = model.predict(inputs if len(inputs) > 1 else inputs[0])
        folder = OUT / name
        folder.mkdir(parents=True)
        if name == "learning-rate":
            model.compile(keras.optimizers.Adam(lr=1e-4), "mse")
        model.save(str(folder / "old.h5"))
        if name == "list-of-layers":  # as Keras up to 2.2.2 stored a Sequential: the list alone
            with h5py.File(str(folder / "old.h5"), "r+") as file:
                config = json.loads(file.attrs["model_config"].decode())
                config["config"] = config["config"]["layers"]
                file.attrs["model_config"] = json.dumps(config).encode()
                file.attrs["keras_version"] = b"2.2.2"
        arrays = {"x%d" % number: x for number, x in enumerate(inputs)}
        np.savez_compressed(str(folder / "golden.npz"), y0=predictions, **arrays)
        made_with = {"python": sys.version.split()[0], "tensorflow": tf.__version__, "keras": version}
        case = {"source": "old.h5", "expect": "exact", "tags": ["healthy", "no-tcn"], "made_with": made_with}
        case["peculiarity"] = "a message of Keras 3: tests/test_messages.py"
        if name == "policy":
            case["tolerance"] = 5e-3  # float16 has 11 bits, and is summed in another order
        (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")


main()
