"""Fixtures `keras2`: models with class TCN (keras-tcn 2.9.0 to 3.5.4) in the Keras 2 of TensorFlow 1.15 to 2.15.

    python keras2.py RELEASES OUT [CASE...]

makes the cases that belong to the TensorFlow that runs it (a case's `env`): Python 3.7 with 1.15.0 and 2.1.4 (h5py 2.10),
Python 3.8 with 2.4.4, 2.6.5, 2.8.4, 2.10.1 and 2.13.1, Python 3.11 with 2.12.1 and 2.15.1; tensorflow-addons of the day (0.13.0
for 2.4, 0.17.1 for 2.8, 0.21.0 for 2.12, 0.23.0 for 2.15) where weight normalization is used; with TF_USE_LEGACY_KERAS=1 Python 3.11
with 2.21.0 and tf_keras 2.21.0. RELEASES holds the unpacked wheels of keras-tcn, one folder a release (RELEASES/3.1.2/tcn/tcn.py).
"""
import importlib
import json
import os
import platform
import re
import shutil
import sys
import warnings
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
warnings.filterwarnings("ignore")
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

tf.compat.v1.logging.set_verbosity("ERROR")
keras, K = tf.keras, tf.keras.backend
Input, Model, Dense, Sequential = keras.layers.Input, keras.Model, keras.layers.Dense, keras.Sequential
ENV = "tf" + "".join(tf.__version__.split(".")[:2])
CASES = []


class Release:
    """The keras-tcn release of the case under way: `tcn.TCN`, `tcn.compiled_tcn`."""

    def use(self, folder):
        for name in [n for n in sys.modules if n.split(".")[0] == "tcn"]:
            del sys.modules[name]
        sys.path.insert(0, str(folder))
        module = importlib.import_module("tcn")
        sys.path.pop(0)
        self.TCN, self.compiled_tcn = module.TCN, module.compiled_tcn
        self.classes = {"TCN": module.TCN, "ResidualBlock": sys.modules["tcn.tcn"].ResidualBlock}


tcn = Release()


def case(env, release, save, name, peculiarity, **more):
    """Register the function that builds the model (or, for one that is not Keras's, saves it itself)."""
    def add(build):
        CASES.append(dict(env=env, release=release, save=save, name=name, peculiarity=peculiarity, build=build, **more))
        return build
    return add


def chain(shape, *layers):
    """Functional model: input, the layers one after another."""
    x = first = Input(shape)
    for layer in layers:
        x = layer(x)
    return Model(first, x)


def draw(model, seed):
    """Every variable gets a value that matters to the output."""
    rng = np.random.RandomState(seed)
    for variable in model.weights:
        kind = re.sub(r"(_\d+)?(:0)?$", "", variable.name.split("/")[-1])
        shape = tuple(int(d) for d in variable.shape)
        if kind == "initialized":  # of tensorflow-addons' WeightNormalization: a call has been made, g and bias are final
            value = True
        elif kind in ("gamma", "moving_variance", "g"):
            value = rng.uniform(0.5, 1.5, shape)
        elif "kernel" in kind:
            value = rng.normal(size=shape) * (1.3 / max(np.prod(shape[:-1]), 1) ** 0.5)
        else:
            value = rng.normal(size=shape) * (1.0 if kind == "embeddings" else 0.3)
        K.set_value(variable, value)


def predictions(model, inputs):
    y = model.predict_on_batch(inputs if len(inputs) > 1 else inputs[0])
    y = list(y.values()) if isinstance(y, dict) else y if isinstance(y, (list, tuple)) else [y]
    return [np.asarray(each) for each in y]


def save(model, how, folder, **more):
    """Write the model as `how` says; returns the source's name and the options that go with it."""
    given = ["--architecture", "{case}/model.json"]
    if how in ("weights", "weights-v3", "checkpoint"):
        (folder / "model.json").write_text(model.to_json())
    if how == "h5":
        model.save(str(folder / "old.h5"))
        return "old.h5", []
    if how == "weights":
        model.save_weights(str(folder / "old.h5"))
        return "old.h5", given
    if how == "weights-v3":
        model.save_weights(str(folder / "old.weights.h5"))
        return "old.weights.h5", given
    if how == "keras":
        model.save(str(folder / "old.keras"), **({"save_format": "keras_v3"} if ENV == "tf212" else {}))
        return "old.keras", []
    if how == "checkpoint":
        model.save_weights(str(folder / "old"), save_format="tf")
        return "old.index", given
    if how == "savedmodel":
        model.save(str(folder / "old"), save_format="tf", **more)
        return "old", []
    raise SystemExit(how)


def reload(case, folder, model):
    """What the old library itself makes of its file."""
    with keras.utils.custom_object_scope(tcn.classes):
        if case["save"] in ("h5", "keras"):
            return keras.models.load_model(str(folder / ("old." + case["save"])), compile=False)
        if case["save"] == "savedmodel":
            return keras.models.load_model(str(folder / "old"), compile=False)
        again = keras.models.model_from_json((folder / "model.json").read_text())
    again.load_weights(str(folder / {"weights": "old.h5", "weights-v3": "old.weights.h5", "checkpoint": "old"}[case["save"]]))
    return again


def idle(model, inputs, wanted):
    """Names of the variables whose value makes no difference to the predictions."""
    names = []
    for variable in model.weights:
        before = K.get_value(variable)
        if before.dtype == bool:
            continue
        K.set_value(variable, before * 0.6 + 0.17)
        if all(np.abs(a - b).max() <= 1e-4 * b.std() for a, b in zip(predictions(model, inputs), wanted)):
            names.append(variable.name)
        K.set_value(variable, before)
    return names


def make(case, releases, out):
    folder = Path(out) / case["name"]
    shutil.rmtree(str(folder), ignore_errors=True)
    folder.mkdir(parents=True)
    K.clear_session()
    seed = sum(map(ord, case["name"]))
    np.random.seed(seed)
    (tf.random.set_seed if hasattr(tf.random, "set_seed") else tf.compat.v1.set_random_seed)(seed)
    tcn.use(Path(releases) / case["release"])
    model = case["build"]()
    rng = np.random.RandomState(seed)
    inputs = []
    for tensor in model.inputs:
        shape = [3] + [int(d) if d is not None else case.get("steps", 10) for d in tensor.shape.as_list()[1:]]
        low = case.get("tokens")
        inputs.append((rng.randint(0, low, shape) if low else rng.normal(size=shape)).astype("float32"))
    if case.get("train"):
        model.train_on_batch(inputs if len(inputs) > 1 else inputs[0],
                             [np.zeros([3] + case["train"], "float32")] * len(model.outputs))
    tries = []
    for attempt in range(12):  # a relu may shut off what stands before it: draw until every variable matters
        draw(model, seed + 1000 * attempt)
        golden = predictions(model, inputs)
        dead = not all(np.isfinite(y).all() and y.std() > 0.02 for y in golden)
        left = ["all"] * 99 if dead else [n for n in idle(model, inputs, golden) if "data_dep_init" not in n]
        tries.append((len(left), attempt, left))
        if not left or (attempt > 3 and left == tries[-2][2] == tries[-3][2]):
            break
    _, attempt, left = min(tries)
    draw(model, seed + 1000 * attempt)
    golden = predictions(model, inputs)
    source, options = (case["write"](model, folder) if "write" in case else save(model, case["save"], folder, **case.get("saved_with", {})))
    if case.get("expect", "exact") == "exact":
        arrays = {"x%d" % i: x for i, x in enumerate(inputs)}
        arrays.update(("y%d" % i, y.astype("float32")) for i, y in enumerate(golden))
        np.savez_compressed(str(folder / "golden.npz"), **arrays)
    else:
        options = []
        for name in ["model.json"]:
            if (folder / name).exists():
                (folder / name).unlink()
    where = "tf_keras" if ENV == "tf221" else "keras" if ENV in ("tf26", "tf28", "tf210", "tf212", "tf213", "tf215") else "tensorflow.python.keras"
    version = importlib.import_module(where).__version__
    spec = {"source": source, "options": options + case.get("options", []), "expect": case.get("expect", "exact"),
            "mentions": case.get("mentions", []), "tags": case.get("tags", ["healthy"]) + case.get("kind", [
                {"keras": "keras-zip", "weights": "weights-json", "weights-v3": "weights-json"}.get(case["save"], case["save"])]),
            **({"tolerance": case["tolerance"]} if "tolerance" in case else {}),
            "made_with": {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": version,
                          "keras_tcn": case["release"]}, "peculiarity": case["peculiarity"]}
    (folder / "case.json").write_text(json.dumps(spec, indent=1) + "\n")
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print("%-44s %6.1f kB  idle %s" % (case["name"], size / 1000, [n[-60:] for n in left[:4]] or "none"), end="  ", flush=True)
    if case.get("expect", "exact") == "exact" and "write" not in case:
        try:
            again = predictions(reload(case, folder, model), inputs)
            print("reload off by %.1e" % max(np.abs(a - b).max() / b.std() for a, b in zip(again, golden)))
        except Exception as error:  # the old library cannot load its own file: worth knowing
            print("RELOAD FAILS: %s: %s" % (type(error).__name__, " ".join(str(error).split())[:160]))
    else:
        print()
    shutil.rmtree(str(folder / "old" / "assets"), ignore_errors=True)


def main():
    releases, out, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    if ENV == "tf115" and any(c["env"] == "tf115v2" and c["name"] in names for c in CASES):
        tf.compat.v1.enable_v2_behavior()
    for each in CASES:
        if (each["env"] == ENV or each["name"] in names) and (not names or each["name"] in names):
            try:
                make(each, releases, out)
            except Exception as error:
                if os.environ.get("DEBUG"):
                    raise
                print("%s FAILED: %s: %s" % (each["name"], type(error).__name__, " ".join(str(error).split())[:300]), flush=True)


# fmt: off
# ------------------------------------------------------------------------------------------------ TensorFlow 1.15
@case("tf115", "2.9.0", "h5", "layer-norm-not-in-config-290", "2.9.0 forgets use_layer_norm in its config (keras-tcn issue 104): gamma and beta without moving statistics, and no key that says so; TF1 makes the names unique as gamma_1:0")
def _(): return chain((11, 3), tcn.TCN(4, 2, dilations=[1, 2], use_layer_norm=True), Dense(2))

@case("tf115", "2.9.0", "h5", "same-last-step-290", "padding 'same' without return_sequences: 2.9.0 (the config lacks use_layer_norm) takes the last step, later ones the middle one")
def _(): return chain((12, 2), tcn.TCN(5, 3, dilations=[1, 2], padding="same"), Dense(2))

@case("tf115", "2.9.2", "h5", "batch-norm-tf1-names-292", "batch norm without a scope of its own: gamma:0 and gamma_1:0 in one block, all moving statistics after all trainable arrays")
def _(): return chain((9, 3), tcn.TCN(4, 2, dilations=[1, 2, 4], use_batch_norm=True, activation="relu"), Dense(3))

@case("tf115", "3.0.2", "h5", "compiled-classifier-tf1-302", "compiled_tcn's classifier with Adam's slots (training/Adam/...): softmax, dilations rewritten to powers of two, a closure as metric", train=[10, 1])
def _(): return tcn.compiled_tcn(num_feat=2, num_classes=3, nb_filters=4, kernel_size=2, dilations=[0, 1, 3], nb_stacks=1, max_len=10, use_skip_connections=True)

@case("tf115", "3.1.2", "h5", "filters-a-list-tanh-tf1-312", "a number of filters for each dilation; activation tanh is used after the sum only, relu inside")
def _(): return chain((10, 3), tcn.TCN([3, 5], 2, dilations=[1, 2], activation="tanh"), Dense(2))

@case("tf115", "2.9.3", "weights", "no-skip-weights-tf1-293", "no skip connections: the last block has a matching convolution too; weights-only")
def _(): return chain((10, 2), tcn.TCN(4, 3, dilations=[1, 2], use_skip_connections=False, return_sequences=True), Dense(2))

@case("tf115", "3.0.1", "checkpoint", "checkpoint-tf1-301", "TF-format checkpoint of TF1's graph mode with batch norm", )
def _(): return chain((8, 3), tcn.TCN(4, 2, dilations=[1, 2], use_batch_norm=True), Dense(1))

def saver(model, folder):
    (folder / "model.json").write_text(model.to_json())
    tf.compat.v1.train.Saver(model.weights).save(K.get_session(), str(folder / "old"), write_meta_graph=False)
    return "old.index", ["--architecture", "{case}/model.json"]

@case("tf115", "3.1.2", "checkpoint", "saver-checkpoint-by-names-312", "checkpoint of TF1's Saver: keys are the variables' names, and no object graph", write=saver)
def _(): return chain((9, 3), tcn.TCN(4, 2, dilations=[1, 2], use_layer_norm=True), Dense(2))

@case("tf115v2", "3.1.2", "savedmodel", "savedmodel-tf1-v2-behavior-312", "SavedModel of TF 1.15 with v2 behavior on (1.15 refuses without)")
def _(): return chain((9, 3), tcn.TCN(3, 2, dilations=[1, 2]), Dense(2))

# ------------------------------------------------------------------------------------------------ TensorFlow 2.1
@case("tf21", "2.9.3", "h5", "two-named-293", "two TCNs, the first with return_sequences and skips, the second without skips: tcn_3d/kernel:0 is the first convolution, residual_block_0/kernel:0 the matching one")
def _(): return chain((12, 3), tcn.TCN(4, 2, dilations=[1, 2], return_sequences=True, name="low"), tcn.TCN(3, 2, dilations=[1, 4], use_skip_connections=False, activation="sigmoid", name="high"), Dense(2))

@case("tf21", "3.0.2", "h5", "batch-norm-skip-tf21-302", "norms got scopes norm_0 and norm_1 in 3.0.2; two stacks")
def _(): return chain((9, 2), tcn.TCN(4, 2, nb_stacks=2, dilations=[1, 2], use_batch_norm=True), Dense(2))

@case("tf21", "3.0.1", "savedmodel", "savedmodel-batch-norm-tf21-301", "2.9.0-3.0.1 with a norm cannot be saved as HDF5 in TF2 (names clash), so users kept SavedModels")
def _(): return chain((8, 2), tcn.TCN(3, 2, dilations=[1], use_batch_norm=True, use_skip_connections=False, activation="relu"), Dense(2))

@case("tf21", "3.1.1", "h5", "same-unknown-length-311", "padding 'same', length unknown: the middle step of the actual length", steps=13)
def _(): return chain((None, 3), tcn.TCN(4, 3, dilations=[1, 2], padding="same"), Dense(2))

@case("tf21", "3.1.0", "keras", "keras-suffix-hdf5-inside-310", "TF 2.0-2.11 wrote HDF5 under the suffix .keras", kind=["h5"])
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], activation="sigmoid"), Dense(2))

@case("tf21", "2.9.1", "checkpoint", "checkpoint-layer-norm-tf21-291", "object graph of 2.9: edges residual_layers; both norms of a block have one variable name, only the edges tell them apart")
def _(): return chain((8, 3), tcn.TCN(4, 2, dilations=[1, 2], use_layer_norm=True), Dense(2))

@case("tf21", "3.1.2", "checkpoint", "checkpoint-sequential-tf21-312", "Sequential up to TF 2.1: no InputLayer in the config, but layer-0 in the object graph is one; later it is the other way round")
def _(): return Sequential([keras.layers.InputLayer((10, 3)), tcn.TCN(4, 2, dilations=[1, 2], return_sequences=True), keras.layers.Dropout(0.1), tcn.TCN(3, 2, dilations=[1, 2], use_batch_norm=True), Dense(2)])

@case("tf21", "3.1.2", "h5", "tensorflow-op-layers-312", "arithmetic between layers became TensorFlowOpLayer (TF 2.0-2.3): a NodeDef as text, constants apart")
def _():
    x = Input((10, 3)); y = tcn.TCN(4, 2, dilations=[1, 2], return_sequences=True)(x * 0.5 + 0.1)
    return Model(x, Dense(2)(y[:, -1, :]))

@case("tf21", "3.2.1", "h5", "extra-activation-sigmoid-321", "3.2.1: the configured activation inside, and once more before the sum")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], activation="sigmoid"), Dense(2))

# ------------------------------------------------------------------------------------------------ TensorFlow 2.4
@case("tf24", "2.9.1", "h5", "same-last-step-291", "nothing in the file tells 2.9.1 (last step) from 2.9.2-3.0.2 (middle step): the user has to say so", options=["--last-step"])
def _(): return chain((13, 3), tcn.TCN(4, 3, dilations=[1, 2], padding="same"), Dense(2))

@case("tf24", "2.9.2", "h5", "same-middle-step-292", "the same config as 2.9.1 would have written; the middle step is the likelier one, and a warning names the option", mentions=["--last-step"])
def _(): return chain((13, 3), tcn.TCN(4, 3, dilations=[1, 2], padding="same"), Dense(2))

@case("tf24", "2.9.1", "h5", "same-unknown-length-291", "padding 'same' with length unknown: 2.9.2-3.1.0 could not even be built so, so with a first convolution it is 2.9.1: the last step", steps=9)
def _(): return chain((None, 2), tcn.TCN(4, 2, dilations=[1, 2], padding="same"), Dense(2))

@case("tf24", "3.0.2", "h5", "tanh-layer-norm-302", "relu inside, tanh after the sum, first convolution, layer norm")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2, 4], use_layer_norm=True, activation="tanh", use_skip_connections=False), Dense(2))

@case("tf24", "3.0.2", "h5", "both-norm-flags-302", "both norm flags: up to 3.1.2 batch norm wins, later releases refuse")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], use_layer_norm=True, use_batch_norm=True), Dense(2))

@case("tf24", "3.1.2", "h5", "elu-skip-312", "relu inside whatever the config says; skips are taken before the sum; no matching convolution where the channels agree")
def _(): return chain((10, 4), tcn.TCN(4, 2, dilations=[1, 2, 4], activation="elu", use_skip_connections=True), Dense(2))

@case("tf24", "3.2.1", "h5", "elu-skip-321", "the twin of elu-skip-312 in the next generation")
def _(): return chain((10, 4), tcn.TCN(4, 2, dilations=[1, 2, 4], activation="elu", use_skip_connections=True), Dense(2))

@case("tf24", "3.2.1", "h5", "weight-norm-321", "weight normalization by tensorflow-addons: g, kernel (which is v) and bias; `initialized` and the clone under data_dep_init do not matter")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], use_weight_norm=True), Dense(2))

@case("tf24", "3.3.1", "h5", "defaults-331", "3.3.1's own defaults: layer norm, skips, kernel size 3, all written into the config")
def _(): return chain((12, 3), tcn.TCN(nb_filters=4, dilations=[1, 2]), Dense(2))

@case("tf24", "3.4.0", "weights", "weight-norm-weights-340", "weight normalization, weights-only")
def _(): return chain((10, 4), tcn.TCN(4, 3, dilations=[1, 2], use_weight_norm=True, activation="tanh"), Dense(2))

@case("tf24", "3.4.0", "h5", "nested-340", "a model in a model: the inner one is a group whose weight_names hold all its arrays")
def _():
    inner = chain((10, 3), Dense(5, activation="tanh"), tcn.TCN(4, 2, dilations=[1, 2], use_batch_norm=True))
    return chain((10, 3), inner, Dense(2))

@case("tf24", "3.4.0", "h5", "two-inputs-two-outputs-340", "two inputs, two outputs")
def _():
    a, b = Input((10, 2), name="a"), Input((8, 3), name="b")
    p, q = tcn.TCN(3, 2, dilations=[1, 2], name="of_a")(a), tcn.TCN(4, 2, dilations=[1, 2], name="of_b")(b)
    both = keras.layers.concatenate([p, q])
    return Model([a, b], [Dense(2, name="one")(both), Dense(1, activation="sigmoid", name="two")(q)])

@case("tf24", "3.1.2", "savedmodel", "savedmodel-tf24-312", "SavedModel up to TF 2.4: the config is JSON in the object graph of saved_model.pb")
def _(): return chain((8, 3), tcn.TCN(3, 2, dilations=[1, 2], activation="tanh"), Dense(2))

@case("tf24", "2.9.1", "savedmodel", "savedmodel-same-last-step-291", "a SavedModel does tell 2.9.1 from 2.9.2: the metadata of lambda_layer has no closure in 2.9.1, later the index of the step", saved_with={"save_traces": False})
def _(): return chain((11, 3), tcn.TCN(3, 2, dilations=[1, 2], padding="same"), Dense(2))

@case("tf24", "3.4.0", "h5", "op-lambda-slicing-340", "TF 2.4 on: arithmetic is TFOpLambda, x[:, 2:] is SlicingOpLambda")
def _():
    x = Input((12, 3)); y = tcn.TCN(4, 2, dilations=[1, 2], return_sequences=True)(x[:, 2:] * 0.5 - 0.1)
    return Model(x, Dense(2)(y[:, -1]))

@case("tf24", "3.4.0", "h5", "lambda-between-340", "a Lambda of the user's own is Python bytecode: its formula is read, never run")
def _(): return chain((12, 3), tcn.TCN(4, 2, dilations=[1, 2]), keras.layers.Lambda(lambda t: t * 2), Dense(2))

def bare(model, folder):
    model.save_weights(str(folder / "old.h5"))
    return "old.h5", []

@case("tf24", "3.4.0", "weights", "no-architecture-340", "weights-only, and nobody says which architecture", write=bare, expect="refused", mentions=["architecture"], tags=["damaged"])
def _(): return chain((12, 3), tcn.TCN(4, 2, dilations=[1, 2]), Dense(2))

def checkpoint_alone(model, folder):
    model.save_weights(str(folder / "old"), save_format="tf")
    return "old.index", []

@case("tf24", "3.4.0", "checkpoint", "no-architecture-checkpoint-340", "a checkpoint, and nobody says which architecture", write=checkpoint_alone, expect="refused", mentions=["architecture"], tags=["damaged"])
def _(): return chain((12, 3), tcn.TCN(4, 2, dilations=[1, 2]), Dense(2))

# ------------------------------------------------------------------------------------------------ TensorFlow 2.6
def without_metadata(model, folder):
    model.save(str(folder / "old"), save_format="tf", save_traces=False)
    (folder / "old" / "keras_metadata.pb").unlink()
    return "old", []

@case("tf26", "3.4.0", "savedmodel", "savedmodel-lost-metadata-340", "a SavedModel that was copied without its keras_metadata.pb: no config is left, nobody says which architecture", write=without_metadata, expect="refused", mentions=["architecture"], tags=["damaged"])
def _(): return chain((8, 3), tcn.TCN(3, 2, dilations=[1, 2]), Dense(2))

@case("tf26", "3.4.0", "h5", "registered-custom-tcn-340", "the user had registered TCN: class_name is Custom>TCN")
def _(): return chain((10, 3), keras.utils.register_keras_serializable("Custom")(tcn.TCN)(4, 2, dilations=[1, 2], activation="tanh"), Dense(2))

@case("tf26", "3.4.0", "h5", "dtype-policy-dict-340", "a mixed policy is a dict where dtype stands; half precision in the last layer", tolerance=0.01)
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2]), Dense(2, dtype=keras.mixed_precision.Policy("mixed_float16")))

@case("tf26", "3.4.0", "savedmodel", "savedmodel-tf26-340", "SavedModel of TF 2.5 on: the config is in keras_metadata.pb; saved without traces", saved_with={"save_traces": False})
def _(): return chain((8, 3), tcn.TCN(3, 2, dilations=[1, 2], activation="tanh"), Dense(2))

@case("tf26", "3.4.0", "h5", "first-layer-batch-input-shape-340", "Sequential whose first layer is the TCN: batch_input_shape stands in the TCN's own config", train=[2])
def _():
    model = Sequential([tcn.TCN(4, 2, dilations=[1, 2], input_shape=(10, 3)), Dense(2)])
    model.compile("adam", "mse")
    return model

@case("tf26", "3.3.0", "h5", "among-other-layers-330", "LSTM with time_major and implementation, BatchNormalization with axis [2], Conv1D, dropout")
def _():
    c = keras.layers
    return chain((12, 3), c.Conv1D(4, 3, padding="causal"), c.BatchNormalization(), tcn.TCN(4, 2, dilations=[1, 2], return_sequences=True, dropout_rate=0.2), c.LSTM(3, return_sequences=True), c.Dropout(0.1), c.GRU(3), Dense(2))

@case("tf26", "3.4.0", "checkpoint", "checkpoint-tf26-340", "TF-format checkpoint with layer norm and two stacks")
def _(): return chain((9, 2), tcn.TCN(3, 2, nb_stacks=2, dilations=[1, 2], use_layer_norm=True), Dense(2))

# ------------------------------------------------------------------------------------------------ TensorFlow 2.8
@case("tf28", "3.4.4", "h5", "compiled-regression-344", "compiled_tcn's regression, trained a step: Adam with clipnorm, its slots in optimizer_weights", train=[1])
def _(): return tcn.compiled_tcn(num_feat=2, num_classes=0, nb_filters=4, kernel_size=2, dilations=[1, 2], nb_stacks=1, max_len=10, output_len=1, return_sequences=False, regression=True)

@case("tf28", "3.4.4", "h5", "shared-344", "one TCN on two inputs")
def _():
    a, b = Input((10, 3)), Input((10, 3))
    shared = tcn.TCN(4, 2, dilations=[1, 2], use_layer_norm=True)
    return Model([a, b], Dense(2)(keras.layers.subtract([shared(a), shared(b)])))

@case("tf28", "3.4.4", "h5", "time-distributed-344", "TimeDistributed(TCN) on a sequence of sequences")
def _(): return chain((4, 9, 2), keras.layers.TimeDistributed(tcn.TCN(3, 2, dilations=[1, 2])), keras.layers.Flatten(), Dense(2))

@case("tf28", "3.4.1", "savedmodel", "savedmodel-weight-norm-tf28-341", "SavedModel with weight normalization: the edges g, v, _initialized, layer/bias; saved without traces", saved_with={"save_traces": False})
def _(): return chain((8, 2), tcn.TCN(3, 2, dilations=[1], use_weight_norm=True, use_skip_connections=False), Dense(2))

@case("tf28", "2.9.0", "checkpoint", "checkpoint-same-290", "2.9.0 in a later TensorFlow: last step, layer norm that the config does not name, arrays told apart by the object graph only")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], padding="same", use_layer_norm=True), Dense(2))

def manager(model, folder):
    (folder / "model.json").write_text(model.to_json())
    point = tf.train.Checkpoint(step=tf.Variable(7), optimizer=model.optimizer, net=model)
    tf.train.CheckpointManager(point, str(folder), max_to_keep=1, checkpoint_name="old").save()
    return "old-1.index", ["--architecture", "{case}/model.json"]

@case("tf28", "3.4.4", "checkpoint", "checkpoint-manager-344", "tf.train.CheckpointManager: the model is a child of the root, beside a step counter, optimizer and slots", train=[2], write=manager)
def _():
    model = chain((9, 2), tcn.TCN(3, 2, dilations=[1, 2], use_layer_norm=True), Dense(2))
    model.compile("adam", "mse")
    return model

@case("tf28", "3.4.2", "h5", "long-names-342", "weight names beyond 64 kB are split into weight_names0, weight_names1, ...")
def _(): return chain((10, 3), tcn.TCN(2, 2, nb_stacks=9, dilations=[1, 2], name="tcn_" + "of_the_very_long_name_" * 45), Dense(2))

# ------------------------------------------------------------------------------------------------ TensorFlow 2.10
@case("tf210", "3.5.0", "h5", "bidirectional-350", "Bidirectional(TCN) (3.5.0 on): forward_tcn and backward_tcn, the second with go_backwards")
def _(): return chain((10, 3), keras.layers.Bidirectional(tcn.TCN(4, 2, dilations=[1, 2], return_sequences=True)), Dense(2))

@case("tf210", "3.5.0", "h5", "go-backwards-350", "go_backwards reverses the input and leaves the output reversed; return_state is stored, and does nothing")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], go_backwards=True, return_state=True, return_sequences=True), Dense(2))

@case("tf210", "3.5.0", "checkpoint", "checkpoint-batch-norm-tf210-350", "TF-format checkpoint, batch norm")
def _(): return chain((9, 2), tcn.TCN(3, 2, dilations=[1, 2], use_batch_norm=True, padding="same"), Dense(2))

@case("tf210", "3.5.0", "weights", "one-dilation-weights-350", "one block and skips: 3.5.0 takes the block's own output; the matching convolution then feeds nothing")
def _(): return chain((9, 2), tcn.TCN(3, 2, dilations=[1], activation="tanh", use_layer_norm=True), Dense(2))

# ------------------------------------------------------------------------------------------------ TensorFlow 2.12
@case("tf212", "3.5.0", "keras", "zip-tf212-350", "the first .keras zip: paths under _layer_checkpoint_dependencies")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2]), Dense(2))

@case("tf212", "3.5.0", "h5", "trained-tf212-350", "the optimizer of TF 2.11 on: other slot names and order", train=[2])
def _():
    model = chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], use_batch_norm=True), Dense(2))
    model.compile("adam", "mae", metrics=["mse"])
    return model

@case("tf212", "3.5.0", "weights-v3", "weights-tf212-350", "save_weights to .weights.h5 in TF 2.12")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], use_layer_norm=True), Dense(2))

# ------------------------------------------------------------------------------------------------ TensorFlow 2.13
@case("tf213", "3.5.0", "keras", "zip-batch-norm-tf213-350", ".keras of TF 2.13 with batch norm")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], use_batch_norm=True), Dense(2))

@case("tf213", "3.5.0", "weights-v3", "weights-two-tcns-tf213-350", ".weights.h5 of TF 2.13: names are numbered by class within the file, not by layer names")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], return_sequences=True, name="zeta"), tcn.TCN(3, 2, dilations=[1, 2], name="alpha"), Dense(3), Dense(2, name="a"))

# ------------------------------------------------------------------------------------------------ TensorFlow 2.15
@case("tf215", "3.5.4", "keras", "zip-batch-norm-tf215-354", ".keras of TF 2.15; 3.5.3 on keeps the batch norms in a list of their own")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], use_batch_norm=True), Dense(2))

@case("tf215", "3.5.4", "keras", "zip-layer-norm-tf215-354", ".keras of TF 2.15, layer norm, two stacks, Sequential")
def _(): return Sequential([Input((10, 3)), tcn.TCN(4, 2, nb_stacks=2, dilations=[1, 2], use_layer_norm=True, activation="tanh"), Dense(2)])

@case("tf215", "3.5.0", "keras", "zip-weight-norm-tf215-350", ".keras of TF 2.15, weight normalization")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], use_weight_norm=True), Dense(2))

@case("tf215", "3.5.2", "keras", "zip-bidirectional-nested-tf215-352", ".keras of TF 2.15: Bidirectional(TCN) within an inner model")
def _():
    inner = chain((10, 3), keras.layers.Bidirectional(tcn.TCN(3, 2, dilations=[1, 2])), Dense(4))
    return chain((10, 3), inner, keras.layers.LayerNormalization(), Dense(2))

@case("tf215", "3.5.4", "h5", "batch-norm-order-354", "3.5.3 on: in a block, both batch norms come before the convolutions in weight_names")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], use_batch_norm=True, return_sequences=True), Dense(2))

@case("tf215", "3.5.4", "checkpoint", "checkpoint-tf215-354", "TF-format checkpoint of TF 2.15, layer norms in a list of their own")
def _(): return chain((9, 2), tcn.TCN(3, 2, dilations=[1, 2], use_layer_norm=True), Dense(2))

@case("tf215", "3.5.4", "savedmodel", "savedmodel-tf215-354", "SavedModel of TF 2.15, batch norm; saved without traces", saved_with={"save_traces": False})
def _(): return chain((8, 2), tcn.TCN(3, 2, dilations=[1, 2], use_batch_norm=True), Dense(2))

@case("tf215", "2.9.3", "keras", "zip-first-convolution-tf215-293", "an old release in the last Keras 2: first convolution main_conv1D, matching convolution shape_match_conv")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], activation="tanh"), Dense(2))

@case("tf215", "3.5.4", "h5", "embedding-masking-354", "Embedding and token inputs", tokens=7)
def _(): return chain((10,), keras.layers.Embedding(7, 3), tcn.TCN(4, 2, dilations=[1, 2]), keras.layers.Activation("tanh"), Dense(3, activation="softmax"))

def on_windows(how):
    """Save with the path separator of Windows, as `tf.io.gfile.join` does there."""
    def write(model, folder):
        import ntpath
        files = importlib.import_module("keras.src.saving.saving_lib").tf.io.gfile
        join = files.join
        files.join = lambda *parts: (os.path if os.path.isabs(parts[0]) else ntpath).join(*parts)
        try:
            return save(model, how, folder)
        finally:
            files.join = join
    return write

@case("tf215", "3.5.0", "keras", "zip-windows-tf215-350", "saved with the path separator of Windows: groups named layers\\NAME; a nested model, metrics and Adam", train=[2], write=on_windows("keras"))
def _():
    inner = chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], use_batch_norm=True), Dense(3))
    model = chain((10, 3), inner, Dense(2))
    model.compile("adam", "mse", metrics=["mae"])
    return model

@case("tf215", "3.5.0", "weights-v3", "weights-windows-tf215-350", "weights alone with the path separator of Windows", write=on_windows("weights-v3"))
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], use_layer_norm=True), Dense(3), Dense(2))

# ------------------------------------------------------------------------------------------------ TensorFlow 2.21 with tf_keras
@case("tf221", "3.5.4", "keras", "zip-tf-keras-354", ".keras of tf_keras 2.21 under TF 2.21: modules are tf_keras.*")
def _(): return chain((10, 3), tcn.TCN(4, 2, dilations=[1, 2], use_batch_norm=True, activation="elu"), Dense(2))

@case("tf221", "3.5.4", "h5", "tf-keras-h5-354", "HDF5 of tf_keras 2.21 under TF 2.21", train=[2])
def _():
    model = Sequential([Input((10, 3)), tcn.TCN(4, 2, dilations=[1, 2], use_layer_norm=True), Dense(2)])
    model.compile("adam", "mse")
    return model


if __name__ == "__main__":
    main()
