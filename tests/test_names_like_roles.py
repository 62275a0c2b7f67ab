"""A layer may be called what a part of another layer is called; no name decides what an array is for."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tcn_migrate
from tcn_migrate.config import normalize
from tcn_migrate.config.graph.entries import is_model
from tcn_migrate.tcn.lowering import lower_tcns
from tests.cases import Case, case

ROLES = [
    "vars",
    "kernel",
    "bias",
    "gamma",
    "beta",
    "moving_mean",
    "recurrent_kernel",
    "layer",
    "layers",
    "layers_1",
    "tcn_layer",
    "forward_layer",
    "norm_0",
    "backward_layer",
    "norm_1",
    "residual_block_0",
    "residual_block_1",
    "conv1D_0",
    "conv1D_1",
    "matching_conv1D",
    "main_conv1D",
    "tcn",
    "dense",
    "data_dep_init",
    "seed_generator",
    "metrics",
    "optimizer",
    "model",
    "model_weights",
    "top_level_model_weights",
    "name",
    "output",
    "weights",
    "variables",
    "call",
    "build",
    "get_layer",
    "batch_normalization",
    "batch_norm_layers",
    "cell",
    "functional",
    "save_counter",
    "iteration",
    "tcn/residual_block_0",
    "norm_0/gamma",
    "dense/vars",
    "layers/dense",
    "residual_block_0/conv1D_0",
    "a/norm_1/moving_mean",
]
FILES = [
    "keras2/two-named-293",
    "keras2/batch-norm-skip-tf21-302",
    "keras2/batch-norm-tf1-names-292",
    "keras2/nested-340",
    "keras2/time-distributed-344",
    "keras2/weight-norm-321",
    "keras2/tanh-layer-norm-302",
    "keras2/zip-batch-norm-tf215-354",
    "keras2/zip-bidirectional-nested-tf215-352",
    "keras2/zip-tf212-350",
    "keras2/weights-two-tcns-tf213-350",
    "keras2/checkpoint-layer-norm-tf21-291",
    "keras2/checkpoint-tf215-354",
    "keras3/numbered-from-20-k38",
    "keras3/bidirectional",
    "keras3/nested-functional",
    "keras3/batch-norms-h5-cross-10",
]


def names_of(config: Any) -> Iterator[str]:
    """The name of every layer of a model, at any depth."""
    for layer in config["config"]["layers"] if isinstance(config["config"], dict) else config["config"]:
        yield layer["config"]["name"]
        if is_model(layer):
            yield from names_of(layer)


def renamed(value: Any, new: dict[str, str]) -> Any:
    """A config with other names for its layers; references to them follow."""
    if isinstance(value, dict):
        made = {key: renamed(item, new) for key, item in value.items()}
        for key in {"name", "keras_history"} & set(made):
            if isinstance(value[key], str):
                made[key] = new.get(value[key], value[key])
        return made
    if isinstance(value, list):
        if len(value) in (3, 4) and isinstance(value[0], str) and isinstance(value[1], int):
            return [new.get(value[0], value[0]), *(renamed(item, new) for item in value[1:])]
        return [renamed(item, new) for item in value]
    return value


def rename(found: Case, new: dict[str, str], folder: Path) -> tuple[Path, Path | None]:
    """A copy of a fixture whose layers have other names, and of its architecture."""
    for file in found.folder.iterdir():
        if file.is_file():
            shutil.copy(file, folder / file.name)
    source, architecture = folder / found.facts["source"], folder / "model.json"
    if architecture.exists():
        architecture.write_text(json.dumps(renamed(json.loads(architecture.read_text()), new)))
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        members["config.json"] = json.dumps(renamed(json.loads(members["config.json"]), new)).encode()
        with zipfile.ZipFile(source, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    elif source.suffix == ".h5" and not source.name.endswith(".weights.h5"):
        rename_hdf5(source, new)
    return source, architecture if architecture.exists() else None


def rename_hdf5(path: Path, new: dict[str, str]) -> None:
    """Renames the layers in the config, and the scopes in front of their variables."""
    written = io.BytesIO()
    with h5py.File(path) as old, h5py.File(written, "w") as file:
        config = old.attrs["model_config"]
        file.attrs["model_config"] = json.dumps(renamed(json.loads(config), new))
        file.attrs["keras_version"] = old.attrs["keras_version"]
        below, weights = old["model_weights"], file.create_group("model_weights")
        layers = [name.decode() if isinstance(name, bytes) else name for name in below.attrs["layer_names"]]
        weights.attrs["layer_names"] = np.array([new.get(name, name).encode() for name in layers])
        for layer in layers:
            group = weights.require_group(new.get(layer, layer))
            names = [name.decode() if isinstance(name, bytes) else name for name in below[layer].attrs["weight_names"]]
            scopes = [(scope, rest) for scope, _, rest in (name.partition("/") for name in names)]
            moved = [f"{new.get(scope, scope)}/{rest}" if rest else scope for scope, rest in scopes]
            group.attrs["weight_names"] = np.array([name.encode() for name in moved])
            for before, after in zip(names, moved, strict=True):
                group[after] = below[layer][before][()]
    path.write_bytes(written.getvalue())


def worst_error(model: Any, golden: Any) -> float:
    inputs, wanted = ([golden[k] for k in sorted(k for k in golden.files if k[0] == letter)] for letter in "xy")
    outputs = model.predict_on_batch(inputs if len(inputs) > 1 else inputs[0])
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    return max(float(np.abs(got - old).max()) / float(old.std()) for got, old in zip(outputs, wanted, strict=True))


@settings(max_examples=24, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES), st.sampled_from(["layer", "plain"]), st.data())
def test_no_name_of_a_layer_is_taken_for_a_part(
    tmp_path_factory: pytest.TempPathFactory, name: str, target: str, data: st.DataObject
) -> None:
    found, folder = case(name), tmp_path_factory.mktemp("renamed")
    layers = sorted(set(names_of(config_of(found))))
    drawn = data.draw(st.lists(st.sampled_from(ROLES), min_size=len(layers), max_size=len(layers), unique=True))
    source, architecture = rename(found, dict(zip(layers, drawn, strict=True)), folder)

    outcome = tcn_migrate.migrate(
        source,
        folder / "new.keras",
        architecture=architecture,
        target=target,
        last_step="--last-step" in found.options,
    )

    assert set(outcome.provenance.values()) <= {"copied", "folded"}
    assert worst_error(outcome.model, np.load(found.folder / "golden.npz")) < 1e-4


def config_of(found: Case) -> Any:
    from tcn_migrate.containers import read_checkpoint
    from tcn_migrate.containers.architecture import read_architecture

    model = found.folder / "model.json"
    return read_checkpoint(found.source, read_architecture(model) if model.exists() else None).config


def test_a_masked_model_with_a_tcn_named_like_a_wrappers_part_is_lowered() -> None:
    tcn = {
        "name": "tcn_layer", "nb_filters": 2, "kernel_size": 2, "nb_stacks": 1, "dilations": [1], "padding": "causal",
        "use_skip_connections": True, "dropout_rate": 0.0, "return_sequences": False, "activation": "relu",
        "use_batch_norm": False, "use_layer_norm": False, "use_weight_norm": False, "kernel_initializer": "he_normal",
    }  # fmt: skip
    layers = [
        {"class_name": "InputLayer", "config": {"name": "input", "batch_input_shape": [None, 8, 3]}},
        {"class_name": "Masking", "config": {"name": "masking", "mask_value": 0.0}},
        {"class_name": "TCN", "config": tcn},
    ]
    model = normalize(
        {"class_name": "Sequential", "config": {"name": "model", "layers": layers}}, keras_version="2.15.0"
    )

    lowered, _ = lower_tcns(model, readings_of(model), keras=2)

    assert "TCN" not in {layer["class_name"] for layer in lowered["config"]["layers"]}


def readings_of(model: Any) -> Any:
    from tcn_migrate.checkpoint import StoredArray
    from tcn_migrate.tcn.naming import TCNArrays
    from tcn_migrate.tcn.reading import Surroundings, read_tcn
    from tcn_migrate.tcn.settings import read_settings

    address = ("tcn_layer",)
    shapes = {"conv1D_0": (2, 3, 2), "conv1D_1": (2, 2, 2), "matching_conv1D": (1, 3, 2)}
    arrays = {}
    for part, shape in shapes.items():
        for variable, size in (("kernel", shape), ("bias", shape[-1:])):
            name = f"{part}/{variable}"
            arrays["residual_block_0", part, variable] = StoredArray(
                name, size, "float32", lambda size=size: np.zeros(size, np.float32)
            )
    entry = model["config"]["layers"][-1]
    settings_read = read_settings(entry["config"], "tcn_layer")
    around = Surroundings(keras=2, length_known=True, step_in_closure=None, last_step=False)
    return {address: read_tcn(address, settings_read, TCNArrays(arrays), around)}
