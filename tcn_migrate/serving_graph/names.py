"""The names that Keras 2 gave to a model's inputs and outputs, by which a serving signature calls them.

Source: keras/engine/functional.py (`_set_output_names`, `input_names`), keras/engine/training.py, keras/saving/
saving_utils.py (`model_call_inputs`, `trace_model_call`), TensorFlow 2.1 to 2.15.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tcn_migrate.checkpoint import Json


def model_inputs(model: Json) -> list[str]:
    """The names of a model's inputs, in the order in which it is called.

    Args:
        model: as stored, `{"class_name": ..., "config": ...}`.

    Returns:
        The names of a Functional model's input layers; nothing for a Sequential, whose input has no name of its own in
        its config.
    """
    config = model["config"]
    return [name for name, *_ in _endpoints(config.get("input_layers"))] if isinstance(config, dict) else []


def model_outputs(model: Json) -> list[str]:
    """The names of a model's outputs: those of their layers, a number behind one that is there already."""
    config = model["config"]
    layers = config if isinstance(config, list) else config.get("layers", [])
    ends = config.get("output_layers") if isinstance(config, dict) else None
    if ends is None:
        last = layers[-1] if layers else {}
        name = last.get("config", {}).get("name") if isinstance(last, dict) else None
        return [name] if isinstance(name, str) else []
    names: list[str] = []
    for name, *_ in _endpoints(ends):
        proposed, count = name, 0
        while proposed in names:
            count += 1
            proposed = f"{name}_{count}"
        names.append(proposed)
    return names


def _endpoints(stored: Any) -> Iterator[list[Any]]:
    """The `[layer, node, tensor]` of a structure; those of a dictionary in the order of its sorted keys."""
    if isinstance(stored, dict):
        for key in sorted(stored):
            yield from _endpoints(stored[key])
    elif isinstance(stored, list) and len(stored) == 3 and isinstance(stored[0], str):
        yield stored
    elif isinstance(stored, list):
        for item in stored:
            yield from _endpoints(item)
