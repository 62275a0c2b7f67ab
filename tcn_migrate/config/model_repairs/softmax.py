"""Softmax layers that are called with a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import Drawing, is_tensor
from tcn_migrate.config.graph.rewrite import Outputs, every_model, is_functional, replace_layers
from tcn_migrate.config.repair import Repair

_LARGE, _LARGE_HALF = -1e9, -3e4


def replace_masked_softmax(config: Json) -> tuple[Json, list[Repair]]:
    """The config with `Softmax()(x, mask=m)` as Keras 2 computes it: softmax(x + (1 - m) * -1e9), without a mask.

    The two differ where everything is masked: Keras 2 gives equal parts there, Keras 3 zeros.

    Since: TensorFlow 2.4 takes the argument; Keras 3 gives zeros from 3.10 on.
    Issue: none known; measured with TensorFlow 2.15: off by 0.4 deviations. Source: keras/src/layers/activation/
        softmax.py (2.15), `_large_negative_number`.

    Args:
        config: a model in normal form, of Keras 2, whose masks were repaired; it is not changed.
    """
    repairs: list[Repair] = []

    def change(model: Json, path: str) -> Json:
        def build(drawing: Drawing, layer: Json, arguments: Sequence[Any], keywords: Json, name: str) -> Outputs:
            x, mask, own = arguments[0], keywords.get("mask"), layer["config"]
            if is_tensor(mask):
                half = str(own.get("dtype")) in ("float16", "mixed_float16")
                steps = f"{name}_mask"
                kept = drawing.operation("core.Cast", mask, name=steps, dtype="float16" if half else "float32")
                left_out = drawing.operation("numpy.Subtract", 1.0, kept, name=steps)
                far = drawing.operation("numpy.Multiply", left_out, _LARGE_HALF if half else _LARGE, name=steps)
                x = drawing.operation("numpy.Add", x, far, name=steps)
                repairs.append(
                    Repair(path + name, "softmax-with-a-mask", "its mask is added to its input, as in Keras 2")
                )
            settings = {key: value for key, value in own.items() if key != "name"}
            return [drawing.layer("Softmax", x, name, **settings)]

        return replace_layers(model, _masked, build) if is_functional(model) else model

    return every_model(config, change), repairs


def _masked(layer: Json) -> bool:
    calls = layer["inbound_nodes"] if layer["class_name"] == "Softmax" else []
    return any(is_tensor(call["kwargs"].get("mask")) for call in calls)
