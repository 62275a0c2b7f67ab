"""Lambdas: formulas are read from bytecode and drawn; what has none is refused, and nothing is run."""

from __future__ import annotations

import ast
import base64
import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import tcn_migrate
from tcn_migrate.cli.main import main
from tcn_migrate.config.graph.drawing import Drawing, sliced, tensor
from tcn_migrate.config.lambdas.bytecode import read_function
from tcn_migrate.config.lambdas.evaluate import Unreadable, formula_of
from tcn_migrate.config.lambdas.names import function_named
from tcn_migrate.config.lambdas.replace import replace_lambdas
from tcn_migrate.config.operators.calls import Call, Size, Untranslatable
from tcn_migrate.errors import ContainerError, MigrationError, UnsafeError
from tests.cases import case

DATA = Path(__file__).parent / "data"
FUNCTIONS: dict[str, dict[str, Any]] = json.loads((DATA / "lambda_functions.json").read_text())
FORMULAS: dict[str, dict[str, Any]] = json.loads((DATA / "lambda_formulas.json").read_text())
ALL = slice(None)
_NORMALIZATION = "x / (K.max(K.abs(x), 2, keepdims=True) + 1e-05)"
TEXTS = {
    # lambda_functions.json
    "channel_normalization": _NORMALIZATION,
    "without_docstring": _NORMALIZATION,
    "other_epsilon": "x / (K.max(K.abs(x), 2, keepdims=True) + 0.001)",
    "other_axis": "x / (K.max(K.abs(x), 1, keepdims=True) + 1e-05)",
    "other_function": "x / (K.min(K.abs(x), 2, keepdims=True) + 1e-05)",
    "last_step": "x[:, -1, :]",
    "step_closure": "x[:, -1, :]",
    "first_closure": "x[:, 0, :]",
    "chomp": "x[:, :-3, :]",
    "last": "x[:, -1, :]",
    "last_of_two": "x[:, -1]",
    "first": "x[:, 0, :]",
    "tail": "x[:, 2:, :3]",
    "kept_axis": "x[:, -1:, :]",
    "backwards": "x[:, ::-1, :]",
    "channel": "x[..., 0]",
    "strided": "x[:, 1::2]",
    "new_axis": "x[:, None, :]",
    "default": "x[:, -2, :]",
    "scaling": "x * 0.5 + 1.0",
    "sum_of_two": "x[:, -1, :] + x[:, 0, :]",
    "negated": "-x[:, -1, :]",
    "mean": "K.mean(x, axis=1)",
    "twice": "x[:, -1][0]",
    "by_text": "x['a']",
    "by_float": "x[1.0]",
    # lambda_formulas.json
    "keywords": "tf.math.l2_normalize(x, axis=1, epsilon=1e-06) - K.mean(x, axis=[1, 2], keepdims=True)",
    "positions": "K.max(K.abs(x), 1, True) + tf.nn.softmax(x)",
    "operators": "1 - -x ** 2 / 3 % 0.5 // (x @ x)",
    "comparisons": "tf.where(x > 0, x, tf.cast(x <= -1, 'float32'))",
    "logic": "~(x > 0) & (x != 1.0) | ((x < 2) ^ (x >= 3))",
    "pair": "K.concatenate([x[0], x[1]], axis=-1)",
    "lists": "tf.pad(x, [[0, 0], [1, 2], [0, 0]]) + K.tile(x, (1, 2, 1)) + K.concatenate([x, x])",
    "long_list": "tf.stack([x, x + 1, x + 2, x + 3], axis=0)",
    "sizes": "tf.reshape(x, [tf.shape(x)[0], -1, K.int_shape(x)[-1], x.shape[1], x.shape[2]])",
    "indices": "x[:, 1:, ::-1] + x[..., None] - x[:, :-1] * x[2:]",
    "numbers": "x * 1.4142135623730951 + 9.42477796076938 - 31",
    "array": "x * [0.25, 4.0]",
    "formulas:default": "K.sum(x, axis=(1, 2)) * 2.5",
    "closure": "K.clip(x, -1.5, 2) * 3.5",
    "local": "K.square(x) + K.square(x) * x",
    "unpacked": "x[1] + K.exp(x[0] / 2)",
    "three": "x[2] - x[0] * x[1]",
    "added": "(((x + 1) * 2.0 - (x + 1) * 2.0) / 4) ** 2",
    "imported": "tensorflow.abs(x) + tensorflow.keras.backend.abs(x) "
    "+ tensorflow.keras.backend.abs(x) * 3.141592653589793",
    "two_results": "(x + 1, [x])",
    "nested_calls": "K.sqrt(K.maximum(K.sum(K.square(x[0] - x[1]), axis=1, keepdims=True), 1e-07))",
}
REFUSED = {
    # lambda_functions.json
    "of_a_global": "uses the global name 'N', whose value is not in the file",
    "any_arguments": "takes no argument by position",
    "of_the_second": "uses its argument 'y', which the file gives no value",
    "returns_a_function": "has an inner function",
    # lambda_formulas.json
    "branch": "has a branch|compares by `in` or `is`",
    "chained": r"has a branch or a loop \(instruction \w+ at byte \d+; read so far: 0 < x\)",
    "loop": "has an inner function|has a branch or a loop",
    "global_value": "uses the global name 'SCALE', whose value is not in the file",
    "global_function": "uses the global name 'normalize', whose value is not in the file",
    "unknown_function": r"calls tf.image.per_image_standardization, .*read so far: K.abs\(x\)",
    "method": "uses the attribute 'numpy' of what it computes",
    "stored": "does something that is not translated .instruction BUILD_MAP at byte",
    "formatted": "does something that is not translated .instruction FORMAT_",
    "huge": "makes a very large number",
    "by_zero": "divides by zero",
    "masked": "uses its argument 'mask', which only a run of the model gives",
    "missing": "uses its argument 'y', which the file gives no value",
}
EVERY = [
    (
        functions[name],
        f"formulas:{name}" if f"formulas:{name}" in TEXTS and functions is FORMULAS[version] else name,
        version,
    )
    for recorded in (FUNCTIONS, FORMULAS)
    for version, functions in recorded.items()
    for name in functions
]


def stored(name: str, version: str = "3.8") -> list[Any]:
    return list(FUNCTIONS[version][name])


def formula(code: bytes, defaults: Any = None, closure: Any = None) -> Any:
    function = read_function(code)
    return function and formula_of(function, defaults or [], closure or [], {})


@pytest.mark.parametrize(
    ("recorded", "name", "version"), EVERY, ids=[f"{name}-{version}" for _, name, version in EVERY]
)
def test_every_python_spells_the_same_formula_or_is_refused_with_the_instruction(
    recorded: list[Any], name: str, version: str
) -> None:
    code, defaults, closure = recorded
    name = name.removeprefix("notebook_")
    if name in TEXTS:
        found = formula(base64.b64decode(code), defaults, closure)
        assert found.text == TEXTS[name]
        assert found.from_closure is (closure is not None)
    elif name == "generator":
        assert formula(base64.b64decode(code), defaults, closure) is None
    else:
        with pytest.raises(Unreadable, match=REFUSED[name]):
            formula(base64.b64decode(code), defaults, closure)


def of_python_35(code: bytes) -> bytes:
    """Instructions of Python 3.6 in the form of 3.5: one byte, or three from number 90 on; keywords before a call."""
    return b"".join(
        bytes([number]) if number < 90 else bytes([number, argument, 0])
        for number, argument in zip(code[::2], code[1::2], strict=True)
    )


@pytest.mark.parametrize("name", ["scaling", "last", "sum_of_two", "tail", "default", "negated"])
def test_instructions_of_python_35_are_read(name: str) -> None:
    code, defaults, closure = stored(name, "3.6")
    function = read_function(base64.b64decode(code))
    assert function is not None
    older = replace(function, code=of_python_35(function.code))
    assert older.code != function.code
    assert formula_of(older, defaults or [], closure or [], {}).text == TEXTS[name]


def test_calls_of_python_35_have_their_keywords_in_the_call() -> None:
    code, _, _ = stored("mean", "3.6")
    function = read_function(base64.b64decode(code))
    assert function is not None
    load_k_mean_x = bytes([116, 0, 0, 106, 1, 0, 124, 0, 0])
    axis_and_one = bytes([100, 1, 0, 100, 2, 0])
    called = bytes([131, 1, 1, 83])
    older = replace(function, code=load_k_mean_x + axis_and_one + called, constants=(None, "axis", 1))
    assert formula_of(older, [], [], {}).text == "K.mean(x, axis=1)"


def test_an_alias_is_named_with_what_it_is_taken_for() -> None:
    for version in FORMULAS:
        code, defaults, closure = FORMULAS[version]["numbers"]
        found = formula(base64.b64decode(code), defaults, closure)
        assert found.aliases == (("np", "numpy"),)
        assert formula(base64.b64decode(FORMULAS[version]["imported"][0])).aliases == ()


@settings(max_examples=600, deadline=None)
@given(data=st.data())
def test_code_with_any_byte_changed_gives_a_formula_or_a_sentence(data: st.DataObject) -> None:
    recorded = data.draw(st.sampled_from([FUNCTIONS, FORMULAS]))
    version = data.draw(st.sampled_from(sorted(recorded)))
    code, defaults, closure = recorded[version][data.draw(st.sampled_from(sorted(recorded[version])))]
    changed = bytearray(base64.b64decode(code))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    entry = a_lambda("f", [base64.b64encode(bytes(changed)).decode(), defaults, closure], X)
    try:
        after, _ = replace_lambdas(model(entry, outputs=[["f", 0, 0]]), keras_version="2.15.0")
    except MigrationError:
        return
    assert "Lambda" not in json.dumps(after)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_a_traceback(code: bytes) -> None:
    assert read_function(code) is None
    read_function(b"\xe3" + code)


def test_marshalled_depth_length_and_references_are_bounded() -> None:
    assert read_function(b"c" + b"\x00" * 20 + b"(" + b"\xff\xff\xff\x7f") is None
    assert read_function(b"c" + b"\x00" * 20 + b"s\x00\x00\x00\x00" + b")\x01" * 5000) is None
    assert read_function(b"c" + b"\x00" * 20 + b"r\x09\x00\x00\x00") is None


def test_no_module_of_the_package_unmarshals_or_evaluates_anything() -> None:
    package = Path(tcn_migrate.__file__).parent
    for path in [
        path for room in ("config", "containers", "naming", "tcn") for path in package.glob(f"{room}/**/*.py")
    ]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not {"marshal", "pickle", "dill"} & {name.name for name in node.names}, path
            elif isinstance(node, ast.ImportFrom):
                assert node.module not in ("marshal", "pickle", "types.CodeType"), path
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile", "__import__"), path


# ---- in a model


def layer(class_name: str, name: str, *inputs: tuple[str, int, int], **config: Any) -> dict[str, Any]:
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": {"name": name, "trainable": True, "dtype": "float32", **config},
        "registered_name": None,
        "name": name,
        "inbound_nodes": [{"args": [tensor(*one)], "kwargs": {}} for one in inputs],
    }


def a_lambda(name: str, function: Any, *inputs: tuple[str, int, int], **config: Any) -> dict[str, Any]:
    function = stored(function) if isinstance(function, str) and function in FUNCTIONS["3.8"] else function
    return layer("Lambda", name, *inputs, function=function, function_type="lambda", output_shape=None, **config)


def model(*layers: dict[str, Any], outputs: list[list[Any]], name: str = "model") -> dict[str, Any]:
    shape = [None, 6, 3]
    first = {**layer("InputLayer", "x"), "config": {"name": "x", "batch_shape": shape, "dtype": "float32"}}
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {
            "name": name,
            "trainable": True,
            "layers": [first, *layers],
            "input_layers": [["x", 0, 0]],
            "output_layers": outputs,
        },
        "registered_name": None,
    }


def sequential(*layers: dict[str, Any], name: str = "chain", **config: Any) -> dict[str, Any]:
    inner = [{key: value for key, value in one.items() if key not in ("name", "inbound_nodes")} for one in layers]
    return {
        "module": "keras.src.models.sequential",
        "class_name": "Sequential",
        "config": {"name": name, "trainable": True, "layers": inner, **config},
        "registered_name": None,
    }


X = ("x", 0, 0)


def names(config: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in config["config"]["layers"]]


def inputs_of(config: dict[str, Any], name: str) -> list[Any]:
    (entry,) = [entry for entry in config["config"]["layers"] if entry["name"] == name]
    return [[one["config"]["keras_history"] for one in node["args"]] for node in entry["inbound_nodes"]]


def test_what_follows_a_lambda_follows_its_last_operation_and_the_stored_config_stays() -> None:
    before = model(a_lambda("last", "last", X), layer("Dense", "d", ("last", 0, 0)), outputs=[["d", 0, 0]])
    copy = deepcopy(before)
    after, repairs = replace_lambdas(before)
    assert before == copy
    assert names(after) == ["x", "last_flip", "last", "d"]
    assert inputs_of(after, "d") == [[["last", 0, 0]]]
    assert [repair.name for repair in repairs] == ["lambda-indexing"]
    assert "x[:, -1, :]" in repairs[0].sentence


def test_a_lambda_called_twice_becomes_two_operations_each_behind_its_input() -> None:
    before = model(
        a_lambda("first", "first", X, ("c", 0, 0)),
        layer("Conv1D", "c", X),
        layer("Add", "sum", ("first", 1, 0)),
        outputs=[["first", 0, 0], ["sum", 0, 0]],
    )
    after, _ = replace_lambdas(before)
    assert names(after) == ["x", "first", "c", "first_1", "sum"]
    assert inputs_of(after, "sum") == [[["first_1", 0, 0]]]
    assert after["config"]["output_layers"] == [["first", 0, 0], ["sum", 0, 0]]


def test_a_slice_of_everything_leaves_nothing_behind() -> None:
    function = stored("chomp")
    function[2] = [-(2**40)]  # `x[:, :2**40]`: no number that an index has
    with pytest.raises(UnsafeError):
        replace_lambdas(model(a_lambda("cut", function, X), outputs=[["cut", 0, 0]]))
    assert sliced(Drawing(["x"]), tensor("x"), [ALL, ..., ALL], "out") == tensor("x")


def test_a_model_without_lambdas_is_left_alone() -> None:
    before = model(layer("Dense", "d", X), outputs=[["d", 0, 0]])
    assert replace_lambdas(before) == (before, [])
    chain = sequential(layer("Dense", "d"))
    assert replace_lambdas(chain) == (chain, [])


def test_names_that_are_taken_are_not_taken_twice() -> None:
    before = model(
        layer("Dense", "norm_max", X),
        a_lambda("norm", "channel_normalization", ("norm_max", 0, 0)),
        outputs=[["norm", 0, 0]],
    )
    after, _ = replace_lambdas(before)
    assert len(set(names(after))) == len(names(after))
    assert names(after)[-1] == "norm"


def test_an_operation_that_names_itself_is_named_where_a_layer_has_that_name() -> None:
    for name, written in (("max", True), ("max_3", True), ("maximum", False)):
        before = model(
            layer("Dense", name, X), a_lambda("n", "channel_normalization", (name, 0, 0)), outputs=[["n", 0, 0]]
        )
        after, _ = replace_lambdas(before)
        (largest,) = [entry for entry in after["config"]["layers"] if entry["class_name"] == "Max"]
        assert ("name" in largest["config"]) is written


def test_all_stored_forms_are_read() -> None:
    code, _, _ = stored("last")
    forms = [
        [code, None, None],
        {"class_name": "__tuple__", "items": [code, None, None]},
        {"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}},
        ["\n".join(code[i : i + 76] for i in range(0, len(code), 76)) + "\n", None, None],
        [base64.b64decode(code).decode("latin-1"), None, None],  # keras < 2.1.2
    ]
    plain = replace_lambdas(model(a_lambda("last", forms[0], X), outputs=[["last", 0, 0]]))
    for form in forms[1:]:
        assert replace_lambdas(model(a_lambda("last", form, X), outputs=[["last", 0, 0]])) == plain


def test_code_for_the_output_shape_is_not_looked_at_when_the_function_is_known() -> None:
    before = model(a_lambda("last", "last", X), outputs=[["last", 0, 0]])
    before["config"]["layers"][1]["config"]["output_shape"] = stored("scaling")
    replace_lambdas(before)


@pytest.mark.parametrize(
    "function",
    [
        "of_a_global",
        "of_the_second",
        "generator",
        "returns_a_function",
        "by_text",
        "by_float",
        {"class_name": "function", "config": "system"},
        "system",
        None,
        ["not base64 é", None, None],
        [3, None, None],
        [],
        ["", None, None, None],
    ],
    ids=str,
)
def test_any_other_lambda_is_refused_by_name_with_a_way_out(function: Any) -> None:
    before = model(layer("Dense", "d", X), a_lambda("rescale", function, ("d", 0, 0)), outputs=[["rescale", 0, 0]])
    with pytest.raises(UnsafeError, match="rescale") as refusal:
        replace_lambdas(before)
    assert "never run" in str(refusal.value)
    assert "--custom-objects package.module" in str(refusal.value)


def test_a_lambda_in_a_cell_or_a_bidirectional_or_as_a_setting_is_refused() -> None:
    code = stored("last")
    inner = {"class_name": "Lambda", "config": {"name": "inside", "function": code}}
    lambda_setting = {"class_name": "__lambda__", "config": {"code": code[0], "defaults": None, "closure": None}}
    for entry in (
        layer("RNN", "rnn", X, cell={"class_name": "StackedRNNCells", "config": {"cells": [inner]}}),
        layer("Bidirectional", "both", X, layer=inner),
        layer("Dense", "d", X, activation=lambda_setting),
    ):
        with pytest.raises(UnsafeError):
            replace_lambdas(model(entry, outputs=[[entry["name"], 0, 0]]))


def test_a_lambda_with_a_mask_function_or_on_tensors_that_its_code_does_not_take_is_refused() -> None:
    with pytest.raises(UnsafeError, match="mask"):
        replace_lambdas(model(a_lambda("last", "last", X, mask=stored("last")), outputs=[["last", 0, 0]]))
    on_two = model(a_lambda("last", "last", X), outputs=[["last", 0, 0]])
    on_two["config"]["layers"][1]["inbound_nodes"] = [{"args": [[tensor("x"), tensor("x")]], "kwargs": {}}]
    with pytest.raises(UnsafeError, match="no tensor"):
        replace_lambdas(on_two)


def test_the_users_own_class_of_the_layers_name_takes_its_place() -> None:
    before = model(a_lambda("rescale", "scaling", X), outputs=[["rescale", 0, 0]])
    after, repairs = replace_lambdas(before, frozenset({"Custom>other", "Mine>rescale"}))
    entry = after["config"]["layers"][1]
    assert (entry["module"], entry["registered_name"]) == (None, "Mine>rescale")
    assert "function" not in entry["config"]
    assert [repair.name for repair in repairs] == ["lambda-supplied"]


LAYER = """
import keras

@keras.saving.register_keras_serializable(package="Mine", name="doubled")
class Scaling(keras.layers.Layer):
    def call(self, x):
        return x * 0.5 + 1.0
"""


def test_a_module_of_the_users_makes_a_refused_file_migrate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "layers_of_a_user.py").write_text(LAYER)
    monkeypatch.syspath_prepend(str(tmp_path))
    new, old = tmp_path / "new.keras", case("formulas/untranslatable-refused").source
    result = CliRunner().invoke(main, [str(old), str(new), "--custom-objects", "layers_of_a_user"])
    assert result.exit_code == 0, result.output
    assert "Mine>doubled" in result.output


def test_a_sequential_model_becomes_functional_with_the_same_names() -> None:
    shape = {"batch_shape": [None, 6, 3]}
    first = {**layer("InputLayer", "in"), "config": {"name": "in", "dtype": "float32", **shape}}
    before = sequential(first, layer("Conv1D", "c"), a_lambda("last", "last"), layer("Dense", "d"))
    after, repairs = replace_lambdas(before)
    assert (after["class_name"], after["module"]) == ("Functional", "keras.src.models.functional")
    assert names(after) == ["in", "c", "last_flip", "last", "d"]
    assert after["config"]["input_layers"] == [["in", 0, 0]]
    assert after["config"]["output_layers"] == [["d", 0, 0]]
    assert {repair.name for repair in repairs} == {"lambda-in-sequential", "lambda-indexing"}


def test_a_sequential_model_of_unknown_input_shape_is_refused_and_one_with_a_stored_shape_is_not() -> None:
    layers = (layer("Conv1D", "c"), a_lambda("last", "last"))
    with pytest.raises(UnsafeError, match="shape"):
        replace_lambdas(sequential(*layers))
    after, _ = replace_lambdas(sequential(*layers, build_input_shape=[None, 6, 3]))
    assert after["config"]["layers"][0]["config"]["batch_shape"] == [None, 6, 3]


def test_nested_models_and_models_in_wrappers_are_searched_and_named_by_their_path() -> None:
    inner = sequential(a_lambda("deep", "of_a_global"), name="inner", build_input_shape=[None, 6, 3])
    outer = model({**inner, "name": "inner", "inbound_nodes": [{"args": [tensor("x")], "kwargs": {}}]}, outputs=[])
    with pytest.raises(UnsafeError, match="'inner/deep'"):
        replace_lambdas(outer)
    with pytest.raises(UnsafeError, match="deep"):
        replace_lambdas(model(layer("TimeDistributed", "each", X, layer=inner), outputs=[["each", 0, 0]]))


@pytest.mark.parametrize(
    ("function", "kinds", "axis"),
    [("last", ["Flip", "Take"], 2), ("channel_normalization", ["Absolute", "Max", "Add", "TrueDivide"], 3)],
)
def test_in_time_distributed_every_axis_moves_up_by_one(function: str, kinds: list[str], axis: int) -> None:
    inner = a_lambda("inside", function)
    before = model(layer("TimeDistributed", "each", X, layer=inner), outputs=[["each", 0, 0]])
    after, _ = replace_lambdas(before)
    entries = after["config"]["layers"][1:]
    assert [entry["class_name"] for entry in entries] == kinds
    assert {entry["config"]["axis"] for entry in entries if "axis" in entry["config"]} == {axis}
    assert entries[-1]["name"] == "each"


def test_equal_slices_of_one_tensor_out_of_closures_are_doubted() -> None:
    before = model(
        a_lambda("a", "step_closure", X), a_lambda("b", "step_closure", X), outputs=[["a", 0, 0], ["b", 0, 0]]
    )
    assert "lambda-loop-variable" in [repair.name for repair in replace_lambdas(before)[1]]
    apart = model(
        layer("Dense", "d", X),
        a_lambda("a", "step_closure", X),
        a_lambda("b", "step_closure", ("d", 0, 0)),
        outputs=[["a", 0, 0], ["b", 0, 0]],
    )
    assert "lambda-loop-variable" not in [repair.name for repair in replace_lambdas(apart)[1]]


def test_lambdas_that_feed_each_other_are_refused() -> None:
    before = model(
        a_lambda("a", "last", ("b", 0, 0)), a_lambda("b", "last", ("a", 0, 0)), outputs=[["a", 0, 0], ["b", 0, 0]]
    )
    with pytest.raises(ContainerError, match="fed by itself"):
        replace_lambdas(before)


# ---- indexing by operations


def computed(key: list[Any], x: Any) -> Any:
    """The operations of `x[key]`, by NumPy."""
    drawing = Drawing(["x"])
    result = sliced(drawing, tensor("x"), key, "out")
    values = {"x": x}
    for entry in drawing.entries:
        source, *index = entry["inbound_nodes"][0]["args"]
        axis, of = entry["config"]["axis"], values[source["config"]["keras_history"][0]]
        if entry["class_name"] == "Take":
            assert index[0] >= 0  # Keras 3.0.5 takes the first element for a negative one
            values[entry["name"]] = np.take(of, index[0], axis=axis)
        elif entry["class_name"] == "Flip":
            values[entry["name"]] = np.flip(of, axis)
        else:
            assert entry["class_name"] == "ExpandDims"
            values[entry["name"]] = np.expand_dims(of, axis)
    return values[result["config"]["keras_history"][0]]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([ALL, ALL, slice(None, None, -1), 0, 1, -1, -2, None]), min_size=1, max_size=6).filter(
        lambda key: sum(element is not None for element in key) <= 4
    ),
    st.none() | st.integers(0, 6),
)
def test_operations_take_what_the_key_takes(key: list[Any], ellipsis: int | None) -> None:
    if ellipsis is not None:
        key = [*key[:ellipsis], ..., *key[ellipsis:]]
    x = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(computed(key, x), x[tuple(key)])


# ---- what the fixtures cannot show


def test_sampling_becomes_noise_that_is_drawn_in_predictions_too(tmp_path: Path) -> None:
    import keras

    new = tmp_path / "new.keras"
    outcome = tcn_migrate.migrate(case("formulas/vae-sampling").source, new)
    assert any("draws random numbers in each prediction" in repair.sentence for repair in outcome.plan.repairs)
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(4000, 6)).astype("float32")
    mean, log_var, z, of_tf = (np.asarray(y) for y in outcome.model.predict_on_batch(x))
    for noise in ((z - mean) / np.exp(log_var / 2), (of_tf - mean) / log_var / 2):
        assert abs(noise.mean()) < 0.1
        assert abs(noise.std() - 1) < 0.1
        assert abs(np.corrcoef(noise.T)[0, 1]) < 0.1
    again = np.asarray(outcome.model.predict_on_batch(x)[2])
    assert np.abs(again - z).max() > 0.1


def test_noise_of_a_shape_that_is_not_a_tensors_is_refused() -> None:
    row = function_named("keras.backend.random_normal")
    assert row is not None
    for shape in ([2, 3], [], [Size(1, tensor("x")), 3], [Size(0, tensor("x")), -1], 5):
        with pytest.raises(Untranslatable, match="shape"):
            row[1].draw(Call(Drawing(["x"]), "n", {"shape": shape}))


def test_a_lambda_that_hands_its_input_on_keeps_the_mask_where_keras_2_kept_it() -> None:
    """In TensorFlow's Keras its output is its very input, mask and all; in Keras 2.3 it was a copy without."""
    code = base64.b64decode(stored("scaling", "3.8")[0])
    function = read_function(code)
    assert function is not None
    changed = code.replace(function.code, bytes([124, 0, 83, 0] + [9, 0] * (len(function.code) // 2 - 2)))
    entry = a_lambda("same", [base64.b64encode(changed).decode(), None, None], X)
    before = model(entry, layer("Dense", "d", ("same", 0, 0)), outputs=[["d", 0, 0]])
    with pytest.raises(UnsafeError, match="more than one place"):
        replace_lambdas(before)
    first = bytes([9, 0] * (len(function.code) // 2 - 2) + [124, 0, 83, 0])
    entry["config"]["function"][0] = base64.b64encode(code.replace(function.code, first)).decode()
    assert inputs_of(replace_lambdas(before, keras_version="2.15.0")[0], "d") == [[["x", 0, 0]]]
    copied = replace_lambdas(before, keras_version="2.3.1")[0]
    assert [one["class_name"] for one in copied["config"]["layers"]] == ["InputLayer", "Copy", "Dense"]


def test_an_equality_of_tensors_is_refused_where_tensorflow_1_compared_objects() -> None:
    code, defaults, closure = FORMULAS["3.8"]["logic"]
    entry = a_lambda("logic", [code, defaults, closure], X)
    before = model(entry, outputs=[["logic", 0, 0]])
    for version in ("2.2.4-tf", "2.3.1", "2.2.4", None):
        with pytest.raises(UnsafeError, match="TensorFlow 1 did not do by value"):
            replace_lambdas(before, keras_version=version)
    for version in ("2.3.0-tf", "2.4.0", "2.15.0", "3.8.0"):
        replace_lambdas(before, keras_version=version)


def test_in_mixed_precision_the_input_is_cast_as_the_layer_did() -> None:
    half = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    before = model(a_lambda("n", "scaling", X, dtype=half), outputs=[["n", 0, 0]])
    after, _ = replace_lambdas(before)
    casts = [entry["config"] for entry in after["config"]["layers"] if entry["class_name"] == "Cast"]
    assert [config["dtype"] for config in casts] == ["float16"]
    before["config"]["layers"][0]["config"]["dtype"] = "int32"
    after, _ = replace_lambdas(before)
    assert "Cast" not in [entry["class_name"] for entry in after["config"]["layers"]]


def test_repairs_of_one_kind_are_one_line_with_a_count_and_the_report_has_each(tmp_path: Path) -> None:
    old, page, run = case("functional/lambda-like-channel-norm").source, tmp_path / "page.html", CliRunner().invoke
    said = run(main, ["inspect", str(old)]).output
    assert said.count("+ 0.001)") == 1
    assert "  would repair 2 layers ('lambda_1', 'lambda_2'): Lambda replaced by operations: x / (K.max" in said
    assert "  would repair 'lambda_3': Lambda replaced by operations: x[:, -1, :]" in said
    found = json.loads(run(main, ["inspect", str(old), "--json"]).output)
    assert [repair["layer"] for repair in found["repairs"]][:3] == ["lambda_1", "lambda_2", "lambda_3"]
    made = run(main, [str(old), str(tmp_path / "new.keras"), "--no-verify", "--report", str(page)]).output
    assert "  repaired 2 layers ('lambda_1', 'lambda_2'): Lambda replaced by operations: x / (K.max" in made
    for name in ("lambda_1", "lambda_2"):
        assert f"{name}: Lambda replaced by operations: x / (K.max" in page.read_text()


def a_function(code: bytes, constants: tuple[Any, ...]) -> Any:
    """Fields of a function of Python 3.8 of one argument."""
    function = read_function(base64.b64decode(stored("scaling", "3.8")[0]))
    assert function is not None
    return replace(function, code=code, constants=constants)


def test_lists_of_lists_of_lists_are_counted_and_bounded() -> None:
    x_in_a_list = bytes([124, 0, 103, 1])
    times_64_in_a_list = bytes([100, 0, 20, 0, 103, 1])
    many = a_function(x_in_a_list + times_64_in_a_list * 6 + bytes([83, 0]), (64,))
    with pytest.raises(Unreadable, match="very long list"):
        formula_of(many, [], [], {})
    bomb: Any = (1,)
    for _ in range(7):
        bomb = (bomb,) * 1000
    with pytest.raises(Unreadable, match="very long list"):
        formula_of(a_function(bytes([100, 0, 83, 0]), (bomb,)), [], [], {})
    closure: Any = [[1.0] * 100] * 100
    with pytest.raises(Unreadable, match="very long list"):
        formula_of(a_function(bytes([124, 0, 83, 0]), (1,)), [], [closure], {})


def test_a_lambda_that_is_called_very_often_makes_no_model_without_bound() -> None:
    entry = a_lambda("often", "channel_normalization", *[X] * 6000)
    with pytest.raises(UnsafeError, match="more than 20000 operations"):
        replace_lambdas(model(entry, outputs=[["often", 0, 0]]))
