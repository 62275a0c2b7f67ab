"""Recurrent layers, and the cells that hold their variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.layer_class import (
    ANY,
    RECURRENT,
    Part,
    Shape,
    Variable,
    bias,
    entry_at,
    extent,
    layer,
    name_in,
    size_of,
)
from tcn_migrate.config.catalogue.names import snake_case
from tcn_migrate.config.catalogue.settings import BIAS, CONVOLUTION, KERNEL
from tcn_migrate.config.catalogue.shapes import of_one, sequence, whole

LIST = "__list__"
"""The class name of a part that is a plain list of layers, such as the cells of a stack."""

_STATE = (
    f"activation {KERNEL} {BIAS} recurrent_initializer recurrent_regularizer recurrent_constraint "
    "dropout recurrent_dropout seed"
)
_CELL = f"units {_STATE}"
_RECURRENCE = "return_sequences return_state go_backwards stateful unroll zero_output_for_mask"
_GATES = "recurrent_activation unit_forget_bias"
_GRU = "recurrent_activation reset_after"
_RATES = "dropout recurrent_dropout"
_NO_CUDNN = "Keras 3 has no layer with cuDNN's two biases; convert it to {} with the old library first"


def _cell_variables(gates: int) -> Callable[[Json], Iterable[Variable]]:
    def own(config: Json) -> Iterable[Variable]:
        units = size_of(config.get("units"))
        width = None if units is None else gates * units
        separate_biases = gates == 3 and config.get("reset_after", True)
        return (
            Variable("kernel", (None, width)),
            Variable("recurrent_kernel", (units, width)),
            *bias(config, *((2,) if separate_biases else ()), width),
        )

    return own


def _convolutional_cell(config: Json) -> Iterable[Variable]:
    filters = size_of(config.get("filters"))
    width = None if filters is None else 4 * filters
    window = extent(config.get("kernel_size"), int(config.get("rank", 1)))
    return (
        Variable("kernel", (*window, None, width)),
        Variable("recurrent_kernel", (*window, filters, width)),
        *bias(config, width),
    )


def _cell(class_name: str) -> Callable[[Json], Iterable[Part]]:
    """A recurrent layer keeps its variables in a cell, whose scope older releases leave out."""

    def inside(config: Json) -> Iterable[Part]:
        return (Part("cell", {"class_name": class_name, "config": config}, scopes=(snake_case(class_name), "")),)

    return inside


def _convolutional(rank: int) -> Callable[[Json], Iterable[Part]]:
    def inside(config: Json) -> Iterable[Part]:
        scopes = ("conv_lstm_cell", f"conv_lstm{rank}d_cell", f"conv_lstm_cell{rank}d", f"conv_lst_m{rank}d_cell", "")
        return (Part("cell", {"class_name": "ConvLSTMCell", "config": {**config, "rank": rank}}, scopes=scopes),)

    return inside


def _any_cell(config: Json) -> Iterable[Part]:
    cell = entry_at(config, "cell")
    scopes = (name_in(cell), snake_case(str(cell.get("class_name"))), "")
    return (Part("cell", cell, scopes=tuple(dict.fromkeys(scopes))),)


def _stack(config: Json) -> Iterable[Part]:
    cells = config.get("cells")
    items = cells if isinstance(cells, list) else []
    return (Part("cells", {"class_name": LIST, "config": {"items": items}}, scopes=("",)),)


def _items(config: Json) -> Iterable[Part]:
    """Keras 3's store names the items of a list by their class, counted: `gru_cell`, `lstm_cell`, `gru_cell_1`."""
    counts: dict[str, int] = {}
    for number, item in enumerate(config.get("items", [])):
        base = snake_case(str(item.get("class_name")))
        seen = counts[base] = counts.get(base, -1) + 1
        scopes = (name_in(item), base, f"cell_{number}", "")
        yield Part(
            f"{base}_{seen}" if seen else base,
            item,
            store_names=(str(number),),
            scopes=tuple(dict.fromkeys(scopes)),
        )


@of_one
def _convolved_in_time(config: Json, shape: Shape) -> Shape | None:
    extents = [None] * (len(shape) - 3)
    time = (shape[1],) if config.get("return_sequences") else ()
    return None if config.get("return_state") else (shape[0], *time, *extents, whole(config.get("filters")))


_LAYER: dict[str, Any] = {"keras_2_settings": {"implementation": ANY}, "several_outputs": True, "masks": RECURRENT}
_OWN_CELL: dict[str, Any] = {**_LAYER, "output_shape": sequence(lambda config: config.get("units")), "rates": _RATES}
_A_CELL: dict[str, Any] = {"keras_2_settings": {"implementation": ANY}, "several_outputs": True, "rates": _RATES}

ROWS = (
    layer(
        "LSTM", f"{_CELL} {_RECURRENCE} {_GATES}", former_names=("UnifiedLSTM",), parts=_cell("LSTMCell"), **_OWN_CELL
    ),
    layer("GRU", f"{_CELL} {_RECURRENCE} {_GRU}", former_names=("UnifiedGRU",), parts=_cell("GRUCell"), **_OWN_CELL),
    layer("SimpleRNN", f"{_CELL} {_RECURRENCE}", parts=_cell("SimpleRNNCell"), **_OWN_CELL),
    layer("LSTMCell", f"{_CELL} {_GATES}", variables=_cell_variables(4), **_A_CELL),
    layer("GRUCell", f"{_CELL} {_GRU}", variables=_cell_variables(3), **_A_CELL),
    layer("SimpleRNNCell", _CELL, variables=_cell_variables(1), **_A_CELL),
    layer("RNN", f"cell {_RECURRENCE}", parts=_any_cell, **_LAYER),
    layer(
        "StackedRNNCells",
        "cells",
        keras_2_settings={"reverse_state_order": False},
        parts=_stack,
        several_outputs=True,
    ),
    layer(LIST, None, parts=_items),
    *(
        layer(
            f"ConvLSTM{rank}D",
            f"{_STATE} {_RECURRENCE} {CONVOLUTION} {_GATES}",
            parts=_convolutional(rank),
            output_shape=_convolved_in_time,
            rates=_RATES,
            **_LAYER,
        )
        for rank in (1, 2, 3)
    ),
    layer("ConvLSTMCell", None, variables=_convolutional_cell),  # Keras 3's, in ConvLSTM1D to 3D alone
    layer("ConvLSTM2DCell", None, gone="Keras 3 has no cell of ConvLSTM2D outside of it"),
    layer("CuDNNLSTM", None, gone=_NO_CUDNN.format("LSTM")),
    layer("CuDNNGRU", None, gone=_NO_CUDNN.format("GRU")),
    layer("AbstractRNNCell", None, gone="it is a base class of the user's own cell"),
    layer("ConvRNN2D", None, gone="it is a base class of the user's own layer"),
    layer("ConvRecurrent2D", None, gone="it is a base class of the user's own layer"),
    layer("StackedRNN", None, gone="Keras 3 has no such layer"),
    layer("PeepholeLSTMCell", None, gone="Keras 3 has no such cell"),
)
