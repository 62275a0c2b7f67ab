"""Sizes that an EinsumDense knew from its input and did not write into its settings."""

from __future__ import annotations

from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.operations import history, is_tensor
from tcn_migrate.config.redraw import every_model, is_functional


def with_sizes_of_inputs(model: Json) -> Json:
    """The model with `known_sizes` for every EinsumDense that is called on an input of its model.

    `.h5` files have no `build_config`.
    """

    def change(entry: Json, _path: str) -> Json:
        layers: list[Json] = entry["config"]["layers"]
        shapes = {
            e["name"]: e["config"].get("batch_shape") for e in layers if e["class_name"] == "InputLayer" and "name" in e
        }
        if not is_functional(entry) or not shapes:
            return entry
        filled = [_filled(layer, shapes) if layer["class_name"] == "EinsumDense" else layer for layer in layers]
        return {**entry, "config": {**entry["config"], "layers": filled}}

    return every_model(model, change)


def _filled(layer: Json, shapes: dict[str, Any]) -> Json:
    calls = layer["inbound_nodes"]
    if len(calls) != 1 or not calls[0]["args"] or not is_tensor(calls[0]["args"][0]):
        return layer
    config, built = layer["config"], {"input_shape": shapes.get(history(calls[0]["args"][0])[0])}
    sizes = known_sizes(config.get("equation"), config.get("output_shape"), built)
    return {**layer, "config": {**config, "output_shape": sizes}}


def known_sizes(equation: Any, output_shape: Any, built: Any) -> Any:
    """`output_shape` with the sizes that the layer was built for in place of None.

    Since: Keras 3.0 takes None for a length that is not known, and what comes next (Flatten and Dense, another
        EinsumDense) cannot be built; Keras 2 asked the tensor. From 2.13 on a layer's `build_config` tells.
    Issue: "unsupported operand type(s) for *: 'int' and 'NoneType'".

    Args:
        equation: as stored, such as "abc,cd->abd".
        output_shape: as stored: the sizes behind the batch's, None for unknown ones.
        built: the layer's `build_config`, `{"input_shape": [None, 8, 3]}`, or None.
    """
    shape = built.get("input_shape") if isinstance(built, dict) else None
    if not isinstance(equation, str) or not isinstance(output_shape, list) or not isinstance(shape, list):
        return output_shape
    inputs, _, result = equation.replace(" ", "").partition("->")
    letters = inputs.partition(",")[0]
    if "." in equation or len(letters) != len(shape) or len(result) != len(output_shape) + 1:
        return output_shape
    sizes = {letter: size for letter, size in zip(letters, shape, strict=True) if isinstance(size, int)}
    return [sizes.get(letter) if size is None else size for letter, size in zip(result[1:], output_shape, strict=True)]
