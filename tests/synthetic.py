"""Checkpoints as Keras 3 with keras-tcn up to 3.5.2 writes them, drawn by hypothesis; no two arrays are equal."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

WIDTH = 3


@dataclass(frozen=True)
class Drawn:
    """A drawn network.

    Attributes:
        filters, dilations, stacks, kernel_size: of its TCN.
        norm: "batch", "layer" or None.
        first: the session's number of its first norm.
        shuffle: a seed for the order in which arrays are written.
    """

    filters: int
    dilations: list[int]
    stacks: int
    kernel_size: int
    norm: str | None
    first: int
    shuffle: int


networks = st.builds(
    Drawn,
    filters=st.integers(1, 4),
    dilations=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    stacks=st.integers(1, 3),
    kernel_size=st.integers(1, 3),
    norm=st.sampled_from(["batch", "layer", None]),
    first=st.integers(0, 1001),
    shuffle=st.integers(0, 2**32 - 1),
)


def arrays(drawn: Drawn) -> dict[tuple[str, ...], tuple[str, Any]]:
    """Address of every variable, with its stored path and its values."""
    found: dict[tuple[str, ...], tuple[str, Any]] = {}
    number = 0

    def add(address: tuple[str, ...], path: str, *shape: int) -> None:
        nonlocal number
        number += 1
        values = number + np.linspace(0, 0.5, int(np.prod(shape, dtype=int)), dtype=np.float32).reshape(shape)
        found[address] = (path, values.astype(np.float32))

    width, count = WIDTH, drawn.first
    for k in range(drawn.stacks * len(drawn.dilations)):
        block = f"residual_block_{k}"
        for slot, entering in ((0, width), (1, drawn.filters)):
            base = f"layers/tcn/{block}/conv1D_{slot}/vars"
            add(("tcn", block, f"conv1D_{slot}", "kernel"), f"{base}/0", drawn.kernel_size, entering, drawn.filters)
            add(("tcn", block, f"conv1D_{slot}", "bias"), f"{base}/1", drawn.filters)
        names = {"batch": ("gamma", "beta", "moving_mean", "moving_variance"), "layer": ("gamma", "beta")}
        for slot in (0, 1) if drawn.norm else ():
            key = f"{drawn.norm}_normalization" + (f"_{count}" if count else "")
            for position, name in enumerate(names[drawn.norm or ""]):
                add(("tcn", block, f"norm_{slot}", name), f"layers/tcn/{block}/{key}/vars/{position}", drawn.filters)
            count += 1
        if width != drawn.filters:
            base = f"layers/tcn/{block}/matching_conv1D/vars"
            add(("tcn", block, "matching_conv1D", "kernel"), f"{base}/0", 1, width, drawn.filters)
            add(("tcn", block, "matching_conv1D", "bias"), f"{base}/1", drawn.filters)
        width = drawn.filters
    add(("dense", "kernel"), "layers/dense/vars/0", drawn.filters, 2)
    add(("dense", "bias"), "layers/dense/vars/1", 2)
    return found


def config(drawn: Drawn) -> dict[str, Any]:
    """The stored config: Input, TCN, Dense."""

    def tensor(name: str, shape: list[Any]) -> dict[str, Any]:
        history = {"shape": shape, "dtype": "float32", "keras_history": [name, 0, 0]}
        return {"args": [{"class_name": "__keras_tensor__", "config": history}], "kwargs": {}}

    tcn = {
        "name": "tcn", "trainable": True, "dtype": "float32", "nb_filters": drawn.filters,
        "kernel_size": drawn.kernel_size, "nb_stacks": drawn.stacks, "dilations": drawn.dilations, "padding": "causal",
        "use_skip_connections": True, "dropout_rate": 0.0, "return_sequences": False, "activation": "relu",
        "use_batch_norm": drawn.norm == "batch", "use_layer_norm": drawn.norm == "layer", "use_weight_norm": False,
        "kernel_initializer": "he_normal", "go_backwards": False, "return_state": False,
    }  # fmt: skip
    shape = [None, 20, WIDTH]
    layers = [
        {"module": "keras.layers", "class_name": "InputLayer", "registered_name": None, "name": "input",
         "config": {"batch_shape": shape, "dtype": "float32", "sparse": False, "name": "input"}, "inbound_nodes": []},
        {"module": "tcn.tcn", "class_name": "TCN", "registered_name": "TCN", "name": "tcn", "config": tcn,
         "build_config": {"input_shape": shape}, "inbound_nodes": [tensor("input", shape)]},
        {"module": "keras.layers", "class_name": "Dense", "registered_name": None, "name": "dense",
         "config": {"name": "dense", "trainable": True, "dtype": "float32", "units": 2, "activation": "linear",
                    "use_bias": True, "kernel_initializer": "glorot_uniform", "bias_initializer": "zeros"},
         "inbound_nodes": [tensor("tcn", [None, drawn.filters])]},
    ]  # fmt: skip
    ends = {"input_layers": [["input", 0, 0]], "output_layers": [["dense", 0, 0]]}
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {"name": "functional", "trainable": True, "layers": layers, **ends},
        "registered_name": "Functional",
    }


def write(drawn: Drawn, path: Path, stored: dict[tuple[str, ...], tuple[str, Any]] | None = None) -> None:
    """Writes the network as a `.keras` archive, its arrays in a drawn order."""
    held = list((arrays(drawn) if stored is None else stored).values())
    np.random.default_rng(drawn.shuffle).shuffle(held)  # type: ignore[arg-type]
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        for name, values in held:
            file[name] = values
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.8.0"}))
        archive.writestr("config.json", json.dumps(config(drawn)))
        archive.writestr("model.weights.h5", weights.getvalue())
