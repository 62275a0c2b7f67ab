"""Folders of TensorFlow.js (`model.json` and shards), as its own converter writes them: what `tensorflowjs/` holds.

    python tensorflowjs_folders.py FOLDER KERAS_TCN_RELEASE

Runs with TensorFlow 2.15 and tensorflowjs 3.18.0, which still asks NumPy for names that NumPy 1.24 removed.
"""
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
np.object, np.bool, np.int = object, bool, int
import tensorflow as tf
import tensorflowjs as tfjs
from tcn import TCN
keras = tf.keras
folder, release = sys.argv[1:3]


def randomize(model):
    rng = np.random.RandomState(7)
    model.predict([np.ones((2, *i.shape[1:]), "float32") for i in model.inputs], verbose=0)  # weight norm's first call
    model.set_weights([w if not w.shape else np.abs(rng.randn(*w.shape)).astype("float32") * 0.5 + 0.3 if "variance" in v.name
                       else rng.randn(*w.shape).astype("float32") * 0.4 for v, w in zip(model.weights, model.get_weights())])


def functional():
    i = keras.layers.Input((12, 3), name="series")
    t = TCN(nb_filters=4, kernel_size=3, dilations=(1, 2, 4), use_batch_norm=True, return_sequences=False, name="tcn")(i)
    return keras.Model(i, keras.layers.Dense(2, name="head")(t))


def sequential():
    return keras.Sequential([keras.layers.Input((10, 2)), TCN(nb_filters=3, dilations=(1, 2), use_weight_norm=True, return_sequences=True),
                             keras.layers.Bidirectional(keras.layers.LSTM(3)), keras.layers.Dense(1)])


def nested():
    a = keras.layers.Input((8, 2))
    inner = keras.Model(a, keras.layers.BatchNormalization()(TCN(nb_filters=3, dilations=(1, 2), use_layer_norm=True)(a)), name="encoder")
    i, j = keras.layers.Input((8, 2)), keras.layers.Input((8, 2))
    return keras.Model([i, j], keras.layers.Dense(1)(keras.layers.Concatenate()([inner(i), inner(j)])))


for name, build, extra in (("batch-norm-350", functional, {}), ("weight-norm-sequential-350", sequential, {"weight_shard_size_bytes": 300}),
                           ("nested-shared-350", nested, {}), ("quantized-350", functional, {"quantization_dtype_map": {"uint8": "*"}})):
    keras.backend.clear_session()
    keras.utils.set_random_seed(3)
    model = build()
    randomize(model)
    place = os.path.join(folder, name)
    os.makedirs(place, exist_ok=True)
    tfjs.converters.save_keras_model(model, os.path.join(place, "old"), **extra)
    rng = np.random.RandomState(11)
    inputs = [rng.randn(6, *shape[1:]).astype("float32") for shape in [i.shape for i in model.inputs]]
    recorded = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
    quantized = "quantized" in name
    if not quantized:
        np.savez_compressed(os.path.join(place, "golden.npz"), y0=recorded, **{f"x{k}": x for k, x in enumerate(inputs)})
    json.dump({"source": "old", "options": [], "expect": "refused" if quantized else "exact", "mentions": ["quantized"] if quantized else [],
               "tags": ["tensorflowjs"] + ([] if quantized else ["healthy"]),
               "made_with": {"python": ".".join(map(str, sys.version_info[:3])), "tensorflow": tf.__version__, "keras": json.load(open(os.path.join(place, "old", "model.json")))["modelTopology"]["keras_version"], "keras_tcn": release},
               "peculiarity": "a folder of TensorFlow.js, written by tensorflowjs " + tfjs.__version__ + (": weights as uint8" if quantized else "")},
              open(os.path.join(place, "case.json"), "w"), indent=1)
