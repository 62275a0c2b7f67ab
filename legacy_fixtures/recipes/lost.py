"""Fixtures `lost`: properly trained models whose norms were then really lost.

    python lost.py train MODEL WORK          environment: TF 2.21, Keras 3.15.1 (models bn, ln) or TF 2.15.1 (model h5); keras-tcn 3.5.2
    python lost.py damage WORK CORPUS        the same two environments, one after the other: each makes its own files
    python lost.py cases WORK CORPUS         any environment with numpy: golden.npz, case.json, _data

The tasks are synthetic but not trivial; 2-3 minutes of training each on two cores. `damage` uses the old library itself
wherever it can do the damage by itself (skip_mismatch=True, a swallowed error, assigning the trainable weights alone, a batch with a
NaN seen in training mode), and h5py where it cannot: no release measured (keras-tcn 3.5.2 with Keras 3.0.5-3.15.1 or 2.15) writes a
file without the norms.
"""
import io
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
import numpy as np  # noqa: E402


# ---- tasks: (inputs, targets)
def adding(n, seed, steps=48):
    """The adding problem: (value, mark); target: the sum of the two marked values."""
    r = np.random.default_rng(seed)
    v, m = r.uniform(-1, 1, (n, steps)), np.zeros((n, steps))
    a, b = r.integers(0, steps // 2, n), r.integers(steps // 2, steps, n)
    i = np.arange(n)
    m[i, a] = m[i, b] = 1
    return np.stack([v, m], -1).astype("float32"), (v[i, a] + v[i, b])[:, None].astype("float32")


def lorenz(n, seed, steps=48, ahead=8, noise=0.05):
    """A noisy Lorenz orbit; target: its three coordinates 8 steps ahead, at every step."""
    r = np.random.default_rng(seed)
    s, out, dt = r.normal(size=(n, 3)) * [8, 8, 8] + [0, 0, 25], [], 0.01

    def f(s):
        x, y, z = s.T
        return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], -1)

    for t in range(600 + 3 * (steps + ahead)):
        k1 = f(s)
        k2 = f(s + dt / 2 * k1)
        k3 = f(s + dt / 2 * k2)
        s = s + dt / 6 * (k1 + 2 * k2 + 2 * k3 + f(s + dt * k3))
        if t >= 600 and t % 3 == 0:
            out.append(s)
    o = (np.stack(out, 1) - [0, 0, 23.5]) / [8, 9, 8.5]
    return (o[:, :steps] + noise * r.normal(size=(n, steps, 3))).astype("float32"), o[:, ahead:ahead + steps].astype("float32")


def shapes(n, seed, steps=48, classes=5):
    """Two noisy channels of one of five wave forms, random phase, period, amplitude, offset and lag; target: which."""
    r = np.random.default_rng(seed)
    c, t = r.integers(0, classes, n), np.arange(steps)[None]
    p = t / r.uniform(8, 20, (n, 1)) + r.uniform(0, 1, (n, 1))
    amp, off = r.uniform(.5, 2, (n, 1)), r.normal(0, .7, (n, 1))
    a = np.stack([np.sin(2 * np.pi * p), np.sign(np.sin(2 * np.pi * p)), 2 * (p % 1) - 1, 2 * np.abs(2 * (p % 1) - 1) - 1,
                  np.sin(2 * np.pi * p * (1 + t / steps))])[c, np.arange(n)]
    b = np.stack([np.roll(row, k) for row, k in zip(a, r.integers(1, 6, n))])
    x = np.stack([amp * a + off, amp * b * .5 - off], -1) + r.normal(0, .45, (n, steps, 2))
    return x.astype("float32"), np.eye(classes, dtype="float32")[c]


MODELS = {
    "bn": dict(task=adding, tcn=dict(nb_filters=20, kernel_size=3, dilations=(1, 2, 4, 8, 16), use_batch_norm=True, dropout_rate=0.0),
               out=1, seed=11, samples=8192, epochs=16),
    "ln": dict(task=lorenz, tcn=dict(nb_filters=16, kernel_size=3, dilations=(1, 2, 4, 8), use_layer_norm=True, return_sequences=True,
                                     dropout_rate=0.05), out=3, seed=12, samples=4096, epochs=14),
    "h5": dict(task=shapes, tcn=dict(nb_filters=16, kernel_size=3, dilations=(1, 2, 4, 8), padding="same", use_batch_norm=True,
                                     dropout_rate=0.1), out=5, softmax=True, seed=13, samples=8192, epochs=12),
}


# ---- training, with the old library
def build(name, shift=0):
    """shift: how many batch norms (layer norms) the process has built before, which is what renames this model's."""
    import tensorflow as tf
    from tcn import TCN

    K, c = tf.keras, MODELS[name]
    K.backend.clear_session()
    for _ in range(shift):
        (K.layers.LayerNormalization if c["tcn"].get("use_layer_norm") else K.layers.BatchNormalization)()
    i = K.Input(c["task"](2, 0)[0].shape[1:])
    h = TCN(**c["tcn"])(i)
    for units in c.get("hidden", ()):
        h = K.layers.Dense(units, activation="relu")(h)
    model = K.Model(i, K.layers.Dense(c["out"], activation="softmax" if c.get("softmax") else None)(h))
    model.compile(loss="categorical_crossentropy" if c.get("softmax") else "mse")
    return model


def suffix(name):
    import tensorflow as tf

    return "keras" if int(tf.__version__.split(".")[1]) > 15 else "h5"


def train(name, work):
    import tensorflow as tf

    K, c = tf.keras, MODELS[name]
    K.utils.set_random_seed(c["seed"])
    model, seed = build(name), c["seed"] * 100
    x, t = c["task"](c["samples"], seed)
    rate = K.optimizers.schedules.CosineDecay(4e-3, c["samples"] // 64 * c["epochs"], alpha=0.02)
    loss = "categorical_crossentropy" if c.get("softmax") else "mse"
    model.compile(K.optimizers.Adam(rate, clipnorm=1.0), loss)
    model.fit(x, t, 64, c["epochs"], verbose=2)
    model.compile(loss=loss)
    model.save(f"{work}/{name}.{suffix(name)}", include_optimizer=False)
    data = {}
    for key, n, s in (("calib", 1024, 2), ("rec", 1024, 3), ("golden", 128, 4), ("test", 2048, 5)):
        data[key + "_x"], data[key + "_t"] = c["task"](n, seed + s)
        data[key + "_y"] = model.predict(data[key + "_x"], verbose=0, batch_size=256)
    np.savez(f"{work}/{name}.data.npz", **data)


# ---- damage by the old library itself
def lay_in(model, old):
    """set_weights through the order of `weights`, which is the same for the same graph"""
    for w, o in zip(model.weights, old.weights):
        w.assign(o)
    return model


def loaded(name, file):
    """The trained model, read with the numbering of a fresh process."""
    model = build(name)
    model.load_weights(file)
    return model


def skip_mismatch(name, file, new, shift):
    model = build(name, shift)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.load_weights(file, skip_mismatch=True)
    model.save(new, include_optimizer=False)


def swallowed(name, file, new, shift=10):
    model = build(name, shift)
    try:
        model.load_weights(file)
        raise SystemExit("the load did not fail")
    except ValueError as error:
        assert "expected" in str(error) and "received 0 variables" in str(error), error
    model.save(new, include_optimizer=False)


def trainable_only(name, file, new):
    """The well-known copy loop over trainable_weights: gamma and beta arrive, the moving statistics stay 0 and 1."""
    old = loaded(name, file)
    values = [w.numpy() for w in old.trainable_weights]
    model = build(name)
    for w, v in zip(model.trainable_weights, values):
        w.assign(v)
    model.save(new, include_optimizer=False)


def poisoned(name, file, new):
    """One batch with a NaN, seen once in training mode: every moving statistic is NaN, gamma and beta are untouched."""
    model = loaded(name, file)
    x = MODELS[name]["task"](8, 0)[0]
    x[3, 5, 0] = np.nan
    model(x, training=True)
    model.save(new, include_optimizer=False)


# ---- damage by h5py
def strip(file, new, drop=None, change=None):
    """Copy a .keras or .h5 without the datasets for which drop(path) holds; change(path, array) may replace an array."""
    import h5py

    raw = zipfile.ZipFile(file).read("model.weights.h5") if str(file).endswith(".keras") else Path(file).read_bytes()
    source, out = h5py.File(io.BytesIO(raw), "r"), io.BytesIO()
    with h5py.File(out, "w") as target:
        for key, value in source.attrs.items():
            target.attrs[key] = value

        def visit(path, item):
            if isinstance(item, h5py.Dataset):
                if drop and drop(path):
                    return
                array = item[()]
                target.create_dataset(path, data=change(path, array) if change else array)
            else:
                group = target.require_group(path)
                for key, value in item.attrs.items():
                    if key == "weight_names" and drop:
                        names = [n if isinstance(n, bytes) else n.encode() for n in value]
                        value = np.array([n for n in names if not drop(path + "/" + n.decode())])
                    group.attrs[key] = value

        source.visititems(visit)
        if drop:  # a group that held nothing but dropped datasets goes too
            empty = []
            target.visititems(lambda p, i: empty.append(p) if "normalization" in p.rsplit("/", 1)[-1] and not any(
                isinstance(target[p + "/" + q], h5py.Dataset) for q in allnames(i)) else None)
            for path in empty:
                del target[path]
    if str(file).endswith(".keras"):
        with zipfile.ZipFile(file) as old, zipfile.ZipFile(new, "w") as zipped:
            for name in old.namelist():
                zipped.writestr(name, out.getvalue() if name == "model.weights.h5" else old.read(name))
    else:
        Path(new).write_bytes(out.getvalue())


def allnames(group):
    names = []
    group.visit(names.append)
    return names


def norm(path):
    return "normalization" in path or "/norm_" in path


def statistic(path):
    """moving mean or variance: vars/2 and vars/3 of a Keras 3 batch norm, moving_* of a Keras 2 file"""
    return norm(path) and (path.rsplit("/", 1)[-1] in ("2", "3") or "moving_" in path)


def truncated(file, new, part=0.7):
    raw = Path(file).read_bytes()
    Path(new).write_bytes(raw[: int(len(raw) * part)])


def damage_keras(work, out):
    bn, ln = f"{work}/bn.keras", f"{work}/ln.keras"
    for file in (bn, ln):
        shutil.copy(file, out)
    skip_mismatch("bn", bn, f"{out}/bn-reset.keras", shift=20)
    skip_mismatch("bn", bn, f"{out}/bn-neighbour.keras", shift=1)
    trainable_only("bn", bn, f"{out}/bn-statistics-reset.keras")
    poisoned("bn", bn, f"{out}/bn-poisoned.keras")
    swallowed("ln", ln, f"{out}/ln-reset.keras")
    import tensorflow as tf

    tf.keras.utils.set_random_seed(1)
    build("bn").save(f"{out}/bn-fresh.keras", include_optimizer=False)
    strip(bn, f"{out}/bn-all-missing.keras", drop=norm)
    strip(ln, f"{out}/ln-all-missing.keras", drop=norm)
    strip(bn, f"{out}/bn-statistics-missing.keras", drop=statistic)
    strip(bn, f"{out}/bn-block-missing.keras", drop=lambda p: norm(p) and "residual_block_2" in p)
    strip(bn, f"{out}/bn-negative.keras", change=lambda p, a: np.where(np.arange(a.size) % 7 == 3, -a, a)
          if "batch_normalization_5" in p and p.endswith("3") else a)
    truncated(bn, f"{out}/bn-truncated.keras")


def damage_h5(work, out):
    h5 = f"{work}/h5.h5"
    shutil.copy(h5, out)
    trainable_only("h5", h5, f"{out}/h5-statistics-reset.h5")
    strip(h5, f"{out}/h5-all-missing.h5", drop=norm)


# ---- the cases
INPUTS, RECORDED = "{case}/../_data/%s-inputs.npz", "{case}/../_data/%s-recorded.npz"
MADE = {"keras": dict(python="3.11.7", tensorflow="2.21.0", keras="3.15.1", keras_tcn="3.5.2"),
        "h5": dict(python="3.11.7", tensorflow="2.15.1", keras="2.15.0", keras_tcn="3.5.2")}


def case(name, source, expect, peculiarity, tags, options=(), **more):
    return dict(name=name, source=source, expect=expect, peculiarity=peculiarity, tags=list(tags), options=list(options), **more)


def measured(model):
    return ["--calibrate", INPUTS % model]


def refitted(model, n=""):
    return ["--reference", RECORDED % (f"{model}-{n}" if n else model)]


SUSPECT = ["--remeasure", "suspect"]


def D(damage, grade):
    return dict(damage=damage, grade=grade)


def R(rmse, seconds=40, loss=None):
    return dict(max_rmse=rmse, max_seconds=seconds, **({"max_loss_ratio": loss} if loss else {}))


def all_cases():
    return [
        case("bn-healthy", "bn.keras", "exact", "the trained batch norm model itself", ["healthy"]),
        case("ln-healthy", "ln.keras", "exact", "the trained layer norm model itself", ["healthy"]),
        case("h5-healthy", "h5.h5", "exact", "the trained Keras 2 batch norm model itself", ["healthy"]),
        case("bn-fresh", "bn-fresh.keras", "exact", "never trained: norms initial, every conv and dense bias exactly 0; healthy, and said to look untrained",
             ["healthy", "untrained"], mentions=["untrained"]),
        case("bn-truncated", "bn-truncated.keras", "refused", "first 70 % of the bytes (disk full)", ["damaged"]),
        case("bn-all-missing", "bn-all-missing.keras", "decision", "no norm variable in the file", ["damaged"], mentions=["residual_block_0", "residual_block_4"]),
        case("bn-all-missing-initialized", "bn-all-missing.keras", "recovered", "everything lost, started afresh on request", ["damaged"],
             ["--reinitialize"], **D("all missing", "initialized"), **R(1000)),
        case("bn-all-missing-measured", "bn-all-missing.keras", "recovered", "everything lost, inputs only", ["damaged"],
             measured("bn") + ["--reinitialize"], **D("all missing", "measured"), **R(0.3)),
        case("bn-all-missing-refitted", "bn-all-missing.keras", "recovered", "everything lost, 1024 recorded predictions", ["damaged"],
             refitted("bn"), **D("all missing", "refitted"), **R(1e-4, loss=1.01)),
        case("bn-all-missing-refitted-256", "bn-all-missing.keras", "recovered", "everything lost (400 numbers), 256 recorded scalars only", ["damaged"],
             refitted("bn", 256), **D("all missing", "refitted, 256 samples"), **R(0.1)),
        case("bn-statistics-missing-measured", "bn-statistics-missing.keras", "recovered", "gamma and beta there, statistics not", ["damaged"],
             measured("bn"), **D("statistics missing", "measured"), **R(0.1)),
        case("bn-statistics-missing-refitted", "bn-statistics-missing.keras", "recovered", "gamma and beta there, statistics not; recorded predictions", ["damaged"],
             refitted("bn"), **D("statistics missing", "refitted"), **R(1e-4, loss=1.01)),
        case("bn-block-missing-refitted", "bn-block-missing.keras", "recovered", "one block's two norms lost, 256 recorded predictions", ["damaged"],
             refitted("bn", 256), mentions=["residual_block_2"], **D("one block missing", "refitted, 256 samples"), **R(1e-4)),
        case("bn-negative-measured", "bn-negative.keras", "recovered", "a negative moving variance in 3 channels of one norm", ["damaged"],
             measured("bn") + SUSPECT, mentions=["residual_block_2"], **D("negative variance", "measured"), **R(0.1)),
        case("bn-reset", "bn-reset.keras", "decision", "skip_mismatch=True in a busy process, saved again: every norm initial, kernels trained", ["damaged"],
             mentions=["reset", "residual_block_0"]),
        case("bn-reset-refitted", "bn-reset.keras", "recovered", "the same, with recorded predictions", ["damaged"],
             refitted("bn") + SUSPECT, **D("reset", "refitted"), **R(1e-4, loss=1.01)),
        case("bn-neighbour", "bn-neighbour.keras", "decision",
             "skip_mismatch=True after one other norm: every block's first norm holds its second's values, the second is initial", ["damaged"],
             mentions=["neighbour"]),
        case("bn-neighbour-refitted", "bn-neighbour.keras", "recovered", "the same, with 256 recorded predictions: half the norms need only be moved back", ["damaged"],
             refitted("bn", 256) + SUSPECT, **D("neighbour", "refitted, 256 samples"), **R(0.05)),
        case("bn-statistics-reset", "bn-statistics-reset.keras", "decision",
             "only trainable_weights were copied: gamma and beta trained, mean 0 and variance 1 everywhere", ["damaged"], mentions=["moving"]),
        case("bn-statistics-reset-refitted", "bn-statistics-reset.keras", "recovered", "the same, with recorded predictions", ["damaged"],
             refitted("bn") + SUSPECT, **D("statistics reset", "refitted"), **R(1e-4, loss=1.01)),
        case("bn-poisoned", "bn-poisoned.keras", "decision", "a NaN seen once in training mode: all statistics NaN, the rest untouched", ["damaged"],
             mentions=["residual_block_0"]),
        case("bn-poisoned-measured", "bn-poisoned.keras", "recovered", "the same, inputs only", ["damaged"],
             measured("bn") + SUSPECT, **D("statistics NaN", "measured"), **R(0.1)),
        case("ln-all-missing-calibrate", "ln-all-missing.keras", "decision", "layer norm has no statistics: inputs alone bring nothing back", ["damaged"],
             measured("ln"), mentions=["residual_block_0"]),
        case("ln-all-missing-refitted", "ln-all-missing.keras", "recovered", "every layer norm lost, 1024 recorded sequences", ["damaged"],
             refitted("ln"), **D("layer norm all missing", "refitted"), **R(1e-3, loss=1.01)),
        case("ln-reset-refitted", "ln-reset.keras", "recovered", "a failing load swallowed by try/except and saved: layer norms initial", ["damaged"],
             refitted("ln") + SUSPECT, **D("layer norm reset", "refitted"), **R(1e-3, loss=1.01)),
        case("h5-all-missing-refitted", "h5-all-missing.h5", "recovered", "Keras 2 .h5 without norm datasets, recorded class probabilities", ["damaged"],
             refitted("h5"), **D("all missing, softmax", "refitted"), **R(1e-4, loss=1.01)),
        case("h5-statistics-reset-measured", "h5-statistics-reset.h5", "recovered", "Keras 2 .h5, only trainable_weights copied; trained with dropout 0.1", ["damaged"],
             measured("h5") + SUSPECT, **D("statistics reset, softmax", "measured"), **R(0.05)),
    ]


def write_cases(work, corpus, todo, shared):
    """shared: which (model, n recorded) data files to write besides the checkpoints, which `damage` has put into _data."""
    corpus = Path(corpus)
    data = {m: np.load(f"{work}/{m}.data.npz") for m in {c["name"].split("-")[0] for c in todo}}
    for model, what, n in shared:
        d = data[model]
        if what == "inputs":
            np.savez_compressed(corpus / "_data" / f"{model}-inputs.npz", x=d["calib_x"][:n])
        else:
            name = model if n == 1024 else f"{model}-{n}"
            np.savez_compressed(corpus / "_data" / f"{name}-recorded.npz", x=d["rec_x"][:n], y=d["rec_y"][:n])
    for c in todo:
        c = dict(c)
        here = corpus / c.pop("name")
        here.mkdir(parents=True, exist_ok=True)
        model = here.name.split("-")[0]
        if c["expect"] in ("exact", "recovered"):
            d = data[model]
            y = np.load(f"{work}/{here.name}.golden.npy") if Path(f"{work}/{here.name}.golden.npy").exists() else d["golden_y"]
            np.savez_compressed(here / "golden.npz", x0=d["golden_x"], y0=y, **({} if c["expect"] == "exact" else {"t0": d["golden_t"]}))
        if "grade" in c:
            c["loss"] = "crossentropy" if MODELS[model].get("softmax") else "mse"
        c["source"], c["made_with"] = "../_data/" + c["source"], MADE["h5" if c["source"].endswith("h5") else "keras"]
        (here / "case.json").write_text(json.dumps(c, indent=1) + "\n")


SHARED = [("bn", "inputs", 1024), ("bn", "recorded", 1024), ("bn", "recorded", 256), ("ln", "inputs", 64), ("ln", "recorded", 1024),
          ("h5", "inputs", 1024), ("h5", "recorded", 1024)]

if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(sys.argv[2], sys.argv[3])
    elif sys.argv[1] == "damage":
        out = Path(sys.argv[3]) / "_data"
        out.mkdir(parents=True, exist_ok=True)
        if suffix("") == "keras":
            damage_keras(sys.argv[2], out)
            fresh = build("bn")
            fresh.load_weights(out / "bn-fresh.keras")
            np.save(f"{sys.argv[2]}/bn-fresh.golden.npy", fresh.predict(np.load(f"{sys.argv[2]}/bn.data.npz")["golden_x"], verbose=0))
        else:
            damage_h5(sys.argv[2], out)
    else:
        write_cases(sys.argv[2], sys.argv[3], all_cases(), SHARED)
