"""The table of classes, held against the installed Keras: each class is made, saved, and looked into."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import h5py
import pytest

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue import classes
from tcn_migrate.config.catalogue.classes import CLASSES, FORMER_NAMES, store_name
from tcn_migrate.config.catalogue.names import snake_case
from tcn_migrate.config.catalogue.settings import COMMON
from tcn_migrate.config.graph.drawing import tensor
from tcn_migrate.config.repairs import repair_layers
from tcn_migrate.naming.target import paths
from tests.config_entries import KEPT, functional, inner, layer, source

keras = pytest.importorskip("keras")

STEPS, IMAGE, VIDEO = (None, 6, 3), (None, 8, 8, 3), (None, 4, 8, 8, 3)
VOLUME, FILM = (None, 6, 6, 6, 2), (None, 3, 4, 4, 4, 2)
TOKENS = (None, 6)
CONVOLUTION = {"filters": 4, "kernel_size": [2]}
IMAGES = {"factor": 0.1}

CASES: list[tuple[str, Json, tuple[int | None, ...]]] = [
    ("Dense", {"units": 4}, STEPS),
    ("Dense", {"units": 4, "use_bias": False}, STEPS),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": [None, 4], "bias_axes": "d"}, STEPS),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": [None, 4]}, STEPS),
    ("Embedding", {"input_dim": 9, "output_dim": 4}, TOKENS),
    ("ReversibleEmbedding", {"input_dim": 9, "output_dim": 4, "tie_weights": False}, TOKENS),
    ("ReversibleEmbedding", {"input_dim": 9, "output_dim": 4}, TOKENS),
    *((name, {}, STEPS) for name in ("Identity", "Masking", "ELU", "LeakyReLU", "ReLU", "Softmax", "Flatten")),
    ("Activation", {"activation": "relu"}, STEPS),
    ("PReLU", {}, STEPS),
    ("PReLU", {"shared_axes": [1]}, STEPS),
    ("Conv1D", CONVOLUTION, STEPS),
    ("Conv1D", {**CONVOLUTION, "use_bias": False}, STEPS),
    ("Conv2D", {"filters": 4, "kernel_size": [2, 3]}, IMAGE),
    ("Conv3D", {"filters": 4, "kernel_size": 2}, VOLUME),
    ("Conv1DTranspose", CONVOLUTION, STEPS),
    ("Conv2DTranspose", {"filters": 4, "kernel_size": [2, 3]}, IMAGE),
    ("Conv3DTranspose", {"filters": 4, "kernel_size": 2}, VOLUME),
    ("DepthwiseConv1D", {"kernel_size": [2], "depth_multiplier": 2}, STEPS),
    ("DepthwiseConv2D", {"kernel_size": 2, "use_bias": False}, IMAGE),
    ("SeparableConv1D", {**CONVOLUTION, "depth_multiplier": 2}, STEPS),
    ("SeparableConv2D", {"filters": 4, "kernel_size": [2, 3]}, IMAGE),
    *(
        (f"{kind}Pooling{rank}D", {"pool_size": 2}, shape)
        for kind in ("Average", "Max")
        for rank, shape in ((1, STEPS), (2, IMAGE), (3, VOLUME))
    ),
    *(
        (f"Global{kind}Pooling{rank}D", {}, shape)
        for kind in ("Average", "Max")
        for rank, shape in ((1, STEPS), (2, IMAGE), (3, VOLUME))
    ),
    *(
        (f"Adaptive{kind}Pooling{rank}D", {"output_size": 2}, shape)
        for kind in ("Average", "Max")
        for rank, shape in ((1, STEPS), (2, IMAGE), (3, VOLUME))
    ),
    ("LSTM", {"units": 4}, STEPS),
    ("LSTM", {"units": 4, "use_bias": False, "dropout": 0.1}, STEPS),
    ("GRU", {"units": 4}, STEPS),
    ("GRU", {"units": 4, "reset_after": False}, STEPS),
    ("SimpleRNN", {"units": 4}, STEPS),
    ("RNN", {"cell": inner("LSTMCell", units=4)}, STEPS),
    ("RNN", {"cell": inner("SimpleRNNCell", units=4)}, STEPS),
    (
        "RNN",
        {
            "cell": inner(
                "StackedRNNCells",
                cells=[inner("GRUCell", units=4), inner("LSTMCell", units=3), inner("GRUCell", units=2)],
            )
        },
        STEPS,
    ),
    ("ConvLSTM1D", CONVOLUTION, (None, 4, 6, 3)),
    ("ConvLSTM2D", {"filters": 4, "kernel_size": [2, 3]}, VIDEO),
    ("ConvLSTM3D", {"filters": 4, "kernel_size": 2}, FILM),
    ("Bidirectional", {"layer": inner("LSTM", name="lstm", units=4)}, STEPS),
    (
        "Bidirectional",
        {
            "layer": inner("LSTM", name="lstm", units=4),
            "backward_layer": inner("GRU", name="gru", units=4, go_backwards=True),
        },
        STEPS,
    ),
    ("TimeDistributed", {"layer": inner("Dense", name="d", units=4)}, STEPS),
    ("TimeDistributed", {"layer": inner("TimeDistributed", layer=inner("Dense", units=4))}, IMAGE),
    ("TimeDistributed", {"layer": inner("LSTM", units=4)}, (None, 4, 6, 3)),
    ("BatchNormalization", {}, STEPS),
    ("BatchNormalization", {"center": False, "scale": False}, STEPS),
    ("BatchNormalization", {"renorm": True}, STEPS),
    ("LayerNormalization", {}, STEPS),
    ("LayerNormalization", {"axis": [1, 2], "center": False}, STEPS),
    ("GroupNormalization", {"groups": 1}, STEPS),
    ("RMSNormalization", {}, STEPS),
    ("UnitNormalization", {}, STEPS),
    ("SpectralNormalization", {"layer": inner("Dense", units=4)}, STEPS),
    ("SpectralNormalization", {"layer": inner("Conv1D", use_bias=False, **CONVOLUTION)}, STEPS),
    ("SpectralNormalization", {"layer": inner("Embedding", input_dim=9, output_dim=4)}, TOKENS),
    *((name, {}, STEPS) for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract", "Concatenate")),
    ("Dot", {"axes": 2}, STEPS),
    ("Attention", {}, STEPS),
    ("Attention", {"use_scale": True, "score_mode": "concat", "dropout": 0.1}, STEPS),
    ("AdditiveAttention", {}, STEPS),
    ("AdditiveAttention", {"use_scale": False}, STEPS),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 5}, STEPS),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 5, "value_dim": 4, "use_bias": False, "dropout": 0.1}, STEPS),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 5, "output_shape": [7], "use_gate": True}, STEPS),
    ("GroupQueryAttention", {"head_dim": 5, "num_query_heads": 4, "num_key_value_heads": 2}, STEPS),
    (
        "GroupQueryAttention",
        {"head_dim": 5, "num_query_heads": 4, "num_key_value_heads": 2, "use_gate": True, "use_bias": False},
        STEPS,
    ),
    ("Cropping1D", {"cropping": 1}, STEPS),
    ("Cropping2D", {"cropping": 1}, IMAGE),
    ("Cropping3D", {"cropping": 1}, VOLUME),
    ("Permute", {"dims": [2, 1]}, STEPS),
    ("RepeatVector", {"n": 2}, (None, 3)),
    ("Reshape", {"target_shape": [3, 6]}, STEPS),
    *(
        (f"{kind}{rank}D", {}, shape)
        for kind in ("UpSampling", "ZeroPadding")
        for rank, shape in ((1, STEPS), (2, IMAGE), (3, VOLUME))
    ),
    ("ActivityRegularization", {"l1": 0.1}, STEPS),
    *((name, {"rate": 0.1}, STEPS) for name in ("AlphaDropout", "Dropout", "GaussianDropout", "SpatialDropout1D")),
    ("SpatialDropout2D", {"rate": 0.1}, IMAGE),
    ("SpatialDropout3D", {"rate": 0.1}, VOLUME),
    ("GaussianNoise", {"stddev": 0.1}, STEPS),
    ("CategoryEncoding", {"num_tokens": 9}, TOKENS),
    ("Discretization", {"bin_boundaries": [0.0, 1.0]}, STEPS),
    ("Hashing", {"num_bins": 3}, TOKENS),
    ("IntegerLookup", {"vocabulary": [1, 2]}, TOKENS),
    ("MelSpectrogram", {}, (None, 8000)),
    ("Normalization", {}, STEPS),
    ("Normalization", {"mean": [1.0, 2.0, 3.0], "variance": [1.0, 2.0, 3.0]}, STEPS),
    ("Rescaling", {"scale": 2.0, "offset": 0.0}, STEPS),
    *((name, {"height": 4, "width": 4}, IMAGE) for name in ("CenterCrop", "Resizing", "RandomCrop")),
    *((name, {}, IMAGE) for name in ("AugMix", "AutoContrast", "CutMix", "MixUp", "RandAugment", "Solarization")),
    *((name, {}, IMAGE) for name in ("RandomColorJitter", "RandomErasing", "RandomGaussianBlur", "RandomGrayscale")),
    *((name, {}, IMAGE) for name in ("RandomInvert", "RandomPerspective", "RandomShear", "RandomElasticTransform")),
    *(
        (f"Random{name}", IMAGES, IMAGE)
        for name in ["Brightness", "ColorDegeneration", "Contrast", "Hue", "Rotation", "Saturation", "Sharpness"]
    ),
    ("RandomPosterization", {"factor": 4}, IMAGE),
    ("RandomFlip", {}, IMAGE),
    ("RandomTranslation", {"height_factor": 0.1, "width_factor": 0.1}, IMAGE),
    ("RandomZoom", {"height_factor": 0.1}, IMAGE),
]
NOT_HERE = {
    "InputLayer": "every model has one",
    "LSTMCell": "in RNN",
    "GRUCell": "in RNN",
    "SimpleRNNCell": "in RNN",
    "StackedRNNCells": "in RNN",
    "STFTSpectrogram": "needs SciPy",
    "StringLookup": "of texts",
    "TextVectorization": "of texts",
    "HashedCrossing": "of two integers",
    "MaxNumBoundingBoxes": "of boxes",
    "Pipeline": "its config takes no dtype",
    "Equalization": "cannot be built by Keras 3.15 in a functional model",
    "ContrastLimitedAdaptiveHistogramEqualization": "of images of whole numbers",
}
OF_TWO = {"Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract", "Concatenate", "Dot", "Attention"} | {
    "AdditiveAttention"
}
HEADS = {"MultiHeadAttention", "GroupQueryAttention"}
INTEGERS = {"Embedding", "ReversibleEmbedding", "Hashing", "IntegerLookup", "CategoryEncoding"}


def model_of(class_name: str, config: Json, shape: tuple[int | None, ...]) -> Json:
    entry = layer(class_name, "found", "x", **config)
    if class_name in OF_TWO:
        entry["inbound_nodes"] = [{"args": [[tensor("x"), tensor("x")]], "kwargs": {}}]
    if class_name in HEADS:
        entry["inbound_nodes"] = [{"args": [tensor("x"), tensor("x")], "kwargs": {}}]
    start = source("x", shape)
    wrapped = config.get("layer", {}).get("class_name")
    if class_name in INTEGERS or wrapped in INTEGERS:
        start["config"]["dtype"] = "int32"
    return functional(start, entry)


@pytest.fixture(scope="module", autouse=True)
def _fresh() -> Any:
    keras.backend.clear_session()
    yield
    keras.backend.clear_session()


@pytest.mark.parametrize(("class_name", "config", "shape"), CASES)
def test_a_class_saved_by_keras_has_exactly_the_variables_of_the_table(
    class_name: str, config: Json, shape: tuple[int | None, ...], tmp_path: Path
) -> None:
    if not hasattr(keras.layers, class_name):
        pytest.skip(f"Keras {keras.__version__} has no {class_name}")
    stored = model_of(class_name, config, shape)
    model = keras.saving.deserialize_keras_object(copy.deepcopy(stored))
    model.save_weights(tmp_path / "m.weights.h5")
    found: dict[str, tuple[int, ...]] = {}
    with h5py.File(tmp_path / "m.weights.h5") as file:
        file.visititems(lambda name, item: found.update({name: item.shape} if isinstance(item, h5py.Dataset) else {}))
    expected = paths(stored)
    assert set(found) == set(expected.values())
    for address, path in expected.items():
        shape_of = _variable(stored["config"]["layers"][1], address[1:]).shape
        if shape_of is not None:
            assert len(shape_of) == len(found[path]), address
            assert all(a is None or a == b for a, b in zip(shape_of, found[path], strict=True)), address


def _variable(entry: Json, address: tuple[str, ...]) -> classes.Variable:
    if len(address) == 1:
        return next(v for v in classes.variables(entry["class_name"], entry["config"]) if v.name == address[0])
    part = next(p for p in classes.parts(entry["class_name"], entry["config"]) if p.role == address[0])
    return _variable(part.entry, address[1:])


def test_every_class_of_the_table_is_tried_or_named() -> None:
    assert {case[0] for case in CASES} | set(NOT_HERE) == set(KEPT)


@pytest.mark.parametrize(("class_name", "config", "shape"), CASES)
def test_every_setting_that_keras_writes_is_in_the_table(
    class_name: str, config: Json, shape: tuple[int | None, ...]
) -> None:
    if not hasattr(keras.layers, class_name):
        pytest.skip(f"Keras {keras.__version__} has no {class_name}")
    made = keras.saving.deserialize_keras_object(model_of(class_name, config, shape)["config"]["layers"][1])
    assert set(made.get_config()) <= KEPT[class_name] | COMMON


def test_every_layer_class_of_keras_is_in_a_table() -> None:
    base = {"Layer", "Wrapper", "Lambda"}
    own = {
        kind.__name__
        for kind in vars(keras.layers).values()
        if isinstance(kind, type) and issubclass(kind, keras.layers.Layer)
    }
    assert {FORMER_NAMES.get(name, name) for name in own - base} <= set(KEPT) | {
        row.name for row in CLASSES.values() if row.unsafe
    }


def test_what_is_gone_is_gone() -> None:
    gone = {row.name for row in CLASSES.values() if row.gone}
    for name in gone - {"Layer", "Wrapper", "KerasTensor"}:
        assert not hasattr(keras.layers, name), name


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("TCN", "tcn"),
        ("Conv1D", "conv1d"),
        ("PReLU", "p_re_lu"),
        ("RMSNormalization", "rms_normalization"),
        ("ConvLSTM2D", "conv_lstm2d"),
        ("My2TCNBlock", "my2tcn_block"),
    ],
)
def test_names_in_snake_case_are_those_of_keras(class_name: str, name: str) -> None:
    assert snake_case(class_name) == store_name(class_name) == name


def test_one_class_is_stored_under_another_name_than_it_is_serialized() -> None:
    assert store_name("GroupQueryAttention") == "grouped_query_attention"


def test_older_names_of_variables_and_parts_are_known() -> None:
    (kernel, _) = classes.variables("DepthwiseConv1D", {"kernel_size": [2]})
    assert kernel.aliases == ("depthwise_kernel",)
    (query, *_) = classes.parts("MultiHeadAttention", {"num_heads": 2, "key_dim": 3})
    assert (query.role, query.store_names, query.scopes) == ("query_dense", ("_query_dense",), ("query",))
    forward, backward = classes.parts("Bidirectional", {"layer": inner("LSTM", name="lstm", units=2)})
    assert (forward.scopes[0], backward.scopes[0]) == ("forward_lstm", "backward_lstm")
    (cell,) = classes.parts("LSTM", {"units": 2})
    assert cell.scopes == ("lstm_cell", "")
    kernel, vector = classes.variables("SpectralNormalization", {"layer": inner("Dense", units=2)})
    assert kernel.copy_of == ("layer", "kernel")
    assert not vector.trainable


def test_what_is_not_in_the_table_is_not_known() -> None:
    for name in ("Dense", "Functional", "Sequential", "ThresholdedReLU", "Lambda"):
        assert classes.is_known(name)
    for name in ("TCN", "Evil", "CuDNNLSTM", "TFSMLayer", "", "__list__"):
        assert not classes.is_known(name)
    assert classes.variables("Evil", {}) == ()
    assert classes.parts("Evil", {}) == ()


@pytest.mark.parametrize("class_name", sorted(KEPT))
@pytest.mark.parametrize("odd", [None, -1, "x", [], {}, [None], True, 1.5, {"class_name": 3}])
def test_odd_settings_break_nothing(class_name: str, odd: Any) -> None:
    """Variables and parts are asked for before settings are checked."""
    config = dict.fromkeys(KEPT[class_name] | COMMON, odd)
    for variable in classes.variables(class_name, config):
        assert variable.name
    for part in classes.parts(class_name, config):
        assert part.role


def test_a_row_says_one_thing_of_what_becomes_of_its_class() -> None:
    """A class that nothing knows, of which Keras's layers are made, has a row for its variables or parts alone."""
    inside_others = {"ConvLSTMCell", classes.LIST}
    for row in CLASSES.values():
        fates = [row.settings is not None, row.model is not None, row.raw, row.gone is not None, row.unsafe is not None]
        assert sum(fates) == (0 if row.name in inside_others or (row.replaced_by and row.settings is None) else 1), row
        assert row.replaced_by is None or row.replaced_by in KEPT
        assert row.settings is None or set(row.younger) | set(row.without_effect) | set(row.rates) <= row.settings


def test_every_name_of_a_class_is_of_one_row() -> None:
    former = [name for row in CLASSES.values() for name in row.former_names]
    assert len(former) == len(set(former)) == len(FORMER_NAMES)
    assert not set(former) & set(CLASSES)
    families = [row.name for family in classes.FAMILIES for row in family.ROWS]
    assert len(families) == len(CLASSES)


def test_a_class_that_a_repair_replaces_is_repaired() -> None:
    """`replaced_by` in the row, and the repair that does it."""
    for row in CLASSES.values():
        if row.replaced_by is None:
            continue
        config: Json = {"name": "l", **({"height": 2, "width": 2} if row.name == "RandomCrop" else {})}
        model = functional(source("x", IMAGE), {**layer(row.name, "l", "x"), "config": config})
        made = repair_layers(model, keras_2=True).config["config"]["layers"][1]
        assert made["class_name"] == row.replaced_by
