"""Checkpoints of any size as the old library wrote them, made without Keras: Input, TCN with batch norm, Dense."""

from __future__ import annotations

import json
import math
import multiprocessing
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Json = dict[str, Any]
FEATURES, STEPS, OUTPUTS = 8, 32, 2


@dataclass(frozen=True)
class Size:
    """How large a network is.

    Attributes:
        blocks: how many residual blocks, each with two convolutions and two norms.
        filters: of every convolution.
        kernel_size: in time steps.
    """

    blocks: int
    filters: int
    kernel_size: int = 3

    @property
    def parameters(self) -> int:
        """How many numbers all arrays hold."""
        return sum(math.prod(shape) for _, _, _, shape in _variables(self))


def of_parameters(wanted: float, blocks: int = 6) -> Size:
    """The network of these blocks that comes nearest to so many parameters."""
    return Size(blocks, max(1, round(math.sqrt(wanted / (blocks * 6)))))


def _variables(size: Size) -> Iterator[tuple[str, str, str, tuple[int, ...]]]:
    """Block, layer within it, variable and shape; in the order of Keras."""
    width = FEATURES
    for number in range(size.blocks):
        block = f"residual_block_{number}"
        for slot in (0, 1):
            entering = width if slot == 0 else size.filters
            yield block, f"conv1D_{slot}", "kernel", (size.kernel_size, entering, size.filters)
            yield block, f"conv1D_{slot}", "bias", (size.filters,)
            for name in ("gamma", "beta", "moving_mean", "moving_variance"):
                yield block, f"norm_{slot}", name, (size.filters,)
        if width != size.filters:
            yield block, "matching_conv1D", "kernel", (1, width, size.filters)
            yield block, "matching_conv1D", "bias", (size.filters,)
        width = size.filters


def _values(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Values as training leaves them: kernels that keep the variance, norms about one."""
    values = rng.standard_normal(shape, dtype=np.float32)
    if name in ("gamma", "moving_variance"):
        return np.abs(1 + values / 10)
    return values / np.float32(math.sqrt(math.prod(shape[:-1])) if name == "kernel" else 10)


def _tcn(size: Size) -> Json:
    stacks = -(-size.blocks // 10)
    dilations = [2 ** (number % 10) for number in range(size.blocks // stacks)]
    assert stacks * len(dilations) == size.blocks, "blocks beyond 10 must be a multiple of the stacks"
    return {
        "name": "tcn", "trainable": True, "dtype": "float32", "nb_filters": size.filters,
        "kernel_size": size.kernel_size, "nb_stacks": stacks, "dilations": dilations, "padding": "causal",
        "use_skip_connections": False, "dropout_rate": 0.0, "return_sequences": False, "activation": "relu",
        "use_batch_norm": True, "use_layer_norm": False, "use_weight_norm": False, "kernel_initializer": "he_normal",
        "go_backwards": False, "return_state": False,
    }  # fmt: skip


_DENSE: Json = {
    "name": "dense", "trainable": True, "dtype": "float32", "units": OUTPUTS, "activation": "linear", "use_bias": True,
}  # fmt: skip


def apart(write: Callable[..., None], *arguments: Any, **settings: Any) -> None:
    """Writes in a process of its own: a process begins with the peak of the one that starts it, which must stay small.

    Raises:
        RuntimeError: it could not.
    """
    process = multiprocessing.get_context("spawn").Process(target=write, args=arguments, kwargs=settings)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{arguments} could not be written")


def write_inputs(samples: int, path: Path) -> None:
    """So many inputs, as NumPy's `.npy`."""
    np.save(path, np.random.default_rng(0).standard_normal((samples, STEPS, FEATURES), dtype=np.float32))


def write_keras(size: Size, path: Path, *, first: int = 20, seed: int = 0, lost: Collection[str] = ()) -> None:
    """The `.keras` archive of Keras 3.8 and keras-tcn 3.5.2: its norms are numbered by the session.

    Args:
        first: the session's number of the first norm. With one that is not 0, Keras finds none of them.
        lost: names of variables that are not in the file.
    """
    rng = np.random.default_rng(seed)

    def tensor(name: str, shape: list[int | None]) -> Json:
        history = {"shape": shape, "dtype": "float32", "keras_history": [name, 0, 0]}
        return {"args": [{"class_name": "__keras_tensor__", "config": history}], "kwargs": {}}

    shape: list[int | None] = [None, STEPS, FEATURES]
    layers = [
        {"module": "keras.layers", "class_name": "InputLayer", "registered_name": None, "name": "input",
         "config": {"batch_shape": shape, "dtype": "float32", "sparse": False, "name": "input"}, "inbound_nodes": []},
        {"module": "tcn.tcn", "class_name": "TCN", "registered_name": "TCN", "name": "tcn", "config": _tcn(size),
         "build_config": {"input_shape": shape}, "inbound_nodes": [tensor("input", shape)]},
        {"module": "keras.layers", "class_name": "Dense", "registered_name": None, "name": "dense", "config": _DENSE,
         "inbound_nodes": [tensor("tcn", [None, size.filters])]},
    ]  # fmt: skip
    ends = {"input_layers": [["input", 0, 0]], "output_layers": [["dense", 0, 0]]}
    model = {"name": "functional", "trainable": True, "layers": layers, **ends}
    config = {"module": "keras.src.models.functional", "class_name": "Functional", "config": model,
              "registered_name": "Functional"}  # fmt: skip
    weights = path.with_suffix(".weights.h5")
    with h5py.File(weights, "w") as file:
        for block, layer, name, held in _variables(size):
            if name in lost:
                continue
            number = {"kernel": 0, "bias": 1, "gamma": 0, "beta": 1, "moving_mean": 2, "moving_variance": 3}[name]
            if layer.startswith("norm"):
                count = first + 2 * int(block.rpartition("_")[2]) + int(layer[-1])
                layer = f"batch_normalization_{count}" if count else "batch_normalization"
            file[f"layers/tcn/{block}/{layer}/vars/{number}"] = _values(rng, name, held)
        file["layers/dense/vars/0"] = _values(rng, "kernel", (size.filters, OUTPUTS))
        file["layers/dense/vars/1"] = _values(rng, "bias", (OUTPUTS,))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.8.0"}))
        archive.writestr("config.json", json.dumps(config))
        archive.write(weights, "model.weights.h5")
    weights.unlink()


def write_h5(size: Size, path: Path, *, seed: int = 0) -> None:
    """The `.h5` that TensorFlow 2.10 and keras-tcn 3.5.0 wrote."""
    rng = np.random.default_rng(seed)
    layers = [
        {"class_name": "InputLayer", "name": "input_1", "inbound_nodes": [], "config": {
            "batch_input_shape": [None, STEPS, FEATURES], "dtype": "float32", "sparse": False, "ragged": False,
            "name": "input_1"}},
        {"class_name": "TCN", "config": _tcn(size), "name": "tcn", "inbound_nodes": [[["input_1", 0, 0, {}]]]},
        {"class_name": "Dense", "config": _DENSE, "name": "dense", "inbound_nodes": [[["tcn", 0, 0, {}]]]},
    ]  # fmt: skip
    ends = {"input_layers": [["input_1", 0, 0]], "output_layers": [["dense", 0, 0]]}
    config = {"class_name": "Functional", "config": {"name": "model", "layers": layers, **ends}}
    arrays: dict[str, dict[str, np.ndarray[Any, Any]]] = {"input_1": {}, "tcn": {}, "dense": {
        "dense/kernel:0": _values(rng, "kernel", (size.filters, OUTPUTS)),
        "dense/bias:0": _values(rng, "bias", (OUTPUTS,))}}  # fmt: skip
    count = 0
    with h5py.File(path, "w") as file:
        file.attrs.update(keras_version="2.10.0", backend="tensorflow", model_config=json.dumps(config))
        names: dict[str, list[str]] = {layer: list(held) for layer, held in arrays.items()}
        numbers: dict[tuple[str, str], int] = {}
        for block, layer, name, shape in _variables(size):
            if layer.startswith("norm"):
                numbers.setdefault((block, layer), len(numbers))
                count = numbers[block, layer]
                layer = f"batch_normalization_{count}" if count else "batch_normalization"
            names["tcn"].append(f"tcn/{block}/{layer}/{name}:0")
            file[f"model_weights/tcn/{names['tcn'][-1]}"] = _values(rng, name, shape)
        for layer, held in arrays.items():
            group = file.require_group(f"model_weights/{layer}")
            for name, values in held.items():
                group[name] = values
            group.attrs["weight_names"] = [name.encode() for name in names[layer]]
        file["model_weights"].attrs.update(layer_names=[name.encode() for name in arrays], keras_version="2.10.0")
