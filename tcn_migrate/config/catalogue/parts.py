"""Which layers each built-in layer class holds, as far as its config tells.

Roles are the attributes under which Keras 3's weight store keeps them. Measured by saving a model of every class with
Keras 3.0.5 and 3.15.1, and in the HDF5 files and archives of TensorFlow 2.15.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.names import snake_case
from tcn_migrate.config.catalogue.settings import words
from tcn_migrate.config.catalogue.variables import size_of


@dataclass(frozen=True)
class Part:
    """A layer inside a layer.

    Attributes:
        role: the attribute under which Keras 3's weight store keeps it.
        entry: its `{"class_name", "config"}`.
        store_names: other attribute names of the same thing in weight stores and object graphs of Keras 2.
        scopes: name scopes in variable paths, best first; "" where the part's variables stand directly under the
            layer's name. Keras numbers some scopes through a session (`lstm_cell_7`), so a number may follow.
    """

    role: str
    entry: Json
    store_names: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


ACTIVATED = words(
    "Activation Dense EinsumDense Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose DepthwiseConv1D",
    "DepthwiseConv2D SeparableConv1D SeparableConv2D",
)
"""Classes that call their activation once, on their output, so that it may be a layer with variables."""

LIST = "__list__"
"""The class name of a part that is a plain list of layers, such as the cells of a stack."""


def parts(class_name: str, config: Json) -> tuple[Part, ...]:
    """The layers that a layer holds. The layers of a model are not its parts; the config lists them.

    Args:
        class_name: as in the normal form of a config.
        config: the layer's config in normal form.
    """
    rule = _PARTS.get(class_name)
    return tuple(rule(config)) if rule else ()


def _activation(config: Json) -> Iterable[Part]:
    """An activation that is a layer with variables (a PReLU); under Keras 2 its scope is its name or its class."""
    entry = config.get("activation")
    if isinstance(entry, dict) and entry.get("class_name") == "PReLU":
        yield Part("activation", entry, scopes=tuple(dict.fromkeys((_name(entry), "p_re_lu"))))


def _entry(class_name: str, config: Json) -> Json:
    return {"class_name": class_name, "config": config}


def _cell(class_name: str) -> Callable[[Json], Iterable[Part]]:
    """A recurrent layer keeps its variables in a cell, whose scope older releases leave out."""

    def held(config: Json) -> Iterable[Part]:
        return (Part("cell", _entry(class_name, config), scopes=(snake_case(class_name), "")),)

    return held


def _convolutional_recurrence(rank: int) -> Callable[[Json], Iterable[Part]]:
    def held(config: Json) -> Iterable[Part]:
        scopes = ("conv_lstm_cell", f"conv_lstm{rank}d_cell", f"conv_lstm_cell{rank}d", f"conv_lst_m{rank}d_cell", "")
        return (Part("cell", _entry("ConvLSTMCell", {**config, "rank": rank}), scopes=scopes),)

    return held


def _entry_at(config: Json, key: str) -> Json:
    entry = config.get(key)
    return entry if isinstance(entry, dict) else {}


def _name(entry: Json) -> str:
    config = entry.get("config")
    return str(config.get("name", "")) if isinstance(config, dict) else ""


def _recurrence(config: Json) -> Iterable[Part]:
    cell = _entry_at(config, "cell")
    scopes = (_name(cell), snake_case(str(cell.get("class_name"))), "")
    return (Part("cell", cell, scopes=tuple(dict.fromkeys(scopes))),)


def _stack(config: Json) -> Iterable[Part]:
    cells = config.get("cells")
    return (Part("cells", _entry(LIST, {"items": cells if isinstance(cells, list) else []}), scopes=("",)),)


def _items(config: Json) -> Iterable[Part]:
    """Keras 3's store names the items of a list by their class, counted: `gru_cell`, `lstm_cell`, `gru_cell_1`."""
    counts: dict[str, int] = {}
    for number, item in enumerate(config.get("items", [])):
        base = snake_case(str(item.get("class_name")))
        seen = counts[base] = counts.get(base, -1) + 1
        scopes = (_name(item), base, f"cell_{number}", "")
        yield Part(
            f"{base}_{seen}" if seen else base,
            item,
            store_names=(str(number),),
            scopes=tuple(dict.fromkeys(scopes)),
        )


def _two_directions(config: Json) -> Iterable[Part]:
    """The backward layer is the forward one the other way round, unless the config gives it (Keras 3 always does)."""
    forward = _entry_at(config, "layer")
    backward = _entry_at(config, "backward_layer") or turned_round(forward)
    for direction, entry in (("forward", forward), ("backward", backward)):
        plain = _name(entry).removeprefix("forward_").removeprefix("backward_")
        yield Part(f"{direction}_layer", entry, scopes=tuple(dict.fromkeys((f"{direction}_{plain}", _name(entry)))))


def turned_round(entry: Json) -> Json:
    config = entry.get("config")
    if not isinstance(config, dict):
        return entry
    return {**entry, "config": {**config, "go_backwards": not config.get("go_backwards", False)}}


def _wrapped(config: Json) -> Iterable[Part]:
    """TimeDistributed and other wrappers: Keras 2 leaves out the inner layer's name, Keras 3 has it."""
    entry = _entry_at(config, "layer")
    return (Part("layer", entry, scopes=("", _name(entry))),)


def _projection(equation: str, output_shape: Iterable[int | None], bias_axes: str | None) -> Json:
    settings = {"equation": equation, "output_shape": list(output_shape), "bias_axes": bias_axes}
    return _entry("EinsumDense", settings)


def _projection_part(role: str, scope: str, entry: Json) -> Part:
    """Older releases keep a projection under an attribute with an underscore in front."""
    return Part(role, entry, store_names=() if role.startswith("_") else (f"_{role}",), scopes=(scope,))


def _multi_head_attention(config: Json) -> Iterable[Part]:
    """Four projections, and a fifth with a gate (Keras 3.13+). Their kernels do not depend on the rank of the input."""
    heads, key_width = size_of(config.get("num_heads")), size_of(config.get("key_dim"))
    value_width = size_of(config.get("value_dim")) or key_width
    with_bias = config.get("use_bias", True)
    into_heads = "abc,cde->abde"
    bias = "de" if with_bias else None
    yield _projection_part("query_dense", "query", _projection(into_heads, (None, heads, key_width), bias))
    yield _projection_part("key_dense", "key", _projection(into_heads, (None, heads, key_width), bias))
    if config.get("use_gate"):
        yield _projection_part("_gate_dense", "gate", _projection(into_heads, (None, heads, value_width), bias))
    yield _projection_part("value_dense", "value", _projection(into_heads, (None, heads, value_width), bias))
    wanted = config.get("output_shape")
    width = tuple(size_of(size) for size in wanted) if isinstance(wanted, list | tuple) else (size_of(wanted),)
    axes = "xyzuvw"[: len(width)]
    out = _projection(f"abde,de{axes}->ab{axes}", (None, *width), axes if with_bias else None)
    yield _projection_part("output_dense", "attention_output", out)


def _group_query_attention(config: Json) -> Iterable[Part]:
    width, queries = size_of(config.get("head_dim")), size_of(config.get("num_query_heads"))
    pairs = size_of(config.get("num_key_value_heads"))
    with_bias = config.get("use_bias", True)
    bias = "de" if with_bias else None
    into_heads = "abc,cde->abde"
    for role, heads in (("query", queries), ("key", pairs), ("value", pairs)):
        yield _projection_part(f"_{role}_dense", role, _projection(into_heads, (None, heads, width), bias))
    if config.get("use_gate"):
        yield _projection_part("_gate_dense", "gate", _projection(into_heads, (None, queries, width), bias))
    out = _projection("abde,dex->abx", (None, None), "x" if with_bias else None)
    yield _projection_part("_output_dense", "attention_output", out)


_PARTS: dict[str, Callable[[Json], Iterable[Part]]] = {
    "LSTM": _cell("LSTMCell"),
    "GRU": _cell("GRUCell"),
    "SimpleRNN": _cell("SimpleRNNCell"),
    "ConvLSTM1D": _convolutional_recurrence(1),
    "ConvLSTM2D": _convolutional_recurrence(2),
    "ConvLSTM3D": _convolutional_recurrence(3),
    **dict.fromkeys(ACTIVATED, _activation),
    "RNN": _recurrence,
    "StackedRNNCells": _stack,
    LIST: _items,
    "Bidirectional": _two_directions,
    "TimeDistributed": _wrapped,
    "SpectralNormalization": _wrapped,
    "Wrapper": _wrapped,
    "MultiHeadAttention": _multi_head_attention,
    "GroupQueryAttention": _group_query_attention,
}
