"""Fixtures `keras3`: keras-tcn 3.5.1-3.5.7 models saved by Keras 3 (.keras, whole-model .h5, .weights.h5).

    python keras3.py OUT [CASE...]

Runs in Python 3.11 with tensorflow 2.21.0, h5py 3.14, and with one keras and one keras-tcn release on the path; it makes
the cases whose releases are the installed ones (table at the foot of each @case line), so run it once for every pair.
`--pairs` prints the pairs. Weights are drawn from a seed that comes from the case's name.
"""
import io
import json
import os
import platform
import sys
import zipfile
import zlib
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import h5py  # noqa: E402
import numpy as np  # noqa: E402

CASES = {}


def case(name, tcn, keras, why, file="old.keras", x=None, batch_norms=0, layer_norms=0, expect="exact", policy=None,
         tags=("healthy",), damage=None, golden=True, **more):
    """A model to save. batch_norms/layer_norms: how many were made before in the session (they move the counters)."""
    def note(build):
        CASES[name] = dict(name=name, tcn=tcn, keras=keras, why=why, file=file, x=x, batch_norms=batch_norms, layer_norms=layer_norms,
                           expect=expect, policy=policy, tags=list(tags), damage=damage, golden=golden, more=more, build=build)
        return build
    return note


def libraries():
    global K, L, T, Model, Input, Sequential, TCN
    import keras as K
    from tensorflow.keras import Input, Model, Sequential
    from tensorflow.keras import layers as L
    import tcn as T
    from tcn import TCN
    globals().update(locals())


def t(filters=4, kernel=2, dilations=(1, 2), stacks=1, **more):
    return TCN(nb_filters=filters, kernel_size=kernel, nb_stacks=stacks, dilations=dilations, **more)


def bn(*a, **k):
    return t(*a, use_batch_norm=True, **k)


def ln(*a, **k):
    return t(*a, use_layer_norm=True, **k)


def chain(shape, *steps):
    first = x = Input(shape)
    for step in steps:
        x = step(x)
    return Model(first, x)


def fresh(spec):
    """A session whose counters stand as the case wants them."""
    getattr(K.utils, "clear_session", K.backend.clear_session)()
    set_policy(spec["policy"] or "float32")
    for _ in range(spec["batch_norms"]):
        L.BatchNormalization()
    for _ in range(spec["layer_norms"]):
        L.LayerNormalization()


def set_policy(name):
    (getattr(K, "mixed_precision", None) or K.config).set_dtype_policy(name)


def draw(model, seed):
    """Values with which every variable matters."""
    rng = np.random.default_rng(seed)
    for v in model.variables:
        kind, shape = v.path.split("/")[-1], tuple(v.shape)
        if "seed" in kind or not shape or "int" in str(v.dtype):
            continue
        if "kernel" in kind or kind == "embeddings":
            a = rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))
        elif kind in ("gamma", "moving_variance"):
            a = rng.uniform(0.5, 1.5, shape)
        else:
            a = 0.3 * rng.normal(size=shape)
        v.assign(a.astype("float32"))


def outputs(model, feed):
    y = model(feed, training=False)
    y = list(y.values()) if isinstance(y, dict) else y
    return [np.asarray(K.ops.cast(a, "float32")) for a in (y if isinstance(y, (list, tuple)) else [y])]


def all_matter(model, feed):
    """Does the output change with every variable (a dead unit would hide a swap)?"""
    before = outputs(model, feed)
    unused = set()  # with skips the last block's residual sum goes nowhere, and so does its matching convolution
    for layer in model._flatten_layers():
        if isinstance(layer, TCN) and layer.use_skip_connections:
            unused |= {id(v) for v in layer.residual_blocks[-1].shape_match_conv.variables}
    if any(a.std(axis=0).max() < 0.02 for a in before):
        return False
    for v in model.variables:
        kind = v.path.split("/")[-1]
        if "seed" in kind or not tuple(v.shape) or "int" in str(v.dtype) or id(v) in unused:
            continue
        old = K.ops.convert_to_numpy(K.ops.cast(v, "float32"))
        v.assign(old + 0.25 * np.random.default_rng(5).normal(size=old.shape) if kind != "moving_variance" else 1.6 * old)
        after = outputs(model, feed)
        v.assign(old)
        if max(np.abs(a - b).max() / b.std() for a, b in zip(after, before)) < 0.01 and not (kind == "bias" and "attention/key" in v.path):
            return False
    return True


def save(model, path):
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
        (path.parent / "model.json").write_text(model.to_json())
    else:
        model.save(path)


def release():
    found = [Path(p).name for p in sys.path if (Path(p) / "tcn" / "tcn.py").exists()]
    return found[0] if found and found[0].startswith("3.") else T.__version__


def make(spec, out):
    folder = Path(out) / spec["name"]
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    seed = zlib.crc32(spec["name"].encode()) % 10000
    fresh(spec)
    model = spec["build"]()
    if isinstance(model, tuple):
        model, spec["x"] = model
    shapes = spec["x"] or [tuple(i.shape[1:]) for i in model.inputs]
    for seed in range(seed, seed + 200):
        draw(model, seed)
        rng = np.random.default_rng(seed + 1)
        xs = [s if isinstance(s, np.ndarray) else rng.normal(size=(3,) + tuple(d or 11 for d in s)).astype("float32") for s in shapes]
        feed = xs if len(xs) > 1 else xs[0]
        if all_matter(model, feed):
            break
    else:
        print(f"{spec['name']}: NOT MADE: some variable never matters", flush=True)
        return

    def predictions(m):
        y = m.predict_on_batch(feed)
        y = list(y.values()) if isinstance(y, dict) else y
        return [np.asarray(a, "float32") for a in (y if isinstance(y, (list, tuple)) else [y])]

    ys, path, note = predictions(model), folder / spec["file"], ""
    try:
        save(model, path)
    except Exception as error:
        note = f"save failed: {type(error).__name__}: {str(error)[:90]!r}, left {path.stat().st_size if path.exists() else 0} bytes"
        if spec["expect"] != "refused":
            raise
    if spec["damage"]:
        spec["damage"](path)
    elif not note and not spec["file"].endswith(".weights.h5") and spec["expect"] == "exact":
        for label, again in (("same counters", spec), ("fresh session", dict(spec, batch_norms=0, layer_norms=0))):
            fresh(again)
            try:
                two = K.models.load_model(path, compile=False, custom_objects={"TCN": TCN, **spec["more"].get("custom", {})})
                note += f"{label}: {max(np.abs(a - b).max() for a, b in zip(predictions(two), ys)):.1e}; "
            except Exception as error:
                note += f"{label}: {type(error).__name__} {str(error)[:70]!r}; "
    if spec["golden"] and spec["expect"] in ("exact", "recovered"):
        np.savez_compressed(folder / "golden.npz", **{f"x{i}": a for i, a in enumerate(xs)}, **{f"y{i}": a for i, a in enumerate(ys)})
    import tensorflow as tf
    about = {"source": spec["file"], "expect": spec["expect"], "tags": spec["tags"] + [spec["file"].split(".", 1)[1]]}
    about.update({k: v for k, v in spec["more"].items() if k != "custom"})
    about["made_with"] = {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": K.__version__, "keras_tcn": spec["tcn"]}
    about["peculiarity"] = spec["why"]
    (folder / "case.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    print(f"{spec['name']}: {path.stat().st_size if path.exists() else 0} bytes; {note}", flush=True)


def main(cases=CASES):
    if "--pairs" in sys.argv:
        for pair in sorted({(c["keras"], c["tcn"]) for c in cases.values()}):
            print(*pair)
        return
    libraries()
    for spec in cases.values():
        if (spec["keras"], spec["tcn"]) == (K.__version__, release()) and (not sys.argv[2:] or spec["name"] in sys.argv[2:]):
            make(spec, sys.argv[1])


# ---- damage -------------------------------------------------------------------------------------------------------
def edit_weights(change):
    """Change model.weights.h5 inside a .keras (the archive is written anew, its other members as they were)."""
    def damage(path):
        with zipfile.ZipFile(path) as old:
            parts = {n: old.read(n) for n in old.namelist()}
        source, target = h5py.File(io.BytesIO(parts["model.weights.h5"])), io.BytesIO()
        with h5py.File(target, "w") as new:
            for name in source:
                source.copy(name, new)
            change(new)
        parts["model.weights.h5"] = target.getvalue()
        with zipfile.ZipFile(path, "w") as new:
            for name, data in parts.items():
                new.writestr(name, data)
    return damage


def edit_h5(change):
    def damage(path):
        with h5py.File(path, "r+") as f:
            change(f)
    return damage


def without(*words, only=None):
    """Drop the groups whose last name starts with one of the words (in the blocks named by only)."""
    def change(f):
        hit = []
        f.visit(lambda n: hit.append(n) if n.split("/")[-1].startswith(words) and (not only or only in n) else None)
        for name in hit:
            if name in f:
                del f[name]
    return change


def cut(size):
    return lambda path: path.write_bytes(path.read_bytes()[:size])


# ---- norm-free and fixed layouts: the controls --------------------------------------------------------------------
@case("plain-351-k305", "3.5.1", "3.0.5", "no norm; oldest release and Keras that work together; sequence output")
def _():
    return chain((10, 3), t(return_sequences=True), L.Dense(2))


@case("plain-352-k38", "3.5.2", "3.8.0", "no norm; last step; vars groups carry the layers' names")
def _():
    return chain((12, 3), t(5, dilations=(1, 4)), L.Dense(2))


@case("plain-352-k333-h5", "3.5.2", "3.3.3", "no norm, whole-model h5, two stacks, dropout", file="old.h5")
def _():
    return chain((9, 2), t(3, 3, (1, 2), 2, dropout_rate=0.3), L.Dense(3, activation="softmax"))


@case("plain-357-k3151", "3.5.7", "3.15.1", "no norm; same padding: the step in the middle, int(time / 2) of an odd time")
def _():
    return chain((11, 3), t(4, 3, padding="same"), L.Dense(2))


@case("batch-norm-353-k350", "3.5.3", "3.5.0", "batch_norm_layers/ holds the norms under class counters, whatever the session had made", batch_norms=30)
def _():
    return chain((10, 3), bn(), L.Dense(2))


@case("batch-norm-355-k314-h5", "3.5.5", "3.14.0", "fixed release, whole-model h5: variables' paths still have session counters", file="old.h5", batch_norms=7)
def _():
    return chain((10, 3), bn(), L.Dense(2))


@case("batch-norm-357-k312-trained", "3.5.7", "3.12.0", "compiled and trained a step: optimizer variables lie beside the layers")
def _():
    model = chain((8, 2), bn(3, dilations=(1,)), L.Dense(1))
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((4, 8, 2), "float32"), np.ones((4, 1), "float32"), verbose=0)
    return model


@case("layer-norm-354-k310", "3.5.4", "3.10.0", "layer_norm_layers/: the first release that has them", layer_norms=5)
def _():
    return chain((10, 3), ln(return_sequences=True), L.Dense(2))


@case("layer-norm-356-k3151-h5", "3.5.6", "3.15.1", "layer norm, whole-model h5, session counters in the variables' paths", file="old.h5", layer_norms=9)
def _():
    return chain((10, 3), ln(3), L.Dense(2))


# ---- issue 270: norms under numbers of a session ------------------------------------------------------------------
@case("numbered-from-20-k38", "3.5.2", "3.8.0", "twenty batch norms had been made before: residual_block_0/batch_normalization_20", batch_norms=20)
def _():
    return chain((10, 3), bn(), L.Dense(2))


@case("numbered-from-20-k305", "3.5.1", "3.0.5", "the same without names in the vars groups", batch_norms=20)
def _():
    return chain((10, 3), bn(return_sequences=True), L.Dense(2))


@case("numbers-cross-10-k333", "3.5.2", "3.3.3", "block 0 has batch_normalization_9 and _10: alphabetic order would swap them", batch_norms=9)
def _():
    return chain((10, 3), bn(), L.Dense(2))


@case("numbers-cross-100-k310", "3.5.2", "3.10.0", "block 0 has batch_normalization_99 and _100", batch_norms=99)
def _():
    return chain((10, 4), bn(), L.Dense(2))


@case("layer-norms-cross-10-k350", "3.5.1", "3.5.0", "layer norms numbered across 9 and 10", layer_norms=9)
def _():
    return chain((10, 3), ln(), L.Dense(2))


@case("layer-norms-353-k38", "3.5.3", "3.8.0", "3.5.3 fixed batch norms only: layer norms are still numbered by the session", layer_norms=6)
def _():
    return chain((10, 3), ln(3, dilations=(1, 2)), L.Dense(2))


@case("norm-before-tcn-k312", "3.5.2", "3.12.0", "a batch norm of the model made before the TCN: names are off by one, a skipping reader takes a neighbour's")
def _():
    return chain((10, 3), L.BatchNormalization(), bn(), L.Dense(2))


@case("norm-before-tcn-h5-k314", "3.5.2", "3.14.0", "the same in a whole-model h5", file="old.h5")
def _():
    return chain((10, 3), L.BatchNormalization(), bn(), L.Dense(2))


@case("two-tcns-built-in-other-order", "3.5.2", "3.8.0", "the second TCN of the model was built first: layers/tcn is the one named tcn_1")
def _():
    b = bn(dilations=(1,))
    b.build((None, 10, 4))
    return chain((10, 3), bn(return_sequences=True), b, L.Dense(2))


@case("counters-not-names", "3.5.2", "3.14.0", "two parallel TCNs with names of their own: store keys count classes in the model's order", batch_norms=1)
def _():
    i = Input((10, 3))
    a, b = bn(name="tcn_1", kernel=3, dilations=(1,))(i), bn(name="tcn", dilations=(1,))(i)
    return Model(i, L.Dense(2)(L.Concatenate()([b, a])))


@case("batch-norms-h5-cross-10", "3.5.2", "3.8.0", "whole-model h5: gamma and beta of all blocks come first, the statistics last", file="old.h5", batch_norms=8)
def _():
    return chain((10, 3), bn(), L.Dense(2))


@case("frozen-tcn-h5", "3.5.2", "3.10.0", "trainable=False set on the built layer: another order of weight_names in the h5", file="old.h5", batch_norms=3)
def _():
    model = chain((10, 3), bn(), L.Dense(2))
    model.layers[1].trainable = False
    return model


@case("trained-h5", "3.5.2", "3.5.0", "compiled and trained: optimizer_weights and training_config beside the model's weights", file="old.h5", batch_norms=2)
def _():
    model = chain((8, 2), bn(3, dilations=(1,)), L.Dense(1))
    model.compile("rmsprop", "mse")
    model.fit(np.ones((4, 8, 2), "float32"), np.ones((4, 1), "float32"), verbose=0)
    return model


@case("eleven-blocks", "3.5.2", "3.3.3", "residual_block_10 sorts before residual_block_2", batch_norms=0)
def _():
    return chain((16, 2), t(3, 2, tuple(2 ** (i % 3) for i in range(11))), L.Dense(2))


# ---- where a TCN can stand ----------------------------------------------------------------------------------------
@case("nested-functional", "3.5.2", "3.8.0", "TCN in an inner Functional model and another outside", batch_norms=9)
def _():
    inner = chain((10, 3), bn(dilations=(1,), return_sequences=True))
    return chain((10, 3), inner, bn(dilations=(1,)), L.Dense(2))


@case("nested-sequential-h5", "3.5.2", "3.12.0", "TCN in an inner Sequential, whole-model h5", file="old.h5", batch_norms=9)
def _():
    return chain((10, 3), Sequential([Input((10, 3)), bn(dilations=(1,), return_sequences=True)], name="body"), L.Dense(2))


@case("bidirectional", "3.5.2", "3.8.0", "Bidirectional: forward_layer and backward_layer, the backward one reverses in and is reversed out; never reloads in 3.5.2")
def _():
    return chain((10, 3), L.Bidirectional(bn(dilations=(1,), return_sequences=True)), L.Dense(2))


@case("bidirectional-last-step-h5", "3.5.7", "3.10.0", "Bidirectional without sequences, merged by sum", file="old.h5")
def _():
    return chain((10, 3), L.Bidirectional(t(3, dilations=(1, 2)), merge_mode="sum"), L.Dense(2))


@case("time-distributed", "3.5.2", "3.3.3", "TimeDistributed: layers/time_distributed/layer/residual_block_0", batch_norms=1)
def _():
    return chain((4, 8, 3), L.TimeDistributed(bn(dilations=(1,))), L.Dense(2))


@case("shared-by-two-inputs", "3.5.2", "3.10.0", "one TCN called on two inputs: one set of weights, two nodes", batch_norms=11)
def _():
    a, b, shared = Input((10, 3)), Input((10, 3)), bn()
    return Model([a, b], L.Dense(2)(L.Concatenate()([shared(a), shared(b)])))


@case("sequential-two-tcns", "3.5.7", "3.0.5", "Sequential with two TCNs, fixed layout")
def _():
    return Sequential([Input((10, 3)), bn(return_sequences=True, dilations=(1,)), bn(dilations=(1,)), L.Dense(2)])


@case("operations-between", "3.5.2", "3.12.0", "x + y and keras.ops.relu are in the config but not in the store, and do not count as layers", batch_norms=1)
def _():
    i = Input((10, 3))
    x = bn(dilations=(1,), return_sequences=True)(i)
    y = K.ops.relu(x + L.Dense(4)(i))
    y = L.Add()([y, L.Dense(4)(i)])
    return Model(i, L.Dense(2)(bn(dilations=(1,))(y)))


@case("among-other-layers", "3.5.7", "3.14.0", "embedding, convolution with batch norm, GRU and attention around a TCN: their own store paths")
def _():
    i = Input((10,), dtype="int32")
    x = L.Embedding(7, 3)(i)
    x = L.BatchNormalization()(L.Conv1D(3, 2, padding="same")(x))
    x = bn(3, dilations=(1,), return_sequences=True)(x)
    x = L.MultiHeadAttention(1, 2)(x, x)
    return Model(i, L.Dense(2)(L.GRU(3)(x))), [np.random.default_rng(3).integers(0, 7, (3, 10))]


# ---- what a TCN of these releases computes ------------------------------------------------------------------------
@case("filters-as-list", "3.5.2", "3.8.0", "a list of filters without skips: a matching convolution where the widths differ", batch_norms=1)
def _():
    return chain((10, 3), bn([3, 3, 5], dilations=[1, 2, 4], use_skip_connections=False), L.Dense(2))


@case("no-skip-two-stacks", "3.5.6", "3.14.0", "use_skip_connections false: the last block's output and not the sum")
def _():
    return chain((12, 3), t(4, stacks=2, use_skip_connections=False, return_sequences=True), L.Dense(2))


@case("one-block", "3.5.7", "3.8.0", "a single block: with skips its branch before the residual sum is the output")
def _():
    return chain((10, 3), ln(4, dilations=(2,)), L.Dense(2))


@case("same-dynamic-time", "3.5.2", "3.5.0", "same padding, time unknown: the step at time // 2, known at call time only", x=[(13, 3)])
def _():
    return chain((None, 3), t(4, 3, padding="same"), L.Dense(2))


@case("go-backwards-sequence", "3.5.7", "3.15.1", "go_backwards: the input is reversed, the output is not reversed back")
def _():
    return chain((10, 3), t(go_backwards=True, return_sequences=True), L.Dense(2))


@case("return-state-ignored", "3.5.7", "3.8.0", "return_state is stored and has no effect: one output")
def _():
    return chain((10, 3), t(return_state=True), L.Dense(2))


@case("mask-dropped", "3.5.7", "3.10.0", "a Masking layer before the TCN: the TCN computes on all steps and passes no mask on")
def _():
    x = np.random.default_rng(8).normal(size=(3, 10, 3)).astype("float32")
    x[:, 6:] = 0
    return chain((10, 3), L.Masking(), t(return_sequences=True), L.GlobalAveragePooling1D(), L.Dense(2)), [x]


@case("activation-objects", "3.5.7", "3.12.0", "activation given as a function, initializer as an object: how their configs are stored")
def _():
    return chain((10, 3), t(activation=K.activations.silu, kernel_initializer=K.initializers.GlorotUniform(seed=1)), L.Dense(2))


@case("mixed-float16", "3.5.7", "3.14.0", "mixed_float16 as the session's policy: float32 in the file", policy="mixed_float16", tolerance=0.02)
def _():
    return chain((10, 3), bn(), L.Dense(2, dtype="float32"))


@case("layer-policy-ignored", "3.5.7", "3.8.0", "dtype=mixed_float16 on the TCN alone: its blocks compute in float32 all the same", tolerance=0.02)
def _():
    return chain((10, 3), bn(dtype="mixed_float16"), L.Dense(2))


# ---- refused, undecided, damaged ----------------------------------------------------------------------------------
@case("weights-only-numbered", "3.5.2", "3.8.0", "weights alone, with the model's JSON beside them", file="old.weights.h5", batch_norms=9,
      tags=("healthy", "weights-only"), options=["--architecture", "{case}/model.json"])
def _():
    return chain((10, 3), bn(), L.Dense(2))


@case("subclassed-model", "3.5.7", "3.10.0", "a Model subclass of the user's: its config holds no graph", expect="refused", x=[(10, 3)], mentions=["Forecaster"])
def _():
    class Forecaster(Model):
        def __init__(self, **k):
            super().__init__(**k)
            self.tcn, self.head = bn(dilations=(1,)), L.Dense(2)

        def call(self, x):
            return self.head(self.tcn(x))
    model = Forecaster()
    model(np.zeros((1, 10, 3), "float32"))
    return model


@case("subclass-of-tcn", "3.5.2", "3.12.0", "a TCN subclass of the user's: what it computes is not in the file", expect="refused", mentions=["ScaledTCN"])
def _():
    class ScaledTCN(TCN):
        def call(self, x, training=None):
            return 2 * super().call(x, training=training)
    return chain((10, 3), ScaledTCN(4, 2, 1, (1,)), L.Dense(2))


@case("failed-save-h5-k305", "3.5.2", "3.0.5", "Keras 3.0 cannot write any TCN to a whole-model h5: what it leaves when it raises", file="old.h5",
      tags=("damaged",), expect="refused")
def _():
    return chain((10, 3), bn(), L.Dense(2))


@case("failed-save-list-h5-k38", "3.5.2", "3.8.0", "dilations as a list and batch norm: the h5 save raises and leaves an empty file", file="old.h5",
      tags=("damaged",), expect="refused")
def _():
    return chain((10, 3), bn(dilations=[1, 2]), L.Dense(2))


@case("cut-off-keras", "3.5.2", "3.10.0", "the disk was full: the archive ends in the middle", tags=("damaged",), expect="refused", damage=cut(20000))
def _():
    return chain((10, 3), bn(), L.Dense(2))


@case("norms-stripped", "3.5.2", "3.8.0", "every batch norm's variables are gone from the file", tags=("damaged",), expect="decision",
      damage=edit_weights(without("batch_normalization")), mentions=["residual_block_0", "residual_block_1"])
def _():
    return chain((10, 3), bn(), L.Dense(2))


@case("one-norm-stripped-357", "3.5.7", "3.10.0", "one norm of the fixed layout is gone: batch_norm_layers/batch_normalization_1 of block 1",
      tags=("damaged",), expect="decision", damage=edit_weights(without("batch_normalization_1", only="residual_block_1")), mentions=["residual_block_1"])
def _():
    return chain((10, 3), bn(), L.Dense(2))


@case("kernel-missing", "3.5.7", "3.8.0", "a convolution's variables are gone: nothing can bring them back", tags=("damaged",), expect="refused",
      damage=edit_weights(without("conv1D_1", only="residual_block_1")), mentions=["conv1D_1"])
def _():
    return chain((10, 3), bn(), L.Dense(2))


if __name__ == "__main__":
    main()
