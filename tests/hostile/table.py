"""What each hostile file attempts, and what must come of it: the one table, which docs/safety.md sums up."""

from __future__ import annotations

import json
import pickle
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.hostile import bend
from tests.hostile.bend import (
    KERNEL,
    STORE_KERNEL,
    bomb,
    deflated_twice,
    filtered,
    h5,
    inserted,
    keras,
    lambda2,
    lambda3,
    layer,
    linked,
    member,
    members,
    recast,
    replaced,
    setting,
    stored_outside,
    virtual,
    widened,
    zipped,
)

REFUSED, PASSES, EITHER = "refused", "passes", "either"


@dataclass(frozen=True)
class Place:
    """Where a hostile file is made.

    Attributes:
        secret: a folder of files that are not its to read.
        canary: the file that its code would make.
    """

    secret: Path
    canary: Path


@dataclass(frozen=True)
class Hostile:
    """One file.

    Attributes:
        id: its name; the kind stands before the first dash.
        attempts: what a careless program would do.
        suffix: of the file; "" for a folder.
        make: its bytes.
        expect: "refused", "passes" (with the arrays exact), or "either", as long as nothing else happens.
        words: must stand in the refusal; a|b: one of them.
    """

    id: str
    attempts: str
    suffix: str
    make: Callable[[Place], Any]
    expect: str = REFUSED
    words: tuple[str, ...] = ()


def _folder(change: Callable[[Path, Place], Any]) -> Callable[[Place], Callable[[Path], None]]:
    """A copy of the SavedModel, bent."""

    def make(place: Place) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            shutil.copytree(bend.SAVED_MODEL, path)
            change(path, place)

        return write

    return make


def _calls(
    module: str, name: str, arguments: list[Any], keywords: dict[str, Any] | None = None
) -> Callable[[Any], None]:
    """A 'layer' that is a function, called with stored arguments (CVE-2025-1550, CVE-2025-8747)."""
    entry = {"name": "call", "class_name": "function", "config": name, "module": module, "registered_name": name}
    entry["inbound_nodes"] = [{"args": arguments, "kwargs": keywords or {}}]
    inner = {"name": "sub", "layers": [entry], "input_layers": [["call", 0, 0]], "output_layers": [["call", 0, 0]]}
    model = {"module": "keras.models", "class_name": "Functional", "registered_name": "Functional", "config": inner}
    return lambda config: config["config"]["layers"].insert(0, {**model, "name": "sub", "inbound_nodes": []})


def _feeds_itself(config: Any) -> None:
    tcn, head = layer(config, "TCN"), layer(config, "Dense")
    if "module" in head:
        tcn["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = head["name"]
    else:
        tcn["inbound_nodes"][0][0][0] = head["name"]


def _makes_zeros(config: Any) -> None:
    """An operation that is called on no tensor, which Keras computes at once: 40 GB of zeros."""
    entry = {"module": "keras.src.ops.numpy", "class_name": "Zeros", "config": {"name": "z"}, "registered_name": None}
    call = {"args": [[100_000, 100_000]], "kwargs": {}}
    config["config"]["layers"].append({**entry, "name": "z", "inbound_nodes": [call]})


def _renamed(new: str) -> Callable[[Place], bytes]:
    def config(stored: Any) -> None:
        head = layer(stored, "Dense")
        stored["config"]["output_layers"][0][0] = head["config"]["name"] = head["name"] = new

    def change(file: h5py.File) -> None:
        weights = file["model_weights"]
        old = [n.decode() if isinstance(n, bytes) else n for n in weights.attrs["layer_names"]]
        if new and new.isprintable() and "/" not in new and len(new) < 1000:
            weights.move(old[-1], new)
            weights.attrs["layer_names"] = [*old[:-1], new]

    return lambda place: h5(config, change)


def _deep(config: Any) -> None:
    layers, head = config["config"]["layers"], layer(config, "Dense")
    for number in range(1200):
        inserted("Activation", {"activation": "tanh"})(config)
        extra = layers[layers.index(head) - 1]
        name = f"a{number}"
        extra["name"] = extra["config"]["name"] = name
        head["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = name


def _many_layers(config: Any) -> None:
    head = layer(config, "Dense")
    config["config"]["layers"] += [
        {**head, "name": f"d{n}", "config": {"name": f"d{n}", "units": 1}} for n in range(20_000)
    ]


def _shortened(data: bytes, kept: float) -> bytes:
    return data[: int(kept * len(data))]


def _wide_input(name: str, shape: list[int | None], **more: Any) -> Callable[[Place], bytes]:
    return lambda place: h5(setting("InputLayer", **{name: shape}, **more))


LINKS = [
    Hostile(
        "outside-h5-external-link",
        "reads another file's array (CVE-2026-1669)",
        ".h5",
        lambda p: h5(change=linked(KERNEL, h5py.ExternalLink(str(p.secret / "secret.h5"), "kernel"))),
        words=("link",),
    ),
    Hostile(
        "outside-h5-external-group",
        "checks arrays, not groups",
        ".h5",
        lambda p: h5(change=linked(bend.TCN, h5py.ExternalLink(str(p.secret / "secret.h5"), "/"))),
        words=("link",),
    ),
    Hostile(
        "outside-keras-external-link",
        "reads another file's array",
        ".keras",
        lambda p: keras(weights=linked(STORE_KERNEL, h5py.ExternalLink(str(p.secret / "secret.h5"), "kernel"))),
        words=("link",),
    ),
    Hostile(
        "outside-h5-storage",
        "takes any file's bytes for floats",
        ".h5",
        lambda p: h5(change=stored_outside(KERNEL, p.secret / "secret.txt")),
        words=("outside",),
    ),
    Hostile(
        "outside-keras-storage",
        "takes any file's bytes for floats",
        ".keras",
        lambda p: keras(weights=stored_outside(STORE_KERNEL, p.secret / "secret.txt")),
        words=("outside",),
    ),
    Hostile(
        "outside-h5-virtual",
        "reads the other file, or zeros if it is missing",
        ".h5",
        lambda p: h5(change=virtual(KERNEL, p.secret / "secret.h5")),
        words=("virtual",),
    ),
    Hostile(
        "outside-keras-virtual",
        "the same in an archive",
        ".keras",
        lambda p: keras(weights=virtual(STORE_KERNEL, p.secret / "secret.h5")),
        words=("virtual",),
    ),
    Hostile(
        "outside-h5-soft-link",
        "takes one array twice",
        ".h5",
        lambda p: h5(change=linked(KERNEL, h5py.SoftLink("/" + KERNEL.replace("conv1D_0", "conv1D_1")))),
        words=("link",),
    ),
    Hostile(
        "outside-h5-soft-link-circle",
        "follows it for ever",
        ".h5",
        lambda p: h5(change=linked(KERNEL, h5py.SoftLink("/" + KERNEL))),
        words=("link",),
    ),
    Hostile(
        "outside-vocabulary",
        "reads a file into the model (CVE-2025-12058)",
        ".keras",
        lambda p: keras(config=inserted("StringLookup", {"vocabulary": str(p.secret / "secret.txt")})),
        words=("StringLookup",),
    ),
    Hostile(
        "outside-member-paths",
        "unpacks beside the archive",
        ".keras",
        lambda p: keras(member("../outside", b"x"), member(str(p.canary), b"x"), member("C:\\x", b"x")),
        PASSES,
    ),
    Hostile(
        "outside-member-link",
        "unpacks a link and follows it",
        ".keras",
        lambda p: keras(
            member("config.json", str(p.secret / "secret.txt").encode(), attributes=(stat.S_IFLNK | 0o777) << 16),
            without=("config.json",),
        ),
        words=("link",),
    ),
    Hostile(
        "outside-saved-model-link",
        "follows variables/ out of the folder",
        "",
        _folder(
            lambda path, p: (
                shutil.move(path / "variables", p.secret / "variables"),
                (path / "variables").symlink_to(p.secret / "variables"),
            )
        ),
        words=("link|outside",),
    ),
    Hostile(
        "outside-saved-model-shard",
        "follows a shard that is a link",
        "",
        _folder(
            lambda path, p: (
                (path / "variables/variables.data-00000-of-00001").unlink(),
                (path / "variables/variables.data-00000-of-00001").symlink_to(p.secret / "secret.txt"),
            )
        ),
    ),
    Hostile(
        "outside-saved-model-asset",
        "copies an asset that is a link",
        "",
        _folder(
            lambda path, p: (
                (path / "assets").mkdir(exist_ok=True),
                (path / "assets/a").symlink_to(p.secret / "secret.txt"),
            )
        ),
        EITHER,
    ),
]

EXECUTION = [
    Hostile(
        "runs-h5-lambda",
        "runs marshalled code (CVE-2024-3660, CVE-2025-9905)",
        ".h5",
        lambda p: h5(inserted("Lambda", lambda2(p.canary))),
        words=("lambda",),
    ),
    Hostile(
        "runs-keras-lambda",
        "runs it with safe_mode off",
        ".keras",
        lambda p: keras(config=inserted("Lambda", {"function": lambda3(p.canary)})),
        words=("lambda",),
    ),
    Hostile(
        "runs-lambda-by-name",
        "imports a module and calls its function",
        ".h5",
        lambda p: h5(inserted("Lambda", {"function": "getcwd", "function_type": "function", "module": "os"})),
        words=("lambda",),
    ),
    Hostile(
        "runs-lambda-inside-wrapper",
        "looks at the outer layers alone",
        ".h5",
        lambda p: h5(
            inserted(
                "TimeDistributed", {"layer": {"class_name": "Lambda", "config": {"name": "in", **lambda2(p.canary)}}}
            )
        ),
        words=("lambda",),
    ),
    Hostile(
        "runs-lambda-inside-model",
        "looks at the outer layers alone",
        ".keras",
        lambda p: keras(
            config=inserted(
                "Sequential",
                {
                    "layers": [
                        {
                            "module": "keras.layers",
                            "class_name": "Lambda",
                            "config": {"name": "in", "function": lambda3(p.canary)},
                            "registered_name": None,
                        }
                    ]
                },
                module="keras.models",
            )
        ),
        words=("lambda",),
    ),
    Hostile(
        "runs-activation",
        "hands code to activations.get",
        ".keras",
        lambda p: keras(config=setting(activation=lambda3(p.canary))),
        words=("activation",),
    ),
    Hostile(
        "runs-regularizer",
        "deserializes what training alone needs",
        ".keras",
        lambda p: keras(config=setting("Dense", kernel_regularizer=lambda3(p.canary))),
        EITHER,
    ),
    Hostile(
        "runs-compile-config",
        "compiles with the file's own loss",
        ".keras",
        lambda p: keras(config=lambda c: c.update(compile_config={"optimizer": "adam", "loss": lambda3(p.canary)})),
        EITHER,
    ),
    Hostile(
        "runs-training-config",
        "imports the module of the loss",
        ".h5",
        lambda p: h5(
            change=lambda f: f.attrs.__setitem__(
                "training_config",
                json.dumps(
                    {
                        "loss": {
                            "module": "evil_tcn",
                            "class_name": "function",
                            "config": "loss",
                            "registered_name": "loss",
                        }
                    }
                ),
            )
        ),
        EITHER,
    ),
    Hostile(
        "runs-module",
        "imports the module that the TCN names",
        ".keras",
        lambda p: keras(config=lambda c: layer(c, "TCN").update(module="evil_tcn")),
        EITHER,
    ),
    Hostile(
        "runs-class",
        "imports a module to look for a class",
        ".keras",
        lambda p: keras(config=inserted("EvilLayer", {}, module="evil_tcn", registered_name="EvilLayer")),
        words=("EvilLayer",),
    ),
    Hostile(
        "runs-os-system",
        "calls a function of the file's choice (CVE-2025-1550)",
        ".keras",
        lambda p: keras(config=_calls("os", "system", [f"touch {p.canary}"])),
        words=("system",),
    ),
    Hostile(
        "runs-get-file",
        "downloads what the file says (CVE-2025-8747)",
        ".keras",
        lambda p: keras(config=_calls("keras.utils", "get_file", ["x"], {"origin": f"file://{p.secret}/secret.txt"})),
        words=("get_file",),
    ),
    Hostile(
        "runs-load-model",
        "loads a second file without a guard (CVE-2025-9906)",
        ".keras",
        lambda p: keras(config=_calls("keras.saving", "load_model", ["x.keras"], {"safe_mode": False})),
        words=("load_model",),
    ),
    Hostile(
        "runs-call-argument",
        "deserializes the arguments of a call",
        ".keras",
        lambda p: keras(
            config=lambda c: layer(c, "TCN")["inbound_nodes"][0]["kwargs"].update(
                training={"module": "evil_tcn", "class_name": "function", "config": "loss"}
            )
        ),
    ),
    Hostile(
        "runs-registered-name",
        "checks one name and builds the other",
        ".keras",
        lambda p: keras(config=lambda c: layer(c, "Dense").update(registered_name="Custom>TCN")),
        words=("TCN",),
    ),
    Hostile(
        "runs-dunder",
        "walks from a class to builtins",
        ".keras",
        lambda p: keras(config=inserted("layers.Dense.__init__.__globals__", {}, module="keras")),
    ),
    Hostile(
        "runs-typespec",
        "imports the module of a type",
        ".keras",
        lambda p: keras(config=setting(padding={"class_name": "__typespec__", "module": "evil_tcn", "config": []})),
        words=("padding",),
    ),
    Hostile(
        "runs-saved-model-layer",
        "runs another SavedModel",
        ".keras",
        lambda p: keras(config=inserted("TFSMLayer", {"filepath": str(p.secret)})),
        words=("TFSMLayer",),
    ),
    Hostile(
        "runs-torch-module",
        "unpickles",
        ".keras",
        lambda p: keras(config=inserted("TorchModuleWrapper", {"module": "gA=="})),
        words=("TorchModuleWrapper",),
    ),
    Hostile("runs-pickle-h5", "tries pickle as a last resort", ".h5", lambda p: pickle.dumps(bend.Pickled(p.canary))),
    Hostile("runs-pickle-keras", "the same", ".keras", lambda p: pickle.dumps(bend.Pickled(p.canary), protocol=2)),
    Hostile(
        "runs-npz",
        "reads weights that are a pickle",
        ".keras",
        lambda p: keras(
            member("model.weights.npz", pickle.dumps(bend.Pickled(p.canary))), without=("model.weights.h5",)
        ),
    ),
    Hostile(
        "runs-yaml",
        "yaml.unsafe_load (CVE-2021-37678)",
        ".yaml",
        lambda p: f"!!python/object/apply:os.system ['touch {p.canary}']\n".encode(),
    ),
]

EXHAUSTION = [
    Hostile(
        "size-config-bomb",
        "reads 300 MiB out of 0.3 MB",
        ".keras",
        lambda p: keras(bomb("config.json", members()["config.json"], 300), without=("config.json",)),
        words=("config.json",),
    ),
    Hostile(
        "size-config-lie",
        "trusts the directory, which says 200 bytes",
        ".keras",
        lambda p: keras(bomb("config.json", members()["config.json"], 300, says=200), without=("config.json",)),
    ),
    Hostile(
        "size-weights-bomb",
        "inflates zeros for ever",
        ".keras",
        lambda p: keras(bomb("model.weights.h5", members()["model.weights.h5"], 300), without=("model.weights.h5",)),
        words=("model.weights.h5",),
    ),
    Hostile("size-asset-bomb", "unpacks everything", ".keras", lambda p: keras(bomb("assets/big", b"", 300)), PASSES),
    Hostile(
        "size-many-members",
        "is quadratic in members",
        ".keras",
        lambda p: keras(*(member(f"a/{n}", b"") for n in range(5000))),
        PASSES,
    ),
    Hostile(
        "size-directory",
        "makes an object of each of 200 000 members",
        ".keras",
        lambda p: keras(*([member("a/" + 20 * "b", b"")] * 200_000)),
        words=("members",),
    ),
    Hostile(
        "size-declared",
        "allocates 8 TB before it looks at the config (CVE-2026-0897)",
        ".h5",
        lambda p: h5(change=replaced(KERNEL, shape=(2, 10**6, 10**6), chunks=(1, 100, 100), dtype="f4")),
        words=("conv1D_0",),
    ),
    Hostile(
        "size-agreeing-unwritten",
        "reads 7 GB, since the shapes agree",
        ".h5",
        lambda p: widened(30_000, lambda f, path, shape: replaced(path, shape=shape, dtype="f4", chunks=True)(f)),
        words=("written",),
    ),
    Hostile(
        "size-agreeing-deflated",
        "inflates GBs out of kBs",
        ".h5",
        lambda p: widened(3_000, lambda f, path, shape: deflated_twice(path, shape)(f)),
        words=("stored|declares",),
    ),
    Hostile(
        "size-many-small-bombs",
        "counts each array alone, and none is above 64 MiB",
        ".h5",
        lambda p: widened(2_000, lambda f, path, shape: deflated_twice(path, shape)(f)),
        words=("declares",),
    ),
    Hostile(
        "size-chunk",
        "inflates a chunk far larger than its array",
        ".h5",
        lambda p: h5(
            change=lambda f: replaced(
                KERNEL, data=f[KERNEL][()], maxshape=(None,) * 3, chunks=(2**8, 2**8, 2**9), compression="gzip"
            )(f)
        ),
        words=("chunks",),
    ),
    Hostile(
        "size-json-depth",
        "recurses",
        ".h5",
        lambda p: h5(text='{"class_name": "Model", "config": ' + "[" * 10**5 + "]" * 10**5 + "}"),
    ),
    Hostile(
        "size-setting-depth",
        "json reads it, the own walk recurses",
        ".keras",
        lambda p: keras(
            text=json.dumps(json.loads(members()["config.json"])).replace('"causal"', '{"a":' * 900 + "1" + "}" * 900)
        ),
    ),
    Hostile(
        "size-json-values",
        "makes 40 million lists",
        ".keras",
        lambda p: zipped(
            *(member(n, d, method=8) for n, d in members(config=setting(dilations=[[]] * 5_000_000)).items())
        ),
        words=("dilations",),
    ),
    Hostile(
        "size-dilations",
        "builds a million blocks",
        ".keras",
        lambda p: keras(config=setting(dilations=[1] * 10**5)),
        words=("dilations",),
    ),
    Hostile("size-stacks", "builds 10⁹ blocks", ".h5", lambda p: h5(setting(nb_stacks=10**9)), words=("nb_stacks",)),
    Hostile("size-filters", "makes 10⁹ filters", ".h5", lambda p: h5(setting(nb_filters=10**9)), words=("nb_filters",)),
    Hostile(
        "size-kernel",
        "makes a kernel of 10⁹ steps",
        ".h5",
        lambda p: h5(setting(kernel_size=10**9)),
        words=("kernel_size",),
    ),
    Hostile(
        "size-dilation",
        "pads by 10⁷ steps",
        ".h5",
        lambda p: h5(lambda c: setting(dilations=[10**7] * len(layer(c, "TCN")["config"]["dilations"]))(c)),
        words=("dilation",),
    ),
    Hostile("size-layers", "builds 20 000 layers", ".keras", lambda p: keras(config=_many_layers), words=("layers",)),
    Hostile(
        "size-deep-graph",
        "lets Keras recurse through 1 200 layers",
        ".keras",
        lambda p: keras(config=_deep),
        words=("in a row",),
    ),
    Hostile(
        "size-wide-input",
        "lets Keras make a kernel for 10⁹ features",
        ".h5",
        _wide_input("batch_input_shape", [None, 9, 10**6]),
        words=("features",),
    ),
    Hostile(
        "size-wide-before-norm",
        "the same behind a Flatten and a Reshape",
        ".keras",
        lambda p: keras(config=lambda c: inserted("RepeatVector", {"n": 10**6})(c)),
        words=("features|shape|n",),
        expect=EITHER,
    ),
    Hostile(
        "size-long-input", "verifies on 10⁹ steps", ".h5", _wide_input("batch_input_shape", [None, 10**9, 2]), EITHER
    ),
    Hostile(
        "size-large-batch",
        "makes the states of 10⁹ examples",
        ".h5",
        _wide_input("batch_input_shape", [10**9, 9, 2]),
        EITHER,
    ),
    Hostile(
        "size-zeros",
        "computes what has no input: 40 GB of zeros",
        ".keras",
        lambda p: keras(config=_makes_zeros),
        words=("z",),
    ),
    Hostile(
        "size-out-of-vocabulary",
        "makes a list of 10⁹ words",
        ".keras",
        lambda p: keras(config=inserted("StringLookup", {"vocabulary": ["a"], "num_oov_indices": 10**9})),
        words=("num_oov_indices",),
    ),
    Hostile(
        "size-digits",
        "Python's own ValueError",
        ".h5",
        lambda p: h5(
            text=h5py.File(bend.H5).attrs["model_config"].replace('"kernel_size": ', '"kernel_size": ' + "9" * 10_000)
        ),
        words=("kernel_size",),
    ),
    Hostile(
        "size-infinite",
        "passes Infinity on",
        ".h5",
        lambda p: h5(setting(dropout_rate=float("inf"))),
        words=("dropout_rate",),
    ),
    Hostile("size-circle", "goes round for ever", ".h5", lambda p: h5(_feeds_itself), words=("circle",)),
    Hostile(
        "size-circle-keras", "the same in Keras 3", ".keras", lambda p: keras(config=_feeds_itself), words=("circle",)
    ),
    Hostile(
        "size-group-circle",
        "walks groups for ever",
        ".h5",
        lambda p: h5(change=lambda f: f[bend.TCN].__setitem__("again", f["model_weights"])),
        EITHER,
    ),
    Hostile(
        "size-many-groups",
        "is quadratic in groups",
        ".h5",
        lambda p: h5(change=lambda f: [f.create_group(f"model_weights/g{n}") for n in range(2000)]),
        EITHER,
    ),
    Hostile("size-attribute", "allocates 1 GiB that an attribute declares", ".h5", lambda p: bend.lying_attribute()),
    Hostile(
        "size-endless-heap",
        "lets HDF5 read a heap that never ends",
        ".h5",
        lambda p: bend.endless_heap(),
        words=("damaged",),
    ),
]

INTEGRITY = [
    *[
        Hostile(f"whole-h5-cut-{kept}", "OSError", ".h5", lambda p, kept=kept: _shortened(h5(), kept))
        for kept in (0.0, 0.005, 0.5, 0.999)
    ],
    *[
        Hostile(f"whole-keras-cut-{kept}", "BadZipFile", ".keras", lambda p, kept=kept: _shortened(keras(), kept))
        for kept in (0.001, 0.5, 0.999)
    ],
    Hostile(
        "whole-weights-cut",
        "OSError of the inner file",
        ".keras",
        lambda p: keras(
            member("model.weights.h5", members()["model.weights.h5"][:20_000]), without=("model.weights.h5",)
        ),
    ),
    Hostile("whole-no-config", "KeyError", ".keras", lambda p: keras(without=("config.json",)), words=("config.json",)),
    Hostile(
        "whole-no-weights",
        "writes fresh weights",
        ".keras",
        lambda p: keras(without=("model.weights.h5",)),
        words=("model.weights.h5",),
    ),
    Hostile("whole-no-metadata", "KeyError", ".keras", lambda p: keras(without=("metadata.json",)), EITHER),
    Hostile(
        "whole-two-configs",
        "the checker reads one, the loader the other",
        ".keras",
        lambda p: keras(member("config.json", members(config=setting(nb_filters=7))["config.json"])),
        words=("config.json",),
    ),
    Hostile(
        "whole-two-names",
        "BadZipFile",
        ".keras",
        lambda p: keras(
            member("config.json", members()["config.json"], inner="metadata.json"), without=("config.json",)
        ),
    ),
    Hostile(
        "whole-checksum",
        "reads past the archive's own check",
        ".keras",
        lambda p: zipped(*(member(n, d, crc=1) if n.endswith("h5") else member(n, d) for n, d in members().items())),
        words=("damaged",),
    ),
    Hostile(
        "whole-encrypted",
        "RuntimeError",
        ".keras",
        lambda p: zipped(*(member(n, d, flags=1) for n, d in members().items())),
        words=("encrypted",),
    ),
    Hostile(
        "whole-method",
        "NotImplementedError, or a dictionary of 4 GiB",
        ".keras",
        lambda p: zipped(*(member(n, d, method=14, packed=d) for n, d in members().items())),
        words=("method",),
    ),
    Hostile("whole-swapped-suffix", "trusts the suffix", ".keras", lambda p: h5(), PASSES),
    Hostile("whole-user-block", "looks for HDF5 at the start alone", ".h5", lambda p: _with_user_block(), PASSES),
    *[
        Hostile(
            f"whole-type-{kind}",
            "casts without a word",
            ".h5",
            lambda p, kind=kind: h5(change=recast(KERNEL, lambda v: v.astype(kind))),
            words=("conv1D_0",),
        )
        for kind in ("<i4", "?", "<c8", "S8")
    ],
    Hostile(
        "whole-type-big-endian",
        "reads garbage",
        ".h5",
        lambda p: h5(change=recast(KERNEL, lambda v: v.astype(">f4"))),
        PASSES,
    ),
    Hostile(
        "whole-type-varying",
        "an array of objects",
        ".h5",
        lambda p: h5(change=lambda f: replaced(KERNEL, shape=f[KERNEL].shape, dtype=h5py.vlen_dtype("f4"))(f)),
        words=("conv1D_0",),
    ),
    Hostile(
        "whole-type-reference",
        "an array of objects",
        ".h5",
        lambda p: h5(change=lambda f: replaced(KERNEL, shape=f[KERNEL].shape, dtype=h5py.ref_dtype)(f)),
    ),
    *[
        Hostile(
            f"whole-shape-{name}",
            "reshapes or broadcasts",
            ".h5",
            lambda p, way=way: h5(change=recast(KERNEL, way)),
            words=("conv1D_0",),
        )
        for name, way in {
            "short": lambda v: v[:1],
            "transposed": lambda v: v.T,
            "flat": np.ravel,
            "empty": lambda v: v[:0],
        }.items()
    ],
    Hostile(
        "whole-unwritten",
        "migrates zeros",
        ".h5",
        lambda p: h5(change=lambda f: replaced(KERNEL, shape=f[KERNEL].shape, dtype="f4")(f)),
        words=("conv1D_0", "written"),
    ),
    Hostile(
        "whole-half-written",
        "migrates half a kernel",
        ".h5",
        lambda p: h5(change=_half_written),
        words=("conv1D_0", "written"),
    ),
    *[
        Hostile(
            f"whole-filter-{number}",
            "HDF5 divides by zero, or loads a plug-in",
            ".h5",
            lambda p, number=number: h5(change=filtered(KERNEL, number)),
            words=("filter",),
        )
        for number in (4, 32001, 32015)
    ],
    Hostile(
        "whole-not-finite",
        "notices NaN late, or never",
        ".h5",
        lambda p: h5(change=recast(KERNEL, lambda v: v * np.nan)),
        EITHER,
    ),
    *[
        Hostile(
            f"whole-config-{number}",
            "KeyError, TypeError",
            ".h5",
            lambda p, text=text: h5(text=text),
            words=("config",),
        )
        for number, text in enumerate(
            [
                "",
                "no json",
                "null",
                "[]",
                "3",
                "{}",
                '{"class_name": 3, "config": {}}',
                '{"class_name": "Model", "config": {"name": "m"}}',
                np.bytes_(b"\xff\xfe"),
                np.arange(9),
            ]
        )
    ],
    Hostile(
        "whole-names-out",
        "reads weight_names from the file's root",
        ".h5",
        lambda p: h5(
            change=lambda f: f[bend.TCN].attrs.__setitem__("weight_names", ["/model_weights/dense/dense/kernel:0"])
        ),
    ),
    Hostile(
        "whole-saved-model-cut",
        "takes zeros for what is cut off",
        "",
        _folder(lambda path, p: (path / "variables/variables.data-00000-of-00001").write_bytes(b"x" * 100)),
    ),
    Hostile("whole-saved-model-bit", "does not look at the stored checksums", "", _folder(lambda path, p: _flip(path))),
    Hostile("whole-text", "traceback", ".h5", lambda p: b"This is not a model.\n" * 50),
    Hostile("whole-zip-of-something", "KeyError", ".keras", lambda p: zipped(member("readme.txt", b"hello"))),
    Hostile("whole-empty-zip", "KeyError", ".keras", lambda p: zipped()),
]

FALSE_VERDICT = "VERIFIED: all predictions equal"
NAMES = {
    "ansi": "\x1b[2J\x1b[31mhead",
    "osc": "\x1b]52;c;aGk=\x07",
    "c1": "\x9b31m",
    "newline": f"head\n{FALSE_VERDICT}",
    "return": f"x\r{FALSE_VERDICT}",
    "bidi": "head\u202egnol\u2066",
    "nul": "he\0ad",
    "surrogate": "head\ud800",
    "html": "<script>alert(1)</script>",
    "slash": "tcn/residual_block_0",
    "markup": "[red]{0.__class__} %s $(id)",
    "path": "../../outside",
    "long": "h" * 60_000,
    "empty": "",
    "dots": "..",
    "separator": "a\u2028b",
}
OUTPUT = [
    *[
        Hostile(f"says-{label}", f"a layer's name: {name[:20]!r}", ".h5", _renamed(name), EITHER)
        for label, name in NAMES.items()
    ],
    Hostile(
        "says-class",
        "prints the unknown class raw",
        ".h5",
        lambda p: h5(inserted(f"Evil\x1b[31m\n{FALSE_VERDICT}", {})),
        words=("Evil",),
    ),
    Hostile(
        "says-version",
        "prints the version raw",
        ".h5",
        lambda p: h5(change=lambda f: f.attrs.__setitem__("keras_version", f"2.15.0\x1b[2J\n{FALSE_VERDICT}")),
        EITHER,
    ),
    Hostile(
        "says-array",
        "lists unused arrays raw",
        ".h5",
        lambda p: h5(change=lambda f: f[bend.TCN].create_dataset(f"\x1b[31m\n{FALSE_VERDICT}", data=np.ones(3, "f4"))),
        EITHER,
    ),
    Hostile(
        "says-member", "lists members raw", ".keras", lambda p: keras(member(f"\x1b[31m\n{FALSE_VERDICT}", b"")), EITHER
    ),
    Hostile(
        "says-model",
        "puts the model's name into a report",
        ".keras",
        lambda p: keras(config=lambda c: c["config"].update(name=f"m\x1b[2J</script>\n{FALSE_VERDICT}")),
        EITHER,
    ),
]

BENIGN = [
    Hostile("good-h5", "", ".h5", lambda p: h5(), PASSES),
    Hostile("good-keras", "", ".keras", lambda p: keras(), PASSES),
    Hostile("good-saved-model", "", "", _folder(lambda path, p: None), PASSES),
    Hostile(
        "good-layer-h5",
        "the twin of every inserted layer",
        ".h5",
        lambda p: h5(inserted("Activation", {"activation": "tanh"})),
        PASSES,
    ),
    Hostile(
        "good-layer-keras",
        "the same",
        ".keras",
        lambda p: keras(config=inserted("Activation", {"activation": "tanh"})),
        PASSES,
    ),
    Hostile(
        "good-deflated",
        "the twin of the bombs",
        ".keras",
        lambda p: zipped(*(member(n, d, method=8) for n, d in members().items())),
        PASSES,
    ),
    Hostile(
        "good-gzip",
        "the twin of the deflated arrays",
        ".h5",
        lambda p: h5(
            change=lambda f: replaced(KERNEL, data=f[KERNEL][()], compression="gzip", shuffle=True, fletcher32=True)(f)
        ),
        PASSES,
    ),
    Hostile(
        "good-lzf",
        "the twin of the foreign filters",
        ".h5",
        lambda p: h5(change=lambda f: replaced(KERNEL, data=f[KERNEL][()], compression="lzf")(f)),
        PASSES,
    ),
    Hostile(
        "good-open-length",
        "the twin of the long input",
        ".h5",
        _wide_input("batch_input_shape", [None, None, 2]),
        EITHER,
    ),
]

TABLE = [*LINKS, *EXECUTION, *EXHAUSTION, *INTEGRITY, *OUTPUT, *BENIGN]


def _half_written(file: h5py.File) -> None:
    values = file[KERNEL][()]
    replaced(KERNEL, shape=values.shape, dtype="f4", chunks=(1, *values.shape[1:]))(file)
    file[KERNEL][0] = values[0]


def _flip(path: Path) -> None:
    data = path / "variables/variables.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[20] ^= 1
    data.write_bytes(bytes(content))


def _with_user_block() -> bytes:
    import io

    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(h5())) as old, h5py.File(buffer, "w", userblock_size=512) as new:
        for name in old:
            old.copy(name, new)
        for name, value in old.attrs.items():
            new.attrs[name] = value
    data = bytearray(buffer.getvalue())
    data[:17] = b"#!/bin/sh\nexit 0\n"
    return bytes(data)
