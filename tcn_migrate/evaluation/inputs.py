"""Drawn inputs that suit a model: what an Embedding may look up, words of a vocabulary, masks that mask something."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array, Json
from tcn_migrate.config.catalogue.settings import words
from tcn_migrate.config.graph.drawing import ends_in, history, in_order, tensors_in
from tcn_migrate.config.graph.entries import name_of
from tcn_migrate.tcn.reading import TCNReading

LENGTHS = (16, 64, 256)
"""What takes the place of an open length, one after the other: a convolution without padding needs as many steps as its
kernel reaches."""
MOST_VALUES = 1 << 22
"""Values of one input; of more, open lengths are not tried."""
SMALL = 1 << 16
"""Values of one sample up to which two samples are drawn."""

Shape = tuple[int, ...]
Choices = Sequence[Any]
"""The values that an input may have."""

_HANDS_ON = words(
    "InputLayer Reshape Flatten Permute RepeatVector Cropping1D Cropping2D Cropping3D ZeroPadding1D Concatenate",
    "Dropout SpatialDropout1D GaussianNoise Identity Masking Lambda SlicingOpLambda TFOpLambda TensorFlowOpLayer",
    "Copy Cast GetItem ExpandDims Squeeze Take Split Stack Transpose AddLoss AddMetric",
)
"""Classes that put values elsewhere, mostly; what is looked up behind them is what goes in."""
_MOST_WORDS = 100


def drawn(
    config: Json,
    shapes: Sequence[tuple[int | None, ...]],
    dtypes: Sequence[str],
    tcns: Mapping[Any, TCNReading],
) -> Iterator[list[Array]]:
    """Inputs for each open length that is tried; once if no length is open.

    Floating-point numbers are of a standard normal distribution. In the last sample the last third of the steps is what
    a Masking or an Embedding with `mask_zero` masks.

    Args:
        config: the old model in normal form.
        shapes: of its inputs, as far as they are known.
        dtypes: of its inputs.
        tcns: its TCNs; an open length is as long as the farthest tap of one of them reaches, up to `LENGTHS[-1]`.
    """
    rng = np.random.default_rng(0)
    allowed = _allowed(config)
    allowed += [None] * (len(shapes) - len(allowed))
    masked = _masked(config)
    reach = max((1 + 2 * (r.settings.kernel_size - 1) * sum(r.settings.dilations) for r in tcns.values()), default=0)
    lengths = (max(LENGTHS[0], min(LENGTHS[-1], reach)), *LENGTHS[1:])
    is_open = any(size is None for shape in shapes for size in shape[1:])
    fixed = next((shape[0] for shape in shapes if shape and shape[0] is not None), None)
    for length in lengths if is_open else lengths[:1]:
        inner = [tuple(length if size is None else size for size in shape[1:]) for shape in shapes]
        largest = max(map(math.prod, inner), default=0)
        if is_open and length != lengths[0] and largest > MOST_VALUES:
            return
        batch = fixed or (2 if largest <= SMALL else 1)
        yield [
            _values((batch, *size), dtype, choices, masked, rng)
            for size, dtype, choices in zip(inner, dtypes, allowed, strict=False)
        ]


def _values(
    shape: Shape, dtype: str, choices: Choices | None, masked: tuple[float | None, bool], rng: np.random.Generator
) -> Array:
    mask_value, zeros = masked
    kind = "float32" if dtype == "bfloat16" else dtype
    if choices is not None:
        found = np.asarray(choices)[rng.integers(0, len(choices), shape)]
        values = found if kind == "string" else found.astype(kind)
    elif kind == "string":
        values = np.full(shape, "word")
    elif kind == "bool":
        values = rng.integers(0, 2, shape).astype(bool)
    elif "int" in kind:
        values = rng.integers(0, 2, shape).astype(kind)
    else:
        values = rng.standard_normal(shape).astype(kind)
    steps = shape[1] if len(shape) > 1 else 0
    third = slice(steps - steps // 3, None)
    if choices is not None and zeros and kind != "string" and 0 in choices and steps > 2:
        values[-1, third] = 0
    elif mask_value is not None and len(shape) > 2 and kind.startswith("float") and steps > 2:
        values[-1, third] = mask_value
    return values


def _layers(entry: Any) -> Iterator[Json]:
    """All layers of a model, those inside of others too."""
    if isinstance(entry, dict):
        if isinstance(entry.get("class_name"), str) and isinstance(entry.get("config"), dict):
            yield entry
        for value in entry.values():
            yield from _layers(value)
    elif isinstance(entry, list):
        for value in entry:
            yield from _layers(value)


def _masked(config: Json) -> tuple[float | None, bool]:
    """The value that a Masking of the model masks; and whether zeros are masked by an Embedding."""
    value, zeros = None, False
    for layer in _layers(config):
        if layer["class_name"] == "Masking":
            stored = layer["config"].get("mask_value", 0.0)
            value = stored if isinstance(stored, int | float) else value
        zeros = zeros or layer["config"].get("mask_zero") is True
    return value, zeros


def makes_masks(config: Json) -> bool:
    """Whether a layer of a model makes masks."""
    return _masked(config) != (None, False)


def _looked_up(layer: Json) -> Choices | None:
    """What a layer may be called on; None if that is anything."""
    kind, config = layer["class_name"], layer["config"]
    if kind in ("Embedding", "ReversibleEmbedding"):
        return range(min(int(config.get("input_dim", 2)), _MOST_WORDS))
    if kind == "CategoryEncoding":
        depth = config.get("num_tokens") or config.get("max_tokens")
        return range(min(int(depth), _MOST_WORDS)) if isinstance(depth, int) and depth > 0 else None
    if kind in ("Hashing", "HashedCrossing"):
        return range(_MOST_WORDS)
    vocabulary = config.get("vocabulary")
    if kind in ("IntegerLookup", "StringLookup", "TextVectorization") and isinstance(vocabulary, list):
        ordinary = [word for word in vocabulary[:_MOST_WORDS] if word not in ("", "[UNK]", None)]
        return ordinary or None
    return None


def _both(one: Choices | None, other: Choices | None) -> Choices | None:
    return one if other is None else other if one is None else min(one, other, key=len)


def _allowed(model: Json) -> list[Choices | None]:
    """For each input of a model what it may hold."""
    config = model["config"]
    if model["class_name"] == "Sequential":
        for layer in config.get("layers", []):
            inner = _inside(layer)
            if inner is not None or layer["class_name"] not in _HANDS_ON:
                return [inner]
        return [None]
    if "input_layers" not in config:
        return []
    places = [(name, number) for name, number, _ in ends_in(config["input_layers"])]
    found: dict[int, Choices | None] = dict.fromkeys(range(len(places)))
    entries = {name_of(entry): entry for entry in config["layers"]}
    sources: dict[tuple[str, int], set[int]] = {place: {number} for number, place in enumerate(places)}
    nodes = {
        (name, number): [history(one)[:2] for one in tensors_in([node["args"], node["kwargs"]])]
        for name, entry in entries.items()
        for number, node in enumerate(entry.get("inbound_nodes") or [])
        if (name, number) not in sources
    }
    for call in in_order({**{place: set() for place in places}, **{c: set(needs) for c, needs in nodes.items()}}):
        if call not in nodes:
            continue
        entry, needs = entries[call[0]], nodes[call]
        if entry["class_name"] in ("Functional", "Sequential"):
            inner = _allowed(entry)
        else:
            inner = [_inside(entry)] * len(needs)
        for need, choices in zip(needs, inner, strict=False):
            for number in sources.get(need, ()):
                found[number] = _both(found[number], choices)
        hands_on = entry["class_name"] in _HANDS_ON
        sources[call] = set().union(*(sources.get(need, set()) for need in needs)) if hands_on else set()
    return list(found.values())


def _inside(layer: Json) -> Choices | None:
    """What a layer may be called on, a wrapper as the layer inside."""
    inner: Any = layer["config"].get("layer")
    if isinstance(inner, dict) and layer["class_name"] == "TimeDistributed":
        if inner.get("class_name") in ("Functional", "Sequential"):
            return next(iter(_allowed(inner)), None)
        return _inside(inner)
    if layer["class_name"] in ("Functional", "Sequential"):
        return next(iter(_allowed(layer)), None)
    return _looked_up(layer)
