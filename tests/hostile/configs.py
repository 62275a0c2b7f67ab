"""Hostile configs and archives: JSON that is hardly any, settings that are code or paths, models that multiply."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from tests.hostile.bend import MIB, h5, inserted, keras, lambda2, lambda3, layer, member, members, setting, zipped
from tests.hostile.table import EITHER, PASSES, Hostile, Place

Edit = Callable[[Any], Any]


def on3(id: str, attempts: str, edit: Edit, expect: str = "refused", words: tuple[str, ...] = ()) -> Hostile:
    """A config of Keras 3."""
    return Hostile(id, attempts, ".keras", lambda p: keras(config=edit), expect, words)


def on2(id: str, attempts: str, edit: Edit, expect: str = "refused", words: tuple[str, ...] = ()) -> Hostile:
    """A config of Keras 2."""
    return Hostile(id, attempts, ".h5", lambda p: h5(edit), expect, words)


def text3(id: str, attempts: str, change: Callable[[str], Any], expect: str = "refused", words: Any = ()) -> Hostile:
    """The text of a config of Keras 3."""

    def make(place: Place) -> bytes:
        text = change(members()["config.json"].decode())
        held = {**members(), "config.json": text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")}
        return zipped(*(member(name, data, method=8) for name, data in held.items()))

    return Hostile(id, attempts, ".keras", make, expect, words)


def _outside(module: str, name: Any, **more: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": {}, "registered_name": name, **more}


def _operation(module: str, name: Any, *arguments: Any, **keywords: Any) -> Edit:
    """An operation of Keras 3 behind the TCN."""

    def edit(config: Any) -> None:
        inserted("Activation", {"activation": "linear"})(config)
        extra = next(entry for entry in config["config"]["layers"] if entry["name"] == "extra")
        extra.update(module=module, class_name=name, config={"name": "extra"})
        extra["inbound_nodes"][0]["args"] += arguments
        extra["inbound_nodes"][0]["kwargs"] = keywords

    return edit


def _tf_operation(function: Any, **keywords: Any) -> Edit:
    """A TFOpLambda of Keras 2.4 to 2.15 behind the TCN."""

    def edit(config: Any) -> None:
        inserted("TFOpLambda", {"function": function})(config)
        extra = next(entry for entry in config["config"]["layers"] if entry["name"] == "extra")
        extra["inbound_nodes"] = [["tcn", 0, 0, keywords]]

    return edit


def _tensor(name: str, node: int = 0) -> dict[str, Any]:
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 4], "dtype": "float32", "keras_history": [name, node, 0]},
    }


def _called(name: str, times: int = 1) -> dict[str, Any]:
    return {"args": [_tensor(name)], "kwargs": {}}


def doubling(depth: int, calls: int = 2) -> Edit:
    """Models in models, each of which calls the next one so often: 2 to the power of the depth in all."""

    def model(level: int) -> dict[str, Any]:
        shape = {"batch_shape": [None, 4], "dtype": "float32", "sparse": False, "name": f"i{level}"}
        entry = {"module": "keras.layers", "class_name": "InputLayer", "registered_name": None}
        layers: list[Any] = [{**entry, "config": shape, "name": f"i{level}", "inbound_nodes": []}]
        inner = (
            model(level - 1)
            if level
            else {
                "module": "keras.layers",
                "class_name": "Activation",
                "registered_name": None,
                "name": "a",
                "config": {"name": "a", "activation": "tanh"},
            }
        )
        name = inner["name"]
        nodes = [{"args": [_tensor(f"i{level}")], "kwargs": {}}]
        nodes += [{"args": [_tensor(name, number)], "kwargs": {}} for number in range(calls - 1)]
        layers.append({**inner, "inbound_nodes": nodes})
        config = {
            "name": f"m{level}",
            "trainable": True,
            "layers": layers,
            "input_layers": [[f"i{level}", 0, 0]],
            "output_layers": [[name, calls - 1, 0]],
        }
        return {
            "module": "keras.src.models.functional",
            "class_name": "Functional",
            "config": config,
            "registered_name": "Functional",
            "name": f"m{level}",
        }

    def edit(config: Any) -> None:
        inserted("Activation", {"activation": "linear"})(config)
        layers = config["config"]["layers"]
        number = next(n for n, entry in enumerate(layers) if entry["name"] == "extra")
        calls_ = layers[number]["inbound_nodes"]
        layers[number] = {**model(depth), "name": "extra", "inbound_nodes": calls_}
        layers[number]["config"]["name"] = "extra"

    return edit


def chains(models: int, length: int, wide: int) -> Edit:
    """Models whose layers stand in the wrong order, so that a search for the next one begins anew each time."""

    def model(number: int) -> dict[str, Any]:
        base = {"module": "keras.layers", "registered_name": None}
        name = [f"c{number}_{step}" for step in range(length)]
        chain = [
            {
                **base,
                "class_name": "Activation",
                "name": name[step],
                "config": {"name": name[step], "activation": "tanh"},
                "inbound_nodes": [_called(name[step - 1] if step else f"i{number}")],
            }
            for step in range(length)
        ]
        broad = [
            {
                **base,
                "class_name": "Activation",
                "name": f"w{number}_{step}",
                "config": {"name": f"w{number}_{step}", "activation": "tanh"},
                "inbound_nodes": [_called(name[-1])],
            }
            for step in range(wide)
        ]
        shape = {"batch_shape": [None, 4], "dtype": "float32", "sparse": False, "name": f"i{number}"}
        entry = {**base, "class_name": "InputLayer", "config": shape, "name": f"i{number}", "inbound_nodes": []}
        config = {
            "name": f"m{number}",
            "trainable": True,
            "layers": [*broad, *chain[::-1], entry],
            "input_layers": [[f"i{number}", 0, 0]],
            "output_layers": [[name[-1], 0, 0]],
        }
        return {
            "module": "keras.src.models.functional",
            "class_name": "Functional",
            "config": config,
            "registered_name": "Functional",
            "name": f"m{number}",
            "inbound_nodes": [_called("tcn")],
        }

    def edit(config: Any) -> None:
        config["config"]["layers"] += [model(number) for number in range(models)]

    return edit


def _entry(class_name: str, module: str = "keras.layers", **settings: Any) -> Any:
    return {"module": module, "class_name": class_name, "registered_name": None, "config": settings}


def _nested_sequential(depth: int) -> Edit:
    def edit(config: Any) -> None:
        inner = _entry("Activation", name="a", activation="tanh")
        for level in range(depth):
            inner = _entry("Sequential", "keras.models", name=f"s{level}", layers=[inner])
        inserted("Sequential", inner["config"], module="keras.models")(config)

    return edit


def _wrapped(depth: int) -> Edit:
    def edit(config: Any) -> None:
        inner = _entry("Dense", name="d", units=4)
        for level in range(depth):
            inner = _entry("TimeDistributed", name=f"t{level}", layer=inner)
        inserted("TimeDistributed", inner["config"])(config)

    return edit


def _policy(value: Any) -> Edit:
    return lambda config: layer(config, "Dense")["config"].update(dtype=value)


def _compiled(place: Place) -> Edit:
    code = lambda3(place.canary)
    evil = {"module": "evil_tcn", "class_name": "TCN", "config": {}, "registered_name": None}
    return lambda config: config.update(
        compile_config={
            "optimizer": evil,
            "loss": {"a": code, "b": [evil]},
            "metrics": [[code], "evil_tcn.loss"],
            "weighted_metrics": code,
            "run_eagerly": code,
            "jit_compile": code,
            "loss_weights": [code],
        }
    )


def _built(place: Place) -> Edit:
    code = lambda3(place.canary)

    def edit(config: Any) -> None:
        for entry in config["config"]["layers"]:
            entry["build_config"] = {"input_shape": code, "shapes_dict": {"evil_tcn": code}}
            entry["shared_object_id"] = code

    return edit


def _zip64(directory: int, where: str) -> bytes:
    """An archive whose directory says by a 64-bit field that a member is so large, or lies there."""
    data = bytearray(keras())
    place = data.rindex(b"PK\1\2", 0, data.rindex(b"config.json"))
    name = struct.unpack_from("<H", data, place + 28)[0]
    field = {"size": 24, "packed": 20, "offset": 42}[where]
    struct.pack_into("<L", data, place + field, 0xFFFFFFFF)
    extra = struct.pack("<HHQ", 1, 8, directory)
    struct.pack_into("<H", data, place + 30, len(extra))
    data[place + 46 + name : place + 46 + name] = extra
    end = data.rindex(b"PK\5\6")
    struct.pack_into("<L", data, end + 12, struct.unpack_from("<L", data, end + 12)[0] + len(extra))
    return bytes(data)


def _ends(change: Callable[[bytearray, int], Any]) -> bytes:
    """An archive whose end record is changed."""
    data = bytearray(keras())
    change(data, data.rindex(b"PK\5\6"))
    return bytes(data)


def _local(name: str, offset: int, value: bytes) -> bytes:
    """An archive with bytes of a member's own header changed."""
    data = bytearray(keras())
    place = data.index(name.encode()) - 30
    data[place + offset : place + offset + len(value)] = value
    return bytes(data)


def _two_directories() -> bytes:
    """A second end record in the archive's comment, with another directory: some readers take the first."""
    other = keras(config=setting(nb_filters=7))
    data = bytearray(keras())
    place = data.rindex(b"PK\5\6")
    comment = other[-(1 << 15) :]
    struct.pack_into("<H", data, place + 20, len(comment))
    return bytes(data + comment)


def _overlapping() -> bytes:
    """A directory that gives the weights' place to the config."""
    data = bytearray(keras())
    first = data.rindex(b"PK\1\2", 0, data.rindex(b"config.json"))
    second = data.rindex(b"PK\1\2", 0, data.rindex(b"model.weights.h5"))
    data[first + 42 : first + 46] = data[second + 42 : second + 46]
    return bytes(data)


ROUTES: tuple[tuple[str, Edit], ...] = (
    ("layer", lambda c: inserted("system", {}, module="os")(c)),
    ("builtins", lambda c: inserted("eval", {"x": "1"}, module="builtins")(c)),
    ("dots", lambda c: inserted("os.system", {})(c)),
    ("list", lambda c: inserted(["Dense"], {})(c)),
    ("number", lambda c: inserted(7, {})(c)),
    ("proto", lambda c: inserted("__proto__", {})(c)),
    ("keras-utils", lambda c: inserted("get_file", {}, module="keras.utils")(c)),
    ("keras-src", lambda c: inserted("deserialize_keras_object", {}, module="keras.src.saving")(c)),
    ("keras-config", lambda c: inserted("enable_unsafe_deserialization", {}, module="keras.config")(c)),
    ("case", lambda c: inserted("lambda", {"function": "x"})(c)),
    ("padded", lambda c: inserted("Lambda ", {"function": "x"})(c)),
    ("fullwidth", lambda c: inserted("Ｌambda", {"function": "x"})(c)),
    ("package", lambda c: inserted("keras.layers>Lambda", {"function": "x"})(c)),
    ("jax", lambda c: inserted("JaxLayer", {"call_fn": "x"})(c)),
    ("flax", lambda c: inserted("FlaxLayer", {"module": "x"})(c)),
)

CONFIGS = [
    # classes by every route
    *(on3(f"runs-class-{name}-keras", "looks a class up by name", edit) for name, edit in ROUTES),
    *(on2(f"runs-class-{name}-h5", "the same in a file of Keras 2", edit) for name, edit in ROUTES),
    # code in every form of every generation
    *(
        Hostile(
            f"runs-lambda-{name}",
            "runs the code of one generation's form",
            suffix,
            lambda p, make=make, suffix=suffix: (h5 if suffix == ".h5" else lambda e: keras(config=e))(
                inserted("Lambda", make(p))
            ),
            words=("lambda",),
        )
        for name, suffix, make in (
            ("raw-h5", ".h5", lambda p: lambda2(p.canary)),
            ("list-keras", ".keras", lambda p: lambda2(p.canary)),
            ("dict-h5", ".h5", lambda p: {"function": lambda3(p.canary)}),
            (
                "mask-h5",
                ".h5",
                lambda p: {
                    "function": "linear",
                    "function_type": "function",
                    "mask": lambda2(p.canary)["function"],
                    "mask_type": "lambda",
                },
            ),
            (
                "shape-h5",
                ".h5",
                lambda p: {
                    "function": "linear",
                    "function_type": "function",
                    "output_shape": lambda2(p.canary)["function"],
                    "output_shape_type": "lambda",
                },
            ),
            (
                "closure-keras",
                ".keras",
                lambda p: {
                    "function": {
                        **lambda3(p.canary),
                        "config": {**lambda3(p.canary)["config"], "closure": [lambda3(p.canary)], "defaults": ["os"]},
                    }
                },
            ),
            (
                "arguments-keras",
                ".keras",
                lambda p: {
                    "function": _outside("os", "function", config="system"),
                    "arguments": {"command": f"touch {p.canary}"},
                },
            ),
            ("bytes-keras", ".keras", lambda p: {"function": {"class_name": "__bytes__", "config": {"value": "gA=="}}}),
            ("no-code", ".h5", lambda p: {"function": ["", None, None], "function_type": "lambda"}),
            ("huge-code", ".h5", lambda p: {"function": ["A" * 8 * MIB, None, None], "function_type": "lambda"}),
        )
    ),
    # objects where a setting may name one
    *(
        Hostile(
            f"runs-object-{key.replace('_', '-')}",
            f"makes the object that {key} names",
            ".keras",
            lambda p, key=key, owner=owner: keras(config=setting(owner, **{key: _outside("evil_tcn", "TCN")})),
            expect,
        )
        for owner, key, expect in (
            ("Dense", "kernel_initializer", EITHER),
            ("Dense", "bias_constraint", EITHER),
            ("Dense", "activity_regularizer", EITHER),
            ("Dense", "activation", "refused"),
            ("Dense", "dtype", "refused"),
            ("Dense", "units", "refused"),
            ("Dense", "quantization_config", "refused"),
            ("TCN", "activation", "refused"),
            ("TCN", "kernel_initializer", EITHER),
            ("TCN", "dtype", "refused"),
            ("TCN", "padding", "refused"),
            ("TCN", "dilations", "refused"),
            ("TCN", "name", EITHER),
            ("InputLayer", "dtype", "refused"),
            ("InputLayer", "batch_shape", "refused"),
        )
    ),
    on3(
        "runs-policy", "makes a policy of the file's own", _policy(_outside("evil_tcn", "Policy", config={"name": "a"}))
    ),
    on3(
        "runs-policy-quantized",
        "quantizes",
        _policy(_outside("keras", "QuantizedDTypePolicy", config={"mode": "int8", "source_name": "float32"})),
        EITHER,
    ),
    on2(
        "whole-object-without-class",
        "looks for the class of an object that has none",
        setting("Dense", bias_initializer={"module": "keras.initializers", "config": {}, "registered_name": None}),
        EITHER,
    ),
    Hostile(
        "runs-compiled",
        "makes every object of a compile config",
        ".keras",
        lambda p: keras(config=_compiled(p)),
        EITHER,
    ),
    Hostile("runs-built", "makes what a build config names", ".keras", lambda p: keras(config=_built(p)), EITHER),
    Hostile(
        "runs-metadata",
        "imports what metadata.json names",
        ".keras",
        lambda p: keras(
            member("metadata.json", b'{"keras_version": {"module": "evil_tcn", "class_name": "TCN"}}'),
            without=("metadata.json",),
        ),
        EITHER,
    ),
    # operations
    on3("runs-operation-module", "imports an operation's module", _operation("evil_tcn", "TCN")),
    on3(
        "runs-operation-like",
        "takes whatever begins with keras.src.ops",
        _operation("keras.src.ops.numpy.os", "System"),
        words=("system",),
    ),
    on3("runs-operation-function", "calls a function for an operation", _operation("keras.src.ops.numpy", "load")),
    on3(
        "runs-operation-argument",
        "makes the object that an argument is",
        _operation("keras.src.ops.numpy", "Add", _outside("evil_tcn", "TCN")),
    ),
    on3("size-operation-pad", "pads by 10¹²", _operation("keras.src.ops.numpy", "Pad", [[0, 0], [0, 10**12]]), EITHER),
    on3("size-operation-repeat", "repeats 10¹² times", _operation("keras.src.ops.numpy", "Repeat", 10**12), EITHER),
    on3(
        "size-operation-numbers",
        "makes an array of 10¹⁸ numbers of a shape",
        _operation(
            "keras.src.ops.numpy",
            "Add",
            {
                "class_name": "__numpy__",
                "config": {"value": {"class_name": "__tile__", "config": [10**9, 10**9]}, "dtype": "float32"},
            },
        ),
    ),
    *(
        on2(
            f"runs-function-{name.replace('.', '-')}",
            "looks a function of TensorFlow up by name",
            _tf_operation(name, filename="/etc/passwd", x=1),
        )
        for name in (
            "io.read_file",
            "py_function",
            "numpy_function",
            "raw_ops.ReadFile",
            "load_op_library",
            "math.__globals__",
            "saved_model.load",
            "__operators__.__init__",
            "os.system",
            "debugging.assert_",
        )
    ),
    on2("runs-function-list", "a function that is a list", _tf_operation(["math.add"])),
    on2("size-function-tile", "tiles 10¹² times", _tf_operation("tile", multiples=[10**6, 10**6]), EITHER),
    on2("size-function-zeros", "makes zeros of 10¹² numbers", _tf_operation("zeros", shape=[10**6, 10**6]), EITHER),
    on2("size-function-one-hot", "a depth of 10¹²", _tf_operation("one_hot", depth=10**12), EITHER),
    # settings that are files
    *(
        on3(f"outside-{class_name.lower()}-{key}", f"reads what {key} names", inserted(class_name, {key: value}))
        for class_name, key, value in (
            ("TextVectorization", "vocabulary", "/etc/passwd"),
            ("IntegerLookup", "vocabulary", "file:///etc/passwd"),
            ("StringLookup", "vocabulary", "https://example.org/x"),
            ("StringLookup", "idf_weights", "/etc/passwd"),
            ("TextVectorization", "standardize", {"module": "evil_tcn", "class_name": "function", "config": "loss"}),
            ("TextVectorization", "split", lambda3.__name__),
            ("StringLookup", "vocabulary", {"class_name": "__lambda__", "config": {"code": "gA=="}}),
        )
    ),
    on2(
        "whole-shape-of-nothing",
        "looks for the last axis of an input that has none",
        lambda c: (
            layer(c, "InputLayer")["config"].update(batch_input_shape=[]),
            layer(c, "Dense")["inbound_nodes"][0][0].__setitem__(0, layer(c, "InputLayer")["name"]),
        ),
        EITHER,
    ),
    # sizes among the settings
    *(
        on3(
            f"size-{class_name.lower()}-{key.replace('_', '-')}",
            f"{key} as large as can be",
            inserted(class_name, settings),
            EITHER,
        )
        for class_name, key, settings in (
            ("RepeatVector", "n", {"n": 2**31 - 1}),
            ("Reshape", "target_shape", {"target_shape": [2**31 - 1] * 20}),
            ("ZeroPadding1D", "padding", {"padding": [2**31 - 1, 2**31 - 1]}),
            ("UpSampling1D", "size", {"size": 2**31 - 1}),
            ("Permute", "dims", {"dims": list(range(1, 50_000))}),
            ("EinsumDense", "equation", {"equation": "a" * 50_000 + "->" + "b" * 50_000, "output_shape": [1]}),
            ("Normalization", "mean", {"mean": [[0.0] * 300_000], "variance": [[1.0] * 300_000], "axis": -1}),
            ("Discretization", "bin_boundaries", {"bin_boundaries": [1.0] * 300_000}),
            ("CategoryEncoding", "num_tokens", {"num_tokens": 2**31 - 1}),
            ("Hashing", "num_bins", {"num_bins": 2**31 - 1}),
            ("AugMix", "chain_depth", {"chain_depth": [2**31 - 1] * 2, "num_chains": 2**31 - 1}),
            ("MultiHeadAttention", "num_heads", {"num_heads": 2**31 - 1, "key_dim": 2**31 - 1}),
            ("StackedRNNCells", "cells", {"cells": []}),
            ("RNN", "cell", {"cell": None}),
            ("LSTM", "units", {"units": 2**31 - 1, "unroll": True}),
            ("MelSpectrogram", "fft_length", {"fft_length": 2**31 - 1}),
            ("TextVectorization", "ngrams", {"ngrams": 2**31 - 1}),
            ("Resizing", "height", {"height": 2**31 - 1, "width": 2**31 - 1}),
        )
    ),
    *(
        on2(f"size-{key.replace('_', '-')}-{number}", "computes with what is no such number", setting(**{key: value}))
        for number, (key, value) in enumerate(
            (
                ("nb_filters", [4] * 100_000),
                ("nb_filters", {"a": 4}),
                ("nb_filters", 4.0),
                ("nb_filters", "4"),
                ("nb_filters", True),
                ("kernel_size", -2),
                ("kernel_size", [2]),
                ("kernel_size", None),
                ("dilations", {"1": 2}),
                ("dilations", "12"),
                ("dilations", [[1], [2]]),
                ("dilations", [1, 1 << 62]),
                ("dilations", [True, False]),
                ("nb_stacks", 0),
                ("nb_stacks", -1),
                ("nb_stacks", 1 << 70),
                ("dropout_rate", "0.1"),
                ("dropout_rate", -0.5),
                ("dropout_rate", [0.1]),
                ("padding", ["causal"]),
                ("padding", "valid"),
                ("use_skip_connections", "yes"),
                ("return_sequences", 0),
                ("use_batch_norm", [1]),
                ("activation", ["relu"]),
                ("activation", 3),
                ("go_backwards", {}),
            )
        )
    ),
    # models that multiply
    on3("size-doubling", "follows 2³⁰ calls", doubling(30), words=("call",)),
    on3("size-doubling-few", "follows 2¹⁴ calls", doubling(14), words=("call",)),
    on3("size-hundredfold", "follows 100⁵ calls", doubling(5, 100), words=("call",)),
    on3("good-twice", "the twin: a model in a model, each called twice", doubling(1), PASSES),
    on3("size-wrong-order", "looks for the next layer from the start again", chains(1, 800, 1_900), PASSES),
    on3("size-sequential-depth", "recurses through 60 models", _nested_sequential(60)),
    on3("size-wrapper-depth", "recurses through 60 wrappers", _wrapped(60)),
    # JSON
    text3(
        "size-json-digits",
        "Python's own limit on digits",
        lambda t: t.replace('"nb_filters": 4', '"nb_filters": ' + "4" * 5_000),
        words=("nb_filters",),
    ),
    text3(
        "size-json-exponent",
        "reads 1e999",
        lambda t: t.replace('"dropout_rate": 0.0', '"dropout_rate": 1e999'),
        words=("dropout_rate",),
    ),
    text3(
        "size-json-nan",
        "reads NaN",
        lambda t: t.replace('"dilations": [2]', '"dilations": [NaN]'),
        words=("dilations",),
    ),
    text3(
        "whole-json-twice",
        "the checker takes the first, the loader the last",
        lambda t: t.replace('"nb_filters": 4', '"nb_filters": 7, "nb_filters": 4'),
        PASSES,
    ),
    text3(
        "whole-json-twice-class",
        "the same with a class",
        lambda t: t.replace('"class_name": "Dense"', '"class_name": "Dense", "class_name": "Lambda"'),
    ),
    text3(
        "whole-json-proto",
        "sets the prototype of all objects",
        lambda t: t.replace(
            '"units": 2', '"units": 2, "__proto__": {"units": 3}, "__class__": "os", "constructor": null'
        ),
        EITHER,
    ),
    text3("whole-json-utf16", "reads another encoding than it checked", lambda t: t.encode("utf-16"), EITHER),
    text3("whole-json-utf32", "the same", lambda t: t.encode("utf-32-be"), EITHER),
    text3("whole-json-mark", "a mark in front", lambda t: b"\xef\xbb\xbf" + t.encode(), EITHER),
    text3("whole-json-bytes", "bytes that are no text", lambda t: t.encode().replace(b"causal", b"caus\xff\xfel")),
    text3("whole-json-surrogate", "a half of a character", lambda t: t.replace('"causal"', '"\\ud800"')),
    text3("whole-json-trailing", "stops at the first end", lambda t: t + '{"class_name": "Lambda"}'),
    text3("whole-json-comment", "a lenient reader", lambda t: "/* x */" + t),
    text3("whole-json-single", "JSON in JSON in JSON", lambda t: json.dumps(json.dumps(t))),
    text3(
        "size-json-wide",
        "four bytes for a character, 120 MiB for 30",
        lambda t: t.replace('"name": "functional"', '"name": "' + "a" * (30 * MIB) + '\U0001f600"'),
        EITHER,
    ),
    text3(
        "size-json-strings",
        "half a million keys",
        lambda t: t.replace('"units": 2', '"units": 2, ' + ", ".join(f'"k{n}": 0' for n in range(500_000))),
    ),
    text3(
        "size-json-objects",
        "a million empty objects",
        lambda t: t.replace('"dilations": [2]', '"dilations": [' + "{}," * 400_000 + "2]"),
        words=("dilations",),
    ),
    text3(
        "says-json-class",
        "prints a class raw",
        lambda t: t.replace('"class_name": "Dense"', '"class_name": "\\u001b[2J\\u202e\\ud800Dense"'),
        words=("dense",),
    ),
    # archives
    *(
        Hostile(
            f"size-zip64-{where}",
            "believes a field of 64 bits",
            ".keras",
            lambda p, where=where: _zip64(1 << 62, where),
            "refused" if where == "offset" else EITHER,
        )
        for where in ("size", "packed", "offset")
    ),
    Hostile(
        "whole-zip-count",
        "counts 65 535 members",
        ".keras",
        lambda p: _ends(lambda data, end: struct.pack_into("<HH", data, end + 8, 65_535, 65_535)),
        EITHER,
    ),
    Hostile(
        "whole-zip-disks",
        "looks for another disk",
        ".keras",
        lambda p: _ends(lambda data, end: struct.pack_into("<HH", data, end + 4, 3, 3)),
        EITHER,
    ),
    Hostile(
        "whole-zip-directory",
        "a directory that lies beyond the file",
        ".keras",
        lambda p: _ends(lambda data, end: struct.pack_into("<L", data, end + 16, 1 << 31)),
    ),
    Hostile(
        "whole-zip-two-ends", "takes the other one of two directories", ".keras", lambda p: _two_directories(), EITHER
    ),
    Hostile("whole-zip-overlap", "two members in one place", ".keras", lambda p: _overlapping()),
    Hostile(
        "whole-zip-local-extra",
        "a header of its own that reaches beyond the file",
        ".keras",
        lambda p: _local("model.weights.h5", 28, b"\xff\xff"),
    ),
    Hostile(
        "whole-zip-local-encrypted",
        "encrypted by its own header alone",
        ".keras",
        lambda p: _local("model.weights.h5", 6, b"\1"),
        EITHER,
    ),
    Hostile(
        "whole-zip-local-method",
        "another method in its own header",
        ".keras",
        lambda p: _local("model.weights.h5", 8, b"\x0c\0"),
        EITHER,
    ),
    Hostile(
        "whole-zip-descriptor",
        "sizes that stand behind the data",
        ".keras",
        lambda p: zipped(*(member(n, d, flags=8) for n, d in members().items())),
        EITHER,
    ),
    Hostile(
        "whole-zip-stored-size",
        "stored, but not of the stored size",
        ".keras",
        lambda p: zipped(
            *(member(n, d, says=len(d) + 4096 if n.endswith("h5") else None) for n, d in members().items())
        ),
        EITHER,
    ),
    *(
        Hostile(
            f"whole-zip-name-{number}",
            "takes another name for the same",
            ".keras",
            lambda p, name=name: keras(member(name, members(config=setting(nb_filters=7))["config.json"])),
            PASSES,
        )
        for number, name in enumerate(
            (
                "./config.json",
                "CONFIG.JSON",
                "model/config.json",
                "\\config.json",
                "/config.json",
                "..\\..\\config.json",
                "config.json/",
            )
        )
    ),
    Hostile(
        "whole-zip-name-zero",
        "a name that ends early",
        ".keras",
        lambda p: keras(member("config.json\0x", members(config=setting(nb_filters=7))["config.json"])),
    ),
    Hostile(
        "whole-zip-in-zip",
        "unpacks an archive in an archive",
        ".keras",
        lambda p: zipped(member("model.keras", keras())),
        words=("Unpack it",),
    ),
    Hostile(
        "whole-weights-is-zip",
        "an archive where the weights should be",
        ".keras",
        lambda p: keras(member("model.weights.h5", keras()), without=("model.weights.h5",)),
    ),
    Hostile(
        "whole-weights-folder",
        "a folder where the weights should be",
        ".keras",
        lambda p: keras(member("model.weights.h5/layers", b""), without=("model.weights.h5",)),
        words=("model.weights.h5",),
    ),
]
