"""Which variables and which layers inside it each built-in layer class owns, as far as its config tells.

The names are those of Keras 3: a variable's attribute, and for a part the attribute under which Keras 3's weight store
keeps it. Measured by saving a model of every class with Keras 3.0.5 and 3.15.1; `tests/test_config_classes.py` saves
them again with the installed Keras and compares. Seeds of random generators are variables for Keras, but no release
stores them, so they are not listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.identity import MODELS, RAW, REPLACED
from tcn_migrate.config.names import snake_case
from tcn_migrate.config.settings import LAYERS

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Variable:
    """One array of a layer.

    Attributes:
        name: Keras 3's attribute name.
        shape: as far as the config implies it; None for a size, or for the whole shape, that only the input knows.
        aliases: what older releases called it.
        trainable: False for statistics.
        copy_of: where the same array stands a second time, as the rest of an address below the same layer: the wrapped
            layer's kernel is stored by SpectralNormalization too. Older files hold it once.
    """

    name: str
    shape: Shape | None = None
    aliases: tuple[str, ...] = ()
    trainable: bool = True
    copy_of: tuple[str, ...] | None = None


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


LIST = "__list__"
"""The class name of a part that is a plain list of layers, such as the cells of a stack."""


def is_known(class_name: str) -> bool:
    """Whether a class is one of Keras's own that can be migrated, as it is or as what replaces it (models included)."""
    return class_name in LAYERS or class_name in MODELS or class_name in RAW or class_name in REPLACED


def variables(class_name: str, config: Json) -> tuple[Variable, ...]:
    """A layer's own variables, without those of its parts, in the order of `vars/0`, `vars/1`, ... in Keras 3's store.

    Args:
        class_name: as in the normal form of a config. A class without variables, or an unknown one, has none.
        config: the layer's config in normal form.
    """
    rule = _VARIABLES.get(class_name)
    return tuple(rule(config)) if rule else ()


def parts(class_name: str, config: Json) -> tuple[Part, ...]:
    """The layers that a layer holds. The layers of a model are not its parts; the config lists them.

    Args:
        class_name: as in the normal form of a config.
        config: the layer's config in normal form.
    """
    rule = _PARTS.get(class_name)
    return tuple(rule(config)) if rule else ()


def _if(wanted: object, *found: Variable) -> tuple[Variable, ...]:
    return found if wanted else ()


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _sizes(value: object, rank: int) -> Shape:
    """A kernel's extent: Keras takes one number for all axes, or one an axis."""
    if isinstance(value, list | tuple):
        return tuple(_size(item) for item in value)
    return (_size(value),) * rank


def _bias(config: Json, *shape: int | None) -> tuple[Variable, ...]:
    return _if(config.get("use_bias", True), Variable("bias", shape))


def _dense(config: Json) -> Iterable[Variable]:
    units = _size(config.get("units"))
    return (Variable("kernel", (None, units)), *_bias(config, units))


def _einsum_dense(config: Json) -> Iterable[Variable]:
    """Sizes of the kernel's axes that the output has too; the others are the input's."""
    equation, output_shape = config.get("equation"), config.get("output_shape")
    sizes: dict[str, int | None] = {}
    kernel: str | None = None
    if isinstance(equation, str) and equation.count(",") == 1 and equation.count("->") == 1:
        inputs, output = equation.replace(" ", "").split("->")
        kernel = inputs.split(",")[1]
        if isinstance(output_shape, list | tuple):
            sizes = dict(zip(output[::-1], [_size(size) for size in output_shape][::-1], strict=False))
        elif output:
            sizes = {output[-1]: _size(output_shape)}
    yield Variable("kernel", tuple(sizes.get(axis) for axis in kernel) if kernel is not None else None)
    axes = config.get("bias_axes")
    if isinstance(axes, str) and axes:
        yield Variable("bias", None)


def _convolution(rank: int) -> Callable[[Json], Iterable[Variable]]:
    def own(config: Json) -> Iterable[Variable]:
        filters = _size(config.get("filters"))
        shape = (*_sizes(config.get("kernel_size"), rank), None, filters)
        return (Variable("kernel", shape), *_bias(config, filters))

    return own


def _transposed_convolution(rank: int) -> Callable[[Json], Iterable[Variable]]:
    def own(config: Json) -> Iterable[Variable]:
        filters = _size(config.get("filters"))
        shape = (*_sizes(config.get("kernel_size"), rank), filters, None)
        return (Variable("kernel", shape), *_bias(config, filters))

    return own


def _depthwise_convolution(rank: int) -> Callable[[Json], Iterable[Variable]]:
    def own(config: Json) -> Iterable[Variable]:
        shape = (*_sizes(config.get("kernel_size"), rank), None, _size(config.get("depth_multiplier", 1)))
        return (Variable("kernel", shape, aliases=("depthwise_kernel",)), *_bias(config, None))

    return own


def _separable_convolution(rank: int) -> Callable[[Json], Iterable[Variable]]:
    def own(config: Json) -> Iterable[Variable]:
        filters = _size(config.get("filters"))
        extent = _sizes(config.get("kernel_size"), rank)
        return (
            Variable("depthwise_kernel", (*extent, None, _size(config.get("depth_multiplier", 1)))),
            Variable("pointwise_kernel", (*(1,) * rank, None, filters)),
            *_bias(config, filters),
        )

    return own


def _recurrent_cell(gates: int) -> Callable[[Json], Iterable[Variable]]:
    def own(config: Json) -> Iterable[Variable]:
        units = _size(config.get("units"))
        width = None if units is None else gates * units
        separate_biases = gates == 3 and config.get("reset_after", True)
        return (
            Variable("kernel", (None, width)),
            Variable("recurrent_kernel", (units, width)),
            *_bias(config, *((2,) if separate_biases else ()), width),
        )

    return own


def _convolutional_cell(config: Json) -> Iterable[Variable]:
    filters = _size(config.get("filters"))
    width = None if filters is None else 4 * filters
    extent = _sizes(config.get("kernel_size"), int(config.get("rank", 1)))
    return (
        Variable("kernel", (*extent, None, width)),
        Variable("recurrent_kernel", (*extent, filters, width)),
        *_bias(config, width),
    )


def _batch_normalization(config: Json) -> Iterable[Variable]:
    statistics = ["moving_mean", "moving_variance"]
    if config.get("renorm"):
        statistics += ["moving_stddev", "renorm_mean", "renorm_stddev"]
    return (
        *_if(config.get("scale", True), Variable("gamma", (None,))),
        *_if(config.get("center", True), Variable("beta", (None,))),
        *(Variable(name, (None,), trainable=False) for name in statistics),
    )


def _gamma_and_beta(config: Json) -> Iterable[Variable]:
    axis = config.get("axis", -1)
    shape = (None,) * (len(axis) if isinstance(axis, list | tuple) else 1)
    rms_scaling = config.get("rms_scaling")
    return (
        *_if(config.get("scale", True) or rms_scaling, Variable("gamma", shape)),
        *_if(config.get("center", True) and not rms_scaling, Variable("beta", shape)),
    )


def _normalization(config: Json) -> Iterable[Variable]:
    return _if(
        config.get("mean") is None,
        *(Variable(name, trainable=False) for name in ("mean", "variance")),
        Variable("count", (), trainable=False),
    )


def _attention(config: Json) -> Iterable[Variable]:
    return (
        *_if(config.get("use_scale", False), Variable("scale", ())),
        *_if(config.get("score_mode", "dot") == "concat", Variable("concat_score_weight", ())),
    )


def _reversible_embedding(config: Json) -> Iterable[Variable]:
    rows, width = _size(config.get("input_dim")), _size(config.get("output_dim"))
    return (
        Variable("embeddings", (rows, width)),
        *_if(not config.get("tie_weights", True), Variable("reverse_embeddings", (width, rows))),
    )


def _spectral_normalization(config: Json) -> Iterable[Variable]:
    """The wrapped kernel stands here again; `vector_u` is its left singular vector, kept from step to step."""
    inner = config.get("layer")
    inner = inner if isinstance(inner, dict) else {}
    own = variables(str(inner.get("class_name")), inner.get("config") or {})
    kernel = next((one for one in own if one.name in {"kernel", "embeddings"}), Variable("kernel"))
    width = kernel.shape[-1] if kernel.shape else None
    return (
        Variable("kernel", kernel.shape, copy_of=("layer", kernel.name)),
        Variable("vector_u", (1, width), aliases=("sn_u",), trainable=False),
    )


_VARIABLES: dict[str, Callable[[Json], Iterable[Variable]]] = {
    "Dense": _dense,
    "EinsumDense": _einsum_dense,
    "Embedding": lambda config: (
        Variable("embeddings", (_size(config.get("input_dim")), _size(config.get("output_dim")))),
    ),
    "ReversibleEmbedding": _reversible_embedding,
    "Conv1D": _convolution(1),
    "Conv2D": _convolution(2),
    "Conv3D": _convolution(3),
    "Conv1DTranspose": _transposed_convolution(1),
    "Conv2DTranspose": _transposed_convolution(2),
    "Conv3DTranspose": _transposed_convolution(3),
    "DepthwiseConv1D": _depthwise_convolution(1),
    "DepthwiseConv2D": _depthwise_convolution(2),
    "SeparableConv1D": _separable_convolution(1),
    "SeparableConv2D": _separable_convolution(2),
    "LSTMCell": _recurrent_cell(4),
    "GRUCell": _recurrent_cell(3),
    "SimpleRNNCell": _recurrent_cell(1),
    "ConvLSTMCell": _convolutional_cell,
    "BatchNormalization": _batch_normalization,
    "SyncBatchNormalization": _batch_normalization,
    "LayerNormalization": _gamma_and_beta,
    "GroupNormalization": lambda config: _gamma_and_beta({**config, "axis": -1}),
    "RMSNormalization": lambda config: (Variable("scale"),),
    "Normalization": _normalization,
    "SpectralNormalization": _spectral_normalization,
    "PReLU": lambda config: (Variable("alpha"),),
    "Attention": _attention,
    "AdditiveAttention": lambda config: _if(config.get("use_scale", True), Variable("scale", (None,))),
}


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
    backward = _entry_at(config, "backward_layer") or _turned_round(forward)
    for direction, entry in (("forward", forward), ("backward", backward)):
        plain = _name(entry).removeprefix("forward_").removeprefix("backward_")
        yield Part(f"{direction}_layer", entry, scopes=tuple(dict.fromkeys((f"{direction}_{plain}", _name(entry)))))


def _turned_round(entry: Json) -> Json:
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
    heads, key_width = _size(config.get("num_heads")), _size(config.get("key_dim"))
    value_width = _size(config.get("value_dim")) or key_width
    with_bias = config.get("use_bias", True)
    into_heads = "abc,cde->abde"
    bias = "de" if with_bias else None
    yield _projection_part("query_dense", "query", _projection(into_heads, (None, heads, key_width), bias))
    yield _projection_part("key_dense", "key", _projection(into_heads, (None, heads, key_width), bias))
    if config.get("use_gate"):
        yield _projection_part("_gate_dense", "gate", _projection(into_heads, (None, heads, value_width), bias))
    yield _projection_part("value_dense", "value", _projection(into_heads, (None, heads, value_width), bias))
    wanted = config.get("output_shape")
    width = tuple(_size(size) for size in wanted) if isinstance(wanted, list | tuple) else (_size(wanted),)
    axes = "xyzuvw"[: len(width)]
    out = _projection(f"abde,de{axes}->ab{axes}", (None, *width), axes if with_bias else None)
    yield _projection_part("output_dense", "attention_output", out)


def _group_query_attention(config: Json) -> Iterable[Part]:
    width, queries = _size(config.get("head_dim")), _size(config.get("num_query_heads"))
    pairs = _size(config.get("num_key_value_heads"))
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
