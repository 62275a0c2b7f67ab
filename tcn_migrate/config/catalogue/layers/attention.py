"""Attention."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.layer_class import ATTENDS, HEADS, Part, Variable, layer, only_if, size_of
from tcn_migrate.config.catalogue.settings import BIAS, KERNEL

_HEADS = f"dropout {KERNEL} {BIAS} seed sliding_window use_gate flash_attention"
_YOUNGER = {"seed": None, "sliding_window": None, "use_gate": False, "flash_attention": None}
_INTO_HEADS = "abc,cde->abde"


def _attention(config: Json) -> Iterable[Variable]:
    return (
        *only_if(config.get("use_scale", False), Variable("scale", ())),
        *only_if(config.get("score_mode", "dot") == "concat", Variable("concat_score_weight", ())),
    )


def _projection(role: str, scope: str, equation: str, output_shape: Iterable[int | None], axes: str | None) -> Part:
    """Older releases keep a projection under an attribute with an underscore in front."""
    settings = {"equation": equation, "output_shape": list(output_shape), "bias_axes": axes}
    store_names = () if role.startswith("_") else (f"_{role}",)
    return Part(role, {"class_name": "EinsumDense", "config": settings}, store_names=store_names, scopes=(scope,))


def _multi_head_attention(config: Json) -> Iterable[Part]:
    """Four projections, and a fifth with a gate (Keras 3.13+). Their kernels do not depend on the rank of the input."""
    heads, key_width = size_of(config.get("num_heads")), size_of(config.get("key_dim"))
    value_width = size_of(config.get("value_dim")) or key_width
    with_bias = config.get("use_bias", True)
    axes = "de" if with_bias else None
    yield _projection("query_dense", "query", _INTO_HEADS, (None, heads, key_width), axes)
    yield _projection("key_dense", "key", _INTO_HEADS, (None, heads, key_width), axes)
    if config.get("use_gate"):
        yield _projection("_gate_dense", "gate", _INTO_HEADS, (None, heads, value_width), axes)
    yield _projection("value_dense", "value", _INTO_HEADS, (None, heads, value_width), axes)
    stated = config.get("output_shape")
    width = tuple(size_of(size) for size in stated) if isinstance(stated, list | tuple) else (size_of(stated),)
    out = "xyzuvw"[: len(width)]
    equation = f"abde,de{out}->ab{out}"
    yield _projection("output_dense", "attention_output", equation, (None, *width), out if with_bias else None)


def _group_query_attention(config: Json) -> Iterable[Part]:
    width, queries = size_of(config.get("head_dim")), size_of(config.get("num_query_heads"))
    pairs = size_of(config.get("num_key_value_heads"))
    with_bias = config.get("use_bias", True)
    axes = "de" if with_bias else None
    for role, heads in (("query", queries), ("key", pairs), ("value", pairs)):
        yield _projection(f"_{role}_dense", role, _INTO_HEADS, (None, heads, width), axes)
    if config.get("use_gate"):
        yield _projection("_gate_dense", "gate", _INTO_HEADS, (None, queries, width), axes)
    yield _projection("_output_dense", "attention_output", "abde,dex->abx", (None, None), "x" if with_bias else None)


_COMMON: dict[str, Any] = {"several_outputs": True, "rates": "dropout"}

ROWS = (
    layer(
        "Attention",
        "use_scale score_mode dropout seed",
        younger={"seed": None},
        variables=_attention,
        masks=ATTENDS,
        **_COMMON,
    ),
    layer(
        "AdditiveAttention",
        "use_scale dropout seed",
        younger={"seed": None},
        variables=lambda config: only_if(config.get("use_scale", True), Variable("scale", (None,))),
        masks=ATTENDS,
        **_COMMON,
    ),
    layer(
        "MultiHeadAttention",
        f"{_HEADS} num_heads key_dim value_dim output_shape attention_axes",
        younger=_YOUNGER,
        parts=_multi_head_attention,
        masks=HEADS,
        **_COMMON,
    ),
    layer(
        "GroupQueryAttention",
        f"{_HEADS} head_dim num_query_heads num_key_value_heads",
        former_names=("GroupedQueryAttention",),
        store_as="GroupedQueryAttention",
        younger=_YOUNGER,
        parts=_group_query_attention,
        **_COMMON,
    ),
)
