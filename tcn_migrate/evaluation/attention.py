"""Attention.

Source: keras/src/layers/attention (2.15 and 3.15).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.evaluation.activations import masked_softmax
from tcn_migrate.evaluation.core import with_bias
from tcn_migrate.evaluation.table import Arguments, Layer, computes
from tcn_migrate.evaluation.tensors import UNCLEAR, Tensor, floating


@computes("Attention", "AdditiveAttention")
def attention(layer: Layer, arguments: Arguments) -> list[Tensor]:
    """[query, value] or [query, value, key], with a mask for each of the first two."""
    tensors = arguments.tensors(layer)
    query, value = tensors[:2]
    key = tensors[2] if len(tensors) > 2 else value
    given = arguments.kwargs.get("mask")
    if isinstance(given, list):
        masks = [one.values if isinstance(one, Tensor) else one for one in given]
    else:
        masks = [x.mask for x in tensors]
    of_query, of_value = (None if one is None else layer.used(one) for one in (*masks, None, None)[:2])
    scores = _scores(layer, floating(query.values), floating(key.values))
    kept = None if of_value is None else of_value[:, None, :]
    if layer.config.get("causal") or arguments.kwargs.get("use_causal_mask"):
        causal = np.tril(np.ones(scores.shape[-2:], bool))[None]
        kept = causal if kept is None else kept & causal
    weights = _distribution(layer, scores, kept)
    y = layer.einsum("abc,acd->abd", weights, floating(value.values))
    if of_query is not None:
        y = y * of_query[..., None]
    passed = (of_query if layer.keras_2 else UNCLEAR) if of_query is not None else None
    found = [Tensor(y, passed)]
    return [*found, Tensor(weights)] if arguments.kwargs.get("return_attention_scores") else found


def _scores(layer: Layer, query: Array, key: Array) -> Array:
    scale = layer.weight("scale")
    if layer.class_name == "AdditiveAttention":
        y = np.tanh(layer.rounded(query[:, :, None] + key[:, None]))
        y = layer.rounded(y, 4)
        return layer.product(y, np.ones((y.shape[-1], 1)) if scale is None else scale[:, None])[..., 0]
    if layer.get("score_mode", "dot") == "concat":
        y = query[:, :, None] + key[:, None]
        y = layer.rounded(np.tanh(y if scale is None else scale * y), 4)
        return np.asarray(layer.mean(y, -1) * y.shape[-1] * layer.needed("concat_score_weight"))
    scores = layer.einsum("abc,adc->abd", query, key)
    return scores if scale is None else scores * scale


def _distribution(layer: Layer, scores: Array, kept: Array | None) -> Array:
    """A softmax; a large number is taken from scores that do not count."""
    if kept is None:
        return masked_softmax(layer, scores, None)
    large = 65504.0 if layer.half else 1e9
    kind = "float16" if layer.half else "float32"
    lost = (scores.astype(kind) - np.asarray(large, kind)).astype(np.float64)
    return masked_softmax(layer, np.where(kept, scores, lost), None)


@computes("MultiHeadAttention")
def multi_head_attention(layer: Layer, arguments: Arguments) -> list[Tensor]:
    """Query, value, and key (the value, if it is not given); masks of the inputs count from Keras 2.10 on."""
    called, query, value, key = _three(layer, arguments)
    if layer.config.get("use_gate") or layer.config.get("sliding_window"):
        raise layer.unproven("it has a gate or a sliding window")
    axes = _attention_axes(layer, query)
    heads, width = _projected(layer, "query_dense", query.values), int(layer.config["key_dim"])
    keys, values = _projected(layer, "key_dense", key.values), _projected(layer, "value_dense", value.values)
    mask = _attention_mask(layer, called, query, value, key, axes)
    y, weights = _attended(layer, heads / math.sqrt(width), keys, values, axes, mask)
    output = _joined(layer, y)
    passed = query.mask
    if passed is not None and not layer.keras_2:
        passed = UNCLEAR
    if layer.keras_2 and passed is not None and not layer.at_least(2, 10):
        passed = None
    found = [Tensor(output, passed)]
    return [*found, Tensor(weights)] if called.get("return_attention_scores") else found


def _three(layer: Layer, arguments: Arguments) -> tuple[dict[str, Any], Tensor, Tensor, Tensor]:
    """All arguments by name, and the tensors among them."""
    called = {**dict(zip(("query", "value", "key"), arguments.args, strict=False)), **arguments.kwargs}
    query, value, key = (called.get(name) for name in ("query", "value", "key"))
    key = value if key is None else key
    if not isinstance(query, Tensor) or not isinstance(value, Tensor) or not isinstance(key, Tensor):
        raise layer.unproven("it is called on something else than tensors")
    return called, query, value, key


def _attention_axes(layer: Layer, query: Tensor) -> list[int]:
    """The axes over which it attends; all between the batch and the features if none are set."""
    stored = layer.config.get("attention_axes")
    if stored is None:
        return list(range(1, query.values.ndim - 1))
    axes = stored if isinstance(stored, list | tuple) else [stored]
    return [int(axis) % query.values.ndim for axis in axes]


def _projected(layer: Layer, role: str, x: Array) -> Array:
    """(..., features) by a kernel (features, heads, width)."""
    part = layer.part(role, {"class_name": "EinsumDense", "config": {}})
    kernel = part.needed("kernel")
    y = part.product(floating(x), kernel.reshape(kernel.shape[0], -1)).reshape(*x.shape[:-1], *kernel.shape[1:])
    return part.rounded(with_bias(part, y))


def _joined(layer: Layer, y: Array) -> Array:
    """(..., heads, width) by a kernel (heads, width, features)."""
    part = layer.part("output_dense", {"class_name": "EinsumDense", "config": {}})
    kernel = part.needed("kernel")
    flat = y.reshape(*y.shape[:-2], -1)
    made = part.product(flat, kernel.reshape(flat.shape[-1], -1)).reshape(*y.shape[:-2], *kernel.shape[2:])
    return part.rounded(with_bias(part, made))


def _attended(
    layer: Layer, query: Array, key: Array, value: Array, axes: list[int], mask: Array | None
) -> tuple[Array, Array]:
    """Attention over some axes, (batch, ..., heads, width); the others are batches. Scores: (batch, heads, T, S)."""
    rank = query.ndim
    others = [axis for axis in range(rank - 2) if axis not in axes]

    def arranged(x: Array) -> tuple[Array, tuple[int, ...]]:
        moved = np.transpose(x, (*others, rank - 2, *axes, rank - 1))
        front = moved.shape[: len(others) + 1]
        return moved.reshape(*front, -1, moved.shape[-1]), moved.shape

    (q, shape), (k, _), (v, value_shape) = arranged(query), arranged(key), arranged(value)
    scores = layer.product(q, np.swapaxes(k, -1, -2))
    if mask is not None:
        mask = mask.reshape(mask.shape[0], *(1,) * (scores.ndim - mask.ndim), *mask.shape[1:])
    weights = masked_softmax(layer, scores, None if mask is None else np.broadcast_to(mask, scores.shape))
    y = layer.product(weights, v)
    y = y.reshape(*shape[:-1], value_shape[-1])
    back = np.argsort((*others, rank - 2, *axes, rank - 1))
    return np.transpose(y, back), weights


def _attention_mask(
    layer: Layer, called: dict[str, Any], query: Tensor, value: Tensor, key: Tensor, axes: Sequence[int]
) -> Array | None:
    """(batch, T, S): the given mask, those of the inputs, and the causal one, ANDed."""
    own = called.get("attention_mask")
    parts = [] if own is None else [np.asarray(own.values if isinstance(own, Tensor) else own).astype(bool)]
    masks = []
    for name, x in (("query", query), ("value", value), ("key", key)):
        given = called.get(f"{name}_mask")
        masks.append(given.values if isinstance(given, Tensor) else x.mask)
    if any(mask is not None for mask in masks) and (not layer.keras_2 or layer.at_least(2, 10)):
        if list(axes) != [1] or query.values.ndim != 3:
            raise layer.unproven("it attends over other axes than time, and its inputs have masks")
        if not layer.keras_2:
            raise layer.unproven("releases of Keras 3 differ in the masks that it uses")
        for mask, axis in zip(masks, (-1, 1, 1), strict=True):
            used = layer.used(mask)
            if used is not None:
                parts.append(np.expand_dims(used, axis))
    if called.get("use_causal_mask"):
        parts.append(np.tril(np.ones((query.values.shape[1], value.values.shape[1]), bool))[None])
    together = None
    for part in parts:
        together = part if together is None else together & part
    return together


@computes("GroupQueryAttention")
def group_query_attention(layer: Layer, arguments: Arguments) -> list[Tensor]:
    """Heads of keys and values are shared by groups of heads of queries. Source: Keras 3.15."""
    called, query, value, key = _three(layer, arguments)
    if layer.config.get("use_gate") or layer.config.get("sliding_window"):
        raise layer.unproven("it has a gate or a sliding window")
    heads = _projected(layer, "_query_dense", query.values)
    repeats = heads.shape[-2] // int(layer.config["num_key_value_heads"])
    keys, values = (
        np.repeat(_projected(layer, role, x.values), repeats, axis=-2)
        for role, x in (("_key_dense", key), ("_value_dense", value))
    )
    mask = _attention_mask(layer, called, query, value, key, [1])
    y, weights = _attended(layer, heads / math.sqrt(int(layer.config["head_dim"])), keys, values, [1], mask)
    part = layer.part("_output_dense", {"class_name": "EinsumDense", "config": {}})
    kernel = part.needed("kernel")
    flat = y.reshape(*y.shape[:-2], -1)
    output = part.rounded(with_bias(part, part.product(flat, kernel.reshape(flat.shape[-1], -1))))
    found = [Tensor(output, None if query.mask is None else UNCLEAR)]
    return [*found, Tensor(weights)] if called.get("return_attention_scores") else found
