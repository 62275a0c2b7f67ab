"""Fixtures `functional`: models of keras-tcn 2.1.0-2.8.3 (plain layers and Lambdas, no TCN class in the file).

    python functional.py ENV RELEASES OUT [CASE...]

ENV names the environment it runs in, and so the cases that it makes:
    py36    Python 3.6, tensorflow 1.12.3, keras 2.2.4, h5py 2.10     py36k216  the same with keras 2.1.6
    py37    Python 3.7, tensorflow 1.15.0, keras 2.3.1, h5py 2.10
    py38    Python 3.8, tensorflow 2.2.3, keras 2.3.1, h5py 2.10
    tf115   Python 3.7, tensorflow 1.15.0 (its tf.keras)   tf21  Python 3.7, tensorflow 2.1.4   tf24  Python 3.8, tensorflow 2.4.4
    tf215   Python 3.11, tensorflow 2.15.1
RELEASES holds the unpacked wheels of keras-tcn, one folder a release (RELEASES/2.3.5/tcn/tcn.py), and RELEASES/8bd7dc5/tcn/tcn.py,
RELEASES/aa71ac4/tcn/tcn.py from keras-tcn's git history. Every case is made in a process of its own.
"""
import json
import os
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
warnings.filterwarnings("ignore")
import numpy as np  # noqa: E402


def library(release, edits=(), tf_keras=False):
    """The release's own tcn.py as a module, after textual edits like the ones that users made in their copies."""
    source = (Path(RELEASES) / release / "tcn" / "tcn.py").read_text()
    if tf_keras:
        edits = [("import keras.backend as K", "import tensorflow.keras.backend as K"),
                 ("import keras.layers\n", "from tensorflow import keras\n"),
                 ("from keras.engine.topology import Layer", "from tensorflow.keras.layers import Layer"),
                 ("from keras.models import Input, Model", "from tensorflow.keras import Input, Model"),
                 ("from keras import", "from tensorflow.keras import"),
                 ("from keras.layers import", "from tensorflow.keras.layers import")] + list(edits)
    for old, new in edits:
        if old not in source and not tf_keras:
            raise SystemExit("no %r in %s" % (old, release))
        source = source.replace(old, new)
    module = types.ModuleType("tcn.tcn")
    sys.modules["tcn.tcn"] = module
    exec(compile(source, "/home/user/site-packages/tcn/tcn.py", "exec"), module.__dict__)
    return module


def written_by_user(source):
    """A function that stands in the user's own file, so that its code object names that file."""
    return eval(compile(source, "my_model.py", "eval"))


def tcn(lib, x, **arguments):
    """Call it as its release wants: TCN(x, ...) up to 2.1.2, TCN(...)(x) after."""
    return lib.TCN(**arguments)(x) if isinstance(lib.TCN, type) else lib.TCN(x, **arguments)


def draw(model, seed):
    """Every variable gets a value that matters."""
    rng = np.random.RandomState(seed)
    for layer in model.layers:
        if not layer.weights:
            continue
        if hasattr(layer, "layers"):
            draw(layer, seed + 1)
            continue
        new = []
        for variable, value in zip(layer.weights, layer.get_weights()):
            name = variable.name.split("/")[-1].split(":")[0]
            if "gamma" in name or "variance" in name:
                new.append(rng.uniform(0.5, 1.5, value.shape))
            elif "kernel" in name or "embeddings" in name:
                new.append(rng.normal(size=value.shape) / np.sqrt(max(1, np.prod(value.shape[:-1]))) * 1.2)
            else:
                new.append(rng.normal(size=value.shape) * 0.3)
        layer.set_weights(new)


class Kit:
    """What a recipe needs of the keras at hand."""

    def __init__(self, tf_keras):
        if tf_keras:
            from tensorflow import keras
        else:
            import keras
        self.keras, self.L = keras, keras.layers
        if hasattr(keras, "__version__"):
            self.version = keras.__version__
        else:
            import keras as package
            self.version = package.__version__
        self.Model, self.Input = keras.models.Model, keras.layers.Input


def simple(release, steps=12, feats=3, head=2, edits=(), tf_keras=False, **arguments):
    def make(kit):
        lib = library(release, edits, tf_keras)
        i = kit.Input((steps, feats))
        return kit.Model(i, kit.L.Dense(head)(tcn(lib, i, **arguments)))
    return make


def two_named(release, **arguments):
    def make(kit):
        lib = library(release)
        a, b = kit.Input((10, 2), name="price"), kit.Input((10, 3), name="volume")
        x = tcn(lib, a, name="left", **arguments)
        y = tcn(lib, b, name="right", **dict(arguments, nb_filters=5))
        return kit.Model([a, b], kit.L.Dense(2)(kit.L.concatenate([x, y])))
    return make


def compiled(release, **arguments):
    def make(kit):
        lib = library(release)
        return getattr(lib, "compiled_tcn" if hasattr(lib, "compiled_tcn") else "dilated_tcn")(**arguments)
    return make


def embedded(release, **arguments):
    def make(kit):
        lib = library(release)
        i = kit.Input((14,))
        x = tcn(lib, kit.L.Embedding(20, 4)(i), **arguments)
        x = kit.L.Dropout(0.5)(x)
        return kit.Model(i, kit.L.Dense(1, activation="sigmoid")(x))
    make.ints = 20
    return make


def foreign_lambda(release, function, name, **arguments):
    def make(kit):
        lib = library(release)
        i = kit.Input((10, 3))
        x = tcn(lib, i, **arguments)
        return kit.Model(i, kit.L.Dense(2)(kit.L.Lambda(function, name=name)(x)))
    return make


def before_recurrent(kit):
    """Keras 2.2.4's LSTM and GRU: recurrent_activation hard_sigmoid (0.2x+0.5, clipped), GRU with reset_after False."""
    lib, L = library("2.6.7"), kit.L
    i = kit.Input((12, 3))
    x = tcn(lib, i, nb_filters=4, kernel_size=2, dilations=[1, 2], return_sequences=True)
    x = L.Bidirectional(L.LSTM(3, return_sequences=True))(x)
    x = L.GRU(4)(x)
    return kit.Model(i, L.Dense(2, activation="hard_sigmoid")(x))


def one_conv_block(kit):
    """A TCN that a user wrote with plain layers and saw in a tutorial: no keras-tcn at all."""
    L = kit.L
    i = kit.Input((16, 2))
    x = i
    for d in (1, 2, 4):
        y = L.Conv1D(4, 2, padding="causal", dilation_rate=d, name="block%d_conv1" % d)(x)
        y = L.BatchNormalization(name="block%d_bn" % d)(y)
        y = L.Activation("relu")(y)
        y = L.SpatialDropout1D(0.2)(y)
        s = x if x.shape[-1] == 4 else L.Conv1D(4, 1, padding="same", name="block%d_match" % d)(x)
        x = L.Activation("relu")(L.add([y, s]))
    x = L.Lambda(written_by_user("lambda t: t[:, -1, :]"), name="last_step")(x)
    return kit.Model(i, L.Dense(1)(x))


BN_ON = [("# x = BatchNormalization()(x)  # TODO", "x = BatchNormalization()(x)  # TODO")]
CASES = {
    "norm-relu-last-step-210": dict(env="py36", tcn="2.1.0", seed=1, make=simple("2.1.0", nb_filters=4, kernel_size=2, dilations=[1, 2], activation="norm_relu", return_sequences=False),
        shows="keras-tcn 2.1.0: channel_normalization and the last step are Lambdas of Python 3.6 bytecode; layer names carry a dot"),
    "wavenet-sequence-212-keras216": dict(env="py36k216", tcn="2.1.2", seed=2, make=simple("2.1.2", nb_filters=5, kernel_size=3, dilations=[1, 2, 4], activation="wavenet", dropout_rate=0.05),
        shows="wavenet activation (tanh times sigmoid), whole sequence, written by keras 2.1.6: model_config has no dtype in the layers"),
    "two-named-223": dict(env="py36", tcn="2.2.3", seed=3, make=two_named("2.2.3", nb_filters=4, kernel_size=2, dilations=[1, 4], activation="norm_relu", return_sequences=False),
        shows="two inputs, two TCNs told apart by their name prefix"),
    "same-padding-relu-235": dict(env="py37", tcn="2.3.5", seed=4, make=simple("2.3.5", nb_filters=4, kernel_size=3, dilations=[1, 2], padding="same", activation="relu", return_sequences=False),
        shows="padding same; the only Lambda is the last step, with its index in the closure"),
    "no-skip-norm-relu-233": dict(env="py37", tcn="2.3.3", seed=5, make=simple("2.3.3", nb_filters=4, kernel_size=2, dilations=[1, 2], use_skip_connections=False, activation="norm_relu"),
        shows="no skip connections, whole sequence: channel_normalization only"),
    "repeated-dilations-236": dict(env="py38", tcn="2.3.6", seed=6, make=simple("2.3.6", nb_filters=3, kernel_size=2, dilations=[1, 1, 2], activation="norm_relu", dropout_rate=0.1, return_sequences=False),
        shows="the same dilation twice; Python 3.8 bytecode"),
    "two-stacks-257": dict(env="py37", tcn="2.5.7", seed=7, make=simple("2.5.7", nb_filters=4, kernel_size=2, dilations=[1, 2], nb_stacks=2),
        shows="2.5.7: the 1x1 convolution is on the main path, the last residual sum is not in the model"),
    "embedding-256": dict(env="py36", tcn="2.5.6", seed=8, make=embedded("2.5.6", nb_filters=4, kernel_size=3, dilations=[1, 2], return_sequences=False),
        shows="the imdb example: integer input, Embedding, TCN, Dropout, Dense"),
    "hard-sigmoid-lstm-gru-267": dict(env="py36", tcn="2.6.7", seed=24, make=before_recurrent,
        shows="keras 2.2.4's LSTM, GRU and Dense with hard_sigmoid, which is another function in Keras 3; GRU without reset_after"),
    "linear-last-step-267": dict(env="py37", tcn="2.6.7", seed=9, make=simple("2.6.7", nb_filters=4, kernel_size=3, dilations=[1, 2]),
        shows="2.6.7: the 1x1 convolution moved to the shortcut; the last block's is missing since only its skip output is used"),
    "residual-activation-no-skip-270": dict(env="py36", tcn="2.7.0", seed=10, make=simple("2.7.0", nb_filters=4, kernel_size=2, dilations=[1, 2], activation="tanh", use_skip_connections=False),
        shows="activation after the residual sum, no skip connections"),
    "batch-norm-281": dict(env="py37", tcn="2.8.1", seed=11, make=simple("2.8.1", nb_filters=4, kernel_size=2, dilations=[1, 2], use_batch_norm=True),
        shows="use_batch_norm: BatchNormalization layers are in the file as layers of the model, with all four arrays"),
    "batch-norm-no-skip-282": dict(env="py38", tcn="2.8.2", seed=12, make=simple("2.8.2", nb_filters=3, kernel_size=3, dilations=[1, 2], use_batch_norm=True, use_skip_connections=False, return_sequences=True, kernel_initializer="glorot_uniform"),
        shows="batch norm without skip connections, whole sequence, Python 3.8"),
    "compiled-classification-283": dict(env="py37", tcn="2.8.3", seed=13, fit=True, make=compiled("2.8.3", num_feat=2, num_classes=3, nb_filters=4, kernel_size=2, dilations=[1, 2], nb_stacks=1, max_len=10, return_sequences=False),
        shows="compiled_tcn with softmax, a local function `accuracy` as metric, and the optimizer's state in the file"),
    "compiled-regression-any-length-283": dict(env="py38", tcn="2.8.3", seed=14, steps=9, make=compiled("2.8.3", num_feat=3, num_classes=1, nb_filters=4, kernel_size=2, dilations=[1, 2], nb_stacks=1, max_len=None, return_sequences=False, regression=True),
        shows="compiled_tcn for regression with max_len None"),
    "fork-batch-norm-257": dict(env="py36", tcn="2.5.7 (copy, batch norm line enabled)", seed=15, make=simple("2.5.7", edits=BN_ON, nb_filters=4, kernel_size=2, dilations=[1, 2]),
        shows="a user's copy in which the commented BatchNormalization line was enabled"),
    "git-first-step-2018": dict(env="py36", tcn="git 8bd7dc5", seed=16, make=compiled("8bd7dc5", num_feat=3, num_classes=3, nb_filters=4, kernel_size=2, dilations=[0, 1], nb_stacks=1, max_len=12, activation="norm_relu", output_slice_index="first"),
        shows="dilated_tcn of the git history before 2.1.0: the Lambda's closure holds 0, the first step; initial_conv has the full kernel"),
    "tfkeras-copy-norm-relu-235": dict(env="tf115", tcn="2.3.5 (copy, tf.keras imports)", seed=17, make=simple("2.3.5", tf_keras=True, nb_filters=4, kernel_size=2, dilations=[1, 2], activation="norm_relu", return_sequences=False),
        shows="a copy with tf.keras imports: the Lambda's config has module and output_shape_module"),
    "tfkeras-copy-savedmodel-283": dict(env="tf24", tcn="2.8.3 (copy, tf.keras imports)", seed=18, suffix="", make=simple("2.8.3", tf_keras=True, nb_filters=3, kernel_size=2, dilations=[1, 2]),
        shows="the functional release on tf.keras, saved as a SavedModel (save_traces=False)"),
    "tfkeras-copy-norm-relu-python311": dict(env="tf215", tcn="2.3.5 (copy, tf.keras imports)", seed=22, make=simple("2.3.5", tf_keras=True, nb_filters=4, kernel_size=2, dilations=[1, 2], activation="norm_relu", return_sequences=False),
        shows="the same copy on Python 3.11: another bytecode and another marshal layout"),
    "tfkeras-copy-batch-norm-python311-keras": dict(env="tf215", tcn="2.8.3 (copy, tf.keras imports)", seed=23, suffix=".keras", make=simple("2.8.3", tf_keras=True, nb_filters=3, kernel_size=2, dilations=[1, 2], use_batch_norm=True),
        shows="a .keras of Keras 2.15: Python 3.11 bytecode, still as a list of base64, defaults and closure"),
    "plain-layers-tutorial": dict(env="tf24", tcn="none (plain layers)", seed=19, make=one_conv_block,
        shows="a TCN written by hand with plain layers; the only Lambda is `lambda t: t[:, -1, :]`"),
    "plain-layers-tutorial-keras3": dict(env="tf221", tcn="none (plain layers)", seed=25, suffix=".keras", make=one_conv_block,
        shows="the same by Keras 3: the Lambda's function is a __lambda__ dictionary with code, defaults and closure"),
    "lambda-scaling": dict(env="py37", tcn="2.8.3", seed=20,
        make=foreign_lambda("2.8.3", written_by_user("lambda v: v * 0.5 + 1.0"), "my_scaling", nb_filters=4, kernel_size=2, dilations=[1, 2]),
        shows="a Lambda of the user's own next to the release's: its formula is read, never run"),
    "lambda-like-channel-norm": dict(env="py36", tcn="2.3.6 (copy, epsilon changed)", seed=21,
        make=simple("2.3.6", edits=[("+ 1e-5", "+ 1e-3")], nb_filters=4, kernel_size=2, dilations=[1, 2], activation="norm_relu", return_sequences=False),
        shows="channel_normalization with another epsilon: the same name, bytecode and place, another constant"),
}


def make_case(name, spec, out, env):
    tf_keras = env.startswith("tf")
    kit = Kit(tf_keras)
    import tensorflow as tf
    if env == "tf115":
        tf.compat.v1.disable_eager_execution()
    model = spec["make"](kit)
    rng = np.random.RandomState(spec["seed"] + 1000)
    xs = []
    for tensor in model.inputs:
        shape = [n if n is not None else spec.get("steps", 9) for n in [getattr(n, "value", n) for n in tensor.shape][1:]]
        ints = getattr(spec["make"], "ints", None)
        xs.append((rng.randint(0, ints, [3] + shape) if ints else rng.normal(size=[3] + shape)).astype("float32"))
    if spec.get("fit"):
        target = np.zeros((3, 1), "float32")
        model.fit(xs if len(xs) > 1 else xs[0], target, epochs=1, verbose=0)
    draw(model, spec["seed"])
    ys = model.predict_on_batch(xs if len(xs) > 1 else xs[0])
    ys = ys if isinstance(ys, list) else [ys]
    folder = Path(out) / name
    folder.mkdir(parents=True, exist_ok=True)
    source = "old" + spec.get("suffix", ".h5")
    model.save(str(folder / source), **({"include_optimizer": False, "save_traces": False} if source == "old" else {}))
    unsafe = {"safe_mode": False} if source.endswith(".keras") else {}
    again = kit.keras.models.load_model(str(folder / source), compile=False, **unsafe)
    if spec.get("expect", "exact") == "exact":
        back = again.predict_on_batch(xs if len(xs) > 1 else xs[0])
        back = back if isinstance(back, list) else [back]
        assert max(np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in zip(ys, back)) < 1e-5, name
        values = {"x%d" % k: v for k, v in enumerate(xs)}
        values.update({"y%d" % k: np.asarray(v, "float32") for k, v in enumerate(ys)})
        np.savez_compressed(str(folder / "golden.npz"), **values)
    case = {"source": source, "expect": spec.get("expect", "exact"), "tags": spec.get("tags", ["functional-era"] + (["healthy"] if spec.get("expect", "exact") == "exact" else [])),
            "made_with": {"python": "%d.%d.%d" % sys.version_info[:3], "tensorflow": tf.__version__, "keras": kit.version, "keras_tcn": spec["tcn"]},
            "peculiarity": spec["shows"]}
    if "mentions" in spec:
        case["mentions"] = spec["mentions"]
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")
    print("%-40s std %s" % (name, [round(float(np.asarray(y).std()), 3) for y in ys]))


def main(cases):
    global RELEASES
    env, RELEASES, out = sys.argv[1:4]
    names = sys.argv[4:]
    mine = [n for n, c in cases.items() if c["env"] == env and (not names or n in names)]
    if len(mine) == 1 and names == mine:
        make_case(mine[0], cases[mine[0]], out, env)
        return
    for name in mine:
        done = subprocess.run([sys.executable, sys.argv[0], env, RELEASES, out, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        print("\n".join(line for line in done.stdout.decode().splitlines() if re.match(r"\S+ +std ", line)) or "%s FAILED\n%s" % (name, done.stderr.decode()[-1500:]))


if __name__ == "__main__":
    main(CASES)
