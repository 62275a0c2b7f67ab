"""Fixtures `mixed`: models as users build them around a TCN, written by real old environments.

    python mixed.py ENV RELEASES OUT [CASE...]

ENV and what it stands for (RELEASES/X/tcn is the unpacked wheel of keras-tcn X; a case names its X, or the environment's is taken):
    tf21   Python 3.7,  tensorflow 2.1.4,  keras-tcn 3.1.0        tf24   Python 3.8,  tensorflow 2.4.4,  keras-tcn 3.4.0
    tf28   Python 3.8,  tensorflow 2.8.4,  keras-tcn 3.4.4        tf212  Python 3.11, tensorflow 2.12.1, keras-tcn 3.5.0
    tf215  Python 3.11, tensorflow 2.15.1, keras-tcn 3.5.1        k305, k333, k38, k312  Python 3.11, tensorflow 2.21 with Keras
    k315   Python 3.11, tensorflow 2.21, Keras 3.15.1, 3.5.7                             3.0.5, 3.3.3, 3.8.0, 3.12.0; keras-tcn 3.5.6
A chain case is a row of pieces (class Pieces below); `random_chains` draws such rows by seed; the other cases are functions.
Every case is made in a process of its own, reloaded by its own old library, and kept only if that gives the golden again.
"""
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
warnings.filterwarnings("ignore")
import numpy as np  # noqa: E402

RELEASE = {"tf21": "3.1.0", "tf24": "3.4.0", "tf28": "3.4.4", "tf212": "3.5.0", "tf215": "3.5.1",
           "k305": "3.5.6", "k333": "3.5.6", "k38": "3.5.6", "k312": "3.5.6", "k315": "3.5.7"}


def written_by_user(source):
    """A function that stands in the user's own file, so that its code object names that file."""
    return eval(compile(source, "my_model.py", "eval"))


class Kit:
    def __init__(self, env, release):
        if not env.startswith("k"):
            # keras-tcn 3.2.1-3.5.4 import tensorflow_addons only for its weight norm, which no case here uses
            import types
            stub = types.ModuleType("tensorflow_addons")
            stub.layers = types.ModuleType("tensorflow_addons.layers")
            stub.layers.WeightNormalization = None
            try:
                import tensorflow_addons  # noqa: F401
            except Exception:
                sys.modules["tensorflow_addons"], sys.modules["tensorflow_addons.layers"] = stub, stub.layers
        import tensorflow as tf
        from tensorflow import keras
        sys.path.insert(0, str(Path(RELEASES) / release))
        import tcn
        self.env, self.tf, self.keras, self.L, self.TCN, self.library = env, tf, keras, keras.layers, tcn.TCN, tcn
        self.v3 = env.startswith("k")
        try:
            self.version = keras.__version__
        except AttributeError:
            import keras as package
            self.version = package.__version__


class Pieces:
    """Each piece: method(x) -> x, or a method that makes the input. Sizes come from the case's generator."""

    def __init__(self, kit, rng):
        self.kit, self.L, self.rng, self.ints, self.blank = kit, kit.L, rng, None, False

    def n(self, low=3, high=6):
        return int(self.rng.randint(low, high))

    def inputs(self, kind):
        steps = int(self.rng.choice([8, 10, 12, 16]))
        if kind == "embedding":
            self.ints = 15
            x = self.kit.keras.Input((steps,), name="tokens")
            return x, self.L.Embedding(15, self.n(), name="words")(x)
        if kind == "embedding-masked":
            self.ints, self.blank = 15, True
            x = self.kit.keras.Input((steps,), name="tokens")
            return x, self.L.Embedding(15, self.n(), mask_zero=True)(x)
        if kind == "flat":
            x = self.kit.keras.Input((steps * 2,))
            return x, self.L.Reshape((steps, 2))(x)
        if kind == "masking":
            self.blank = True
            x = self.kit.keras.Input((steps, self.n(2, 4)))
            return x, self.L.Masking(mask_value=0.0)(x)
        x = self.kit.keras.Input((None if kind == "any-length" else steps, self.n(2, 5)))
        return x, x

    def tcn(self, x, *words):
        options = dict(nb_filters=self.n(), kernel_size=self.n(2, 4), dilations=(1, 2) if self.kit.v3 and self.kit.suffix == ".h5" else [1, 2], return_sequences="last" not in words)
        for word in words:
            options.update({"bn": dict(use_batch_norm=True), "ln": dict(use_layer_norm=True), "same": dict(padding="same"), "noskip": dict(use_skip_connections=False),
                            "stacks": dict(nb_stacks=2), "tanh": dict(activation="tanh"), "selu": dict(activation="selu"), "dropout": dict(dropout_rate=0.2),
                            "uniform": dict(kernel_initializer="glorot_uniform")}.get(word, {}))
        return self.kit.TCN(**options)(x)

    def piece(self, word, x):
        L, n, rng = self.L, self.n, self.rng
        if word.startswith("tcn"):
            return self.tcn(x, *re.findall(r"\w+", word)[1:])
        make = {
            "conv": lambda: L.Conv1D(n(), 3, padding=str(rng.choice(["same", "causal", "valid"])), activation="relu"), "strided": lambda: L.Conv1D(n(), 3, strides=2, padding="same"),
            "sepconv": lambda: L.SeparableConv1D(n(), 3, padding="same"), "maxpool": lambda: L.MaxPooling1D(2), "avgpool": lambda: L.AveragePooling1D(2, padding="same"),
            "upsample": lambda: L.UpSampling1D(2), "pad": lambda: L.ZeroPadding1D(1), "crop": lambda: L.Cropping1D(1), "noise": lambda: L.GaussianNoise(0.3), "gdrop": lambda: L.GaussianDropout(0.2),
            "bn": lambda: L.BatchNormalization(), "ln": lambda: L.LayerNormalization(epsilon=1e-5), "tddense": lambda: L.TimeDistributed(L.Dense(n(), activation="tanh")),
            "prelu": lambda: L.PReLU(shared_axes=[1]), "leaky": lambda: L.LeakyReLU(0.1), "elu": lambda: L.ELU(0.7), "relu6": lambda: L.ReLU(max_value=6.0), "dense": lambda: L.Dense(n(), activation="relu"), "swish": lambda: L.Dense(n(), activation="swish"),
            "bilstm-seq": lambda: L.Bidirectional(L.LSTM(n(2, 4), return_sequences=True)), "lstm-seq": lambda: L.LSTM(n(), return_sequences=True), "gru-seq": lambda: L.GRU(n(), return_sequences=True),
            "rnn-seq": lambda: L.SimpleRNN(n(), return_sequences=True), "lstm": lambda: L.LSTM(n()), "gru": lambda: L.GRU(n()), "bigru": lambda: L.Bidirectional(L.GRU(n(2, 4)), merge_mode="sum"),
            "permute": lambda: L.Permute((2, 1)), "flatten": lambda: L.Flatten(), "gap": lambda: L.GlobalAveragePooling1D(), "gmp": lambda: L.GlobalMaxPooling1D(),
            "dropout": lambda: L.Dropout(0.3), "sdrop": lambda: L.SpatialDropout1D(0.2), "repeat": lambda: L.RepeatVector(8), "softmax": lambda: L.Softmax(), "act": lambda: L.Activation("tanh"),
            "head": lambda: L.Dense(n(1, 4), name="head"), "unit": lambda: L.Dense(5, activation="elu", kernel_regularizer="l2", kernel_constraint="max_norm"), "areg": lambda: L.ActivityRegularization(l2=0.01)}
        if word in make:
            return make[word]()(x)
        width = int(x.shape[-1])
        if word == "mha":
            return L.MultiHeadAttention(2, 3)(x, x)
        if word == "attention":
            return L.Attention(use_scale=True)([x, L.Dense(width)(x)])
        if word == "additive":
            return L.AdditiveAttention()([x, L.Dense(width)(x)])
        if word == "residual":
            return L.Add()([x, L.Dense(width, activation="tanh")(x)])
        if word == "gate":
            return L.Multiply()([x, L.Dense(width, activation="sigmoid")(x)])
        if word == "concat":
            return L.Concatenate(axis=-1)([x, L.Dense(n(), activation="relu")(x)])
        raise KeyError(word)


def chain(words, sequential=False):
    kind, *words = words.split()

    def make(kit, rng):
        pieces = Pieces(kit, rng)
        i, x = pieces.inputs(kind)
        for word in words:
            x = pieces.piece(word, x)
        model = kit.keras.Model(i, x)
        if sequential:  # the same layers, rebuilt as Sequential
            model = kit.keras.Sequential([kit.keras.Input(i.shape[1:])] + [layer.__class__.from_config(layer.get_config()) for layer in model.layers[1:]])
        return model, dict(ints=pieces.ints, blank=pieces.blank)
    return make


def random_chains(seed, count, norms):
    """Rows of pieces that fit each other, drawn by seed."""
    rng = np.random.RandomState(seed)

    def pick(words, k):
        return [str(w) for w in rng.choice(words.split(), k, replace=False)]
    rows = []
    for _ in range(count):
        kind = str(rng.choice(["float", "float", "float", "embedding", "flat", "masking", "any-length"]))
        row = [kind] + (["lstm-seq"] if kind == "masking" else [])
        row += pick("conv strided maxpool avgpool noise bn ln tddense prelu leaky sdrop mha sepconv" if kind != "any-length" else "conv noise bn ln tddense leaky", rng.randint(0, 3))
        extra = pick("dropout same noskip stacks tanh selu uniform" if kind != "any-length" else "dropout noskip stacks tanh", rng.randint(0, 3)) + (pick("bn ln none", 1) if norms else [])
        if rng.rand() < 0.5:
            row += ["tcn(%s)" % ",".join(extra)] + pick("mha attention residual gate concat bilstm-seq gru-seq ln", 1)
            row += pick("gap gmp lstm bigru tcn(last) tcn(last,same)" + ("" if kind == "any-length" else " flatten"), 1)
        else:
            row += ["tcn(last,%s)" % ",".join(extra)]
        row += pick("dense elu dropout ln bn concat gate unit swish", rng.randint(0, 3)) + ["head"]
        rows.append(" ".join(row))
    return rows


# ---- models that are not chains
def siamese(kit, rng):
    shared = kit.TCN(4, kernel_size=2, dilations=[1, 2], name="encoder")
    a, b = kit.keras.Input((10, 3), name="first"), kit.keras.Input((10, 3), name="second")
    x, y = shared(a), shared(b)
    return kit.keras.Model([a, b], kit.L.Dense(2)(kit.L.Concatenate()([kit.L.Subtract()([x, y]), kit.L.Multiply()([x, y])]))), {}


def nested(kit, rng):
    K, L = kit.keras, kit.L
    encoder = K.Sequential([K.Input((12, 3)), L.Conv1D(4, 2, padding="causal"), kit.TCN(4, kernel_size=2, dilations=[1, 2], return_sequences=True), L.Dropout(0.1)], name="encoder")
    i = K.Input((12, 3))
    x = kit.TCN(3, kernel_size=2, dilations=[1, 2], name="decoder")(encoder(i))
    return K.Model(i, L.Dense(2)(x)), {}


def two_in_two_out(kit, rng):
    K, L = kit.keras, kit.L
    series, static = K.Input((12, 2), name="series"), K.Input((5,), name="static")
    x = kit.TCN(4, kernel_size=3, dilations=[1, 2], return_sequences=True)(series)
    last = kit.TCN(3, kernel_size=2, dilations=[1, 2], name="summary")(x)
    h = L.Concatenate()([last, L.Dense(4, activation="relu")(static)])
    return K.Model([series, static], [L.Dense(1, name="price")(h), L.TimeDistributed(L.Dense(2), name="each_step")(x)]), {}


def compiled_with_own_functions(kit, rng):
    K, L = kit.keras, kit.L
    i = K.Input((10, 3))
    m = K.Model(i, L.Dense(1)(kit.TCN(4, kernel_size=2, dilations=[1, 2])(i)))

    def quantile_loss(y, p):
        return kit.tf.reduce_mean(kit.tf.maximum(0.3 * (y - p), -0.7 * (y - p)))

    def my_metric(y, p):
        return kit.tf.reduce_mean(kit.tf.abs(y - p))
    m.compile(K.optimizers.Adam(0.01), loss=quantile_loss, metrics=[my_metric, "mse"])
    m.fit(rng.normal(size=(6, 10, 3)).astype("float32"), rng.normal(size=(6, 1)).astype("float32"), epochs=1, verbose=0)
    return m, {}


def arithmetic(kit, rng):
    i = kit.keras.Input((10, 3))
    x = kit.TCN(4, kernel_size=2, dilations=[1, 2], return_sequences=True)(i * 2.0 + 1.0)
    return kit.keras.Model(i, kit.L.Dense(2)(x - 0.5)), {}


def slicing(kit, rng):
    i = kit.keras.Input((12, 4))
    x = kit.TCN(4, kernel_size=2, dilations=[1, 2], return_sequences=True)(i[:, 2:, :3])
    return kit.keras.Model(i, kit.L.Dense(2)(x[:, -1, :])), {}


def own_layer(kit, rng):
    class TimeWeights(kit.L.Layer):
        def build(self, shape):
            self.w = self.add_weight(name="kernel", shape=(int(shape[1]), 1), initializer="ones")

        def call(self, x):
            return x * self.w
    i = kit.keras.Input((10, 3))
    x = TimeWeights()(kit.TCN(4, kernel_size=2, dilations=[1, 2], return_sequences=True)(i))
    return kit.keras.Model(i, kit.L.Dense(1)(kit.L.Flatten()(x))), dict(custom={"TimeWeights": TimeWeights})


def own_lambda(kit, rng):
    i = kit.keras.Input((10, 3))
    x = kit.L.Lambda(written_by_user("lambda t: t * 3.0 - 1.0"), name="rescale_inputs", output_shape=(10, 3))(i)
    return kit.keras.Model(i, kit.L.Dense(1)(kit.TCN(4, kernel_size=2, dilations=[1, 2])(x))), {}


def plain_named_tcn(kit, rng):
    K, L = kit.keras, kit.L
    return K.Sequential([K.Input((12, 2)), L.Conv1D(4, 2, dilation_rate=1, padding="causal", activation="relu", name="tcn"), L.Conv1D(4, 2, dilation_rate=2, padding="causal", name="residual_block_0"),
                         L.BatchNormalization(), L.Flatten(), L.Dense(1)], name="TCN"), {}


def someone_elses_tcn(kit, rng):
    class TCN(kit.L.Layer):
        def build(self, shape):
            self.conv = kit.L.Conv1D(4, 2, padding="causal", name="conv")
            self.conv.build(shape)
            super().build(shape)

        def call(self, x):
            return self.conv(x)

        def compute_output_shape(self, shape):
            return (shape[0], shape[1], 4)
    i = kit.keras.Input((10, 3))
    return kit.keras.Model(i, kit.L.Dense(1)(TCN()(i))), dict(custom={"TCN": TCN})


def bidirectional(kit, rng):
    i = kit.keras.Input((10, 3))
    x = kit.L.Bidirectional(kit.TCN(3, kernel_size=2, dilations=[1, 2], return_sequences=False))(i)
    return kit.keras.Model(i, kit.L.Dense(1)(x)), {}


def per_window(kit, rng):
    i = kit.keras.Input((4, 8, 2), name="windows")
    x = kit.L.TimeDistributed(kit.TCN(3, kernel_size=2, dilations=[1, 2]), name="each_window")(i)
    return kit.keras.Model(i, kit.L.Dense(1)(kit.L.LSTM(3)(x))), {}


def autoencoder(kit, rng):
    K, L = kit.keras, kit.L
    i = K.Input((8, 3))
    x = kit.TCN(4, kernel_size=2, dilations=[1, 2], name="down")(i)
    x = L.RepeatVector(8)(L.Dense(3)(x))
    x = kit.TCN(4, kernel_size=2, dilations=[1, 2], return_sequences=True, name="up")(x)
    return K.Model(i, L.TimeDistributed(L.Dense(3))(x)), {}


def images(kit, rng):
    K, L = kit.keras, kit.L
    i = K.Input((6, 8, 8, 1), name="frames")
    x = L.TimeDistributed(L.Conv2D(3, 3, activation="relu"))(i)
    x = L.TimeDistributed(L.GlobalAveragePooling2D())(L.TimeDistributed(L.MaxPooling2D(2))(x))
    return K.Model(i, L.Dense(2, activation="softmax")(kit.TCN(4, kernel_size=2, dilations=[1, 2])(x))), {}


def case(env, make, shows, suffix=".h5", **more):
    return dict(env=env, make=make, shows=shows, suffix=suffix, **more)


CASES = {
    "tf28-shared-tcn": case("tf28", siamese, "one TCN called on two inputs (two inbound nodes), then Subtract and Multiply"),
    "k38-shared-tcn-keras": case("k38", siamese, "one TCN called on two inputs, in a .keras", ".keras"),
    "tf24-nested-sequential": case("tf24", nested, "a Sequential with a TCN inside a functional model with another: nested weight groups"),
    "k312-nested-sequential-keras": case("k312", nested, "the nested model in a .keras", ".keras"),
    "tf215-two-in-two-out": case("tf215", two_in_two_out, "two inputs, two TCNs in a row, two outputs"),
    "k315-two-in-two-out-keras": case("k315", two_in_two_out, "two inputs, two outputs in a .keras", ".keras"),
    "tf212-own-loss-and-metric": case("tf212", compiled_with_own_functions, "compiled with a loss and a metric of the user's own, trained one step: no reason to refuse"),
    "k333-own-loss-and-metric-keras": case("k333", compiled_with_own_functions, "a .keras whose compile_config names functions that nobody has", ".keras"),
    "tf28-arithmetic": case("tf28", arithmetic, "x*2+1 and x-0.5: TFOpLambda layers"),
    "tf21-arithmetic": case("tf21", arithmetic, "x*2+1: TensorFlowOpLayer with a node_def"),
    "k315-arithmetic-keras": case("k315", arithmetic, "x*2+1: Keras 3 operations as layers of the config", ".keras"),
    "tf24-slicing": case("tf24", slicing, "x[:, 2:, :3] before and x[:, -1, :] after: SlicingOpLambda"),
    "tf215-own-layer-refused": case("tf215", own_layer, "a custom layer of the user's own without --custom-objects", expect="refused", mentions=["TimeWeights"]),
    "k315-own-layer-refused-keras": case("k315", own_layer, "the same in a .keras", ".keras", expect="refused", mentions=["TimeWeights"]),
    "tf28-own-lambda-refused": case("tf28", own_lambda, "a Lambda of the user's own before the TCN", expect="refused", mentions=["rescale_inputs"]),
    "k38-own-lambda-refused-keras": case("k38", own_lambda, "the same in a .keras", ".keras", expect="refused", mentions=["rescale_inputs"]),
    "tf24-plain-named-tcn": case("tf24", plain_named_tcn, "no keras-tcn at all: plain layers named tcn and residual_block_0", tcn=None),
    "tf28-not-keras-tcn-refused": case("tf28", someone_elses_tcn, "somebody else's class TCN: its config has only name, trainable and dtype", expect="refused", mentions=["TCN"], tcn=None),
    "tf212-bidirectional": case("tf212", bidirectional, "Bidirectional(TCN): forward and backward copy, merged by concat", plain="refuse"),
    "tf28-time-distributed-tcn": case("tf28", per_window, "TimeDistributed(TCN) over windows, then LSTM", plain="refuse"),
    "tf24-autoencoder": case("tf24", autoencoder, "TCN, RepeatVector, TCN, TimeDistributed(Dense)"),
    "tf215-video": case("tf215", images, "TimeDistributed(Conv2D) before the TCN"),
    # chains
    "tf24-masking-lstm": case("tf24", chain("masking lstm-seq tcn(bn) gru head"), "Masking, LSTM, TCN, GRU: the TCN drops the mask, so the GRU sees none"),
    "tf28-embedding-mask": case("tf28", chain("embedding-masked tcn(ln) bigru dense head"), "Embedding(mask_zero=True): the TCN drops the mask"),
    "tf212-savedmodel-conv-pool": case("tf212", chain("float conv maxpool tcn(last,bn) dropout prelu-flat head".replace(" prelu-flat", "")), "a SavedModel (save_traces=False): Conv1D, MaxPooling1D, TCN with batch norm", ""),
    "tf28-savedmodel-attention": case("tf28", chain("float noise tcn(ln,same) mha gap dense head"), "a SavedModel (save_traces=False): MultiHeadAttention after the TCN", ""),
    "tf215-sequential": case("tf215", chain("float conv bn tcn(last,bn,stacks) elu unit head", sequential=True), "Sequential; regularizer and constraint as strings in the user's Dense"),
    "k305-sequential-keras": case("k305", chain("float conv ln tcn(last,stacks) leaky head", sequential=True), "Sequential .keras of Keras 3.0.5", ".keras"),
    "k315-h5-batch-norm": case("k315", chain("float tddense tcn(bn,dropout) attention gap head"), "Keras 3.15.1 writing a .h5, TCN with batch norm; Keras 3.15.1 cannot load it again (Attention's score_mode becomes a function)"),
}
PLACES = [("tf24", ".h5", True), ("tf28", ".h5", True), ("tf212", ".h5", True), ("tf215", ".h5", True), ("k305", ".keras", False), ("k333", ".keras", False), ("k315", ".keras", False)]


def add_random(cases, seed, each):
    for place, (env, suffix, norms) in enumerate(PLACES):
        for number, row in enumerate(random_chains(seed + place, each, norms)):
            cases["%s-random-%d%s" % (env, number, "-keras" if suffix == ".keras" else "")] = case(env, chain(row), "drawn: " + row, suffix, seed=seed + 10 * place + number)


add_random(CASES, 100, 2)


def draw(model, rng):
    for variable in model.weights:
        name = (getattr(variable, "path", None) or variable.name).split("/")[-1].split(":")[0]
        shape = [int(n) for n in variable.shape]
        if "seed" in name or "iter" in name:
            continue
        if name in ("gamma", "moving_variance", "scale", "alpha"):
            value = rng.uniform(0.5, 1.5, shape) * (0.4 if name == "alpha" else 1)
        elif "kernel" in name or "embeddings" in name or name == "attention_v":
            value = rng.normal(size=shape) / np.sqrt(max(1, np.prod(shape[:-1]))) * (6 if "embeddings" in name else 1.2)
        else:
            value = rng.normal(size=shape) * 0.3
        variable.assign(value.astype("float32"))


def make_case(name, spec, out):
    release = spec.get("tcn", RELEASE[spec["env"]]) or RELEASE[spec["env"]]
    kit = Kit(spec["env"], release)
    kit.suffix = spec["suffix"]  # Keras 3.15 cannot write a .h5 with a list of dilations (deepcopy of a tracked list)
    seed = spec.get("seed", sum(map(ord, name)))
    rng = np.random.RandomState(seed)
    model, notes = spec["make"](kit, rng)
    xs = []
    for tensor in model.inputs:
        shape = [3] + [9 if n is None else int(n) for n in tensor.shape[1:]]
        if notes.get("ints"):
            x = rng.randint(1, notes["ints"], shape)
        else:
            x = rng.normal(size=shape)
        if notes.get("blank"):
            x[0, -3:] = 0
            x[1, -1:] = 0
        xs.append(x.astype("float32"))

    def predict(m):
        if any(getattr(layer, "stateful", False) is True for layer in m.layers):
            m.reset_states()
        ys = m.predict_on_batch(xs if len(xs) > 1 else xs[0])
        return [np.asarray(y) for y in (ys if isinstance(ys, (list, tuple)) else [ys])]
    best = None
    for attempt in range(8):  # the draw in which the fewest variables are without effect (dead relu, unused path)
        draw(model, np.random.RandomState(seed + attempt))
        ys, dead = predict(model), 0
        for variable in model.weights:
            if "seed" not in variable.name and "iter" not in variable.name:
                value = variable.numpy()
                variable.assign(value * 1.3 + 0.1)
                dead += all(np.abs(a - b).max() < 1e-5 * b.std() for a, b in zip(predict(model), ys))
                variable.assign(value)
        dead += 100 * any(y.std() < 0.03 for y in ys)
        best = min(best or (dead, attempt), (dead, attempt))
        if not dead:
            break
    draw(model, np.random.RandomState(seed + best[1]))
    ys = predict(model)
    folder = Path(out) / name
    folder.mkdir(parents=True, exist_ok=True)
    source = "old" + spec["suffix"]
    model.save(str(folder / source), **(dict(include_optimizer=False, save_traces=False) if source == "old" else {}))
    custom = dict({"TCN": kit.TCN}, **notes.get("custom", {}))
    custom.update({n: getattr(kit.library.tcn, n) for n in ("ResidualBlock",) if hasattr(kit.library.tcn, n)})
    expect, note = spec.get("expect", "exact"), ""
    said = " DEAD %d" % best[0] if best[0] else ""
    if expect == "exact":
        with kit.keras.utils.custom_object_scope(custom):
            try:
                off = max(float(np.abs(a - b).max()) for a, b in zip(ys, predict(kit.keras.models.load_model(str(folder / source), compile=False))))
                note = "" if off < 1e-5 else " RELOAD OFF BY %g" % off
            except Exception as error:
                note = " RELOAD FAILS %s: %s" % (type(error).__name__, str(error)[:150].replace("\n", " "))
        np.savez_compressed(str(folder / "golden.npz"), **dict([("x%d" % k, v) for k, v in enumerate(xs)] + [("y%d" % k, v.astype("float32")) for k, v in enumerate(ys)]))
    container = {".h5": "h5", ".keras": "keras", "": "savedmodel"}[spec["suffix"]]
    record = {"source": source, "expect": expect, "tags": [container] + (["healthy"] if expect == "exact" else ["refusal"]),
              "made_with": {"python": "%d.%d.%d" % sys.version_info[:3], "tensorflow": kit.tf.__version__, "keras": kit.version, "keras_tcn": release if spec.get("tcn", 0) is not None else "none"},
              "peculiarity": spec["shows"]}
    record.update({key: spec[key] for key in ("mentions", "plain") if key in spec})
    (folder / "case.json").write_text(json.dumps(record, indent=1) + "\n")
    print("%-36s std %s%s" % (name, [round(float(y.std()), 3) for y in ys], said + note))


def main(cases):
    global RELEASES
    env, RELEASES, out = sys.argv[1:4]
    names = sys.argv[4:]
    mine = [n for n, c in cases.items() if c["env"] == env and (not names or n in names)]
    if len(mine) == 1 and names == mine:
        make_case(mine[0], cases[mine[0]], out)
        return
    for name in mine:
        done = subprocess.run([sys.executable, sys.argv[0], env, RELEASES, out, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        print("\n".join(line for line in done.stdout.decode().splitlines() if re.match(r"\S+ +std ", line)) or "%s FAILED\n%s" % (name, done.stderr.decode()[-900:]), flush=True)


if __name__ == "__main__":
    main(CASES)
