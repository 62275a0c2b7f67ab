"""What a plan may ask of the machine and of Keras: nothing that the file does not hold itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from tcn_migrate.budget import DEFAULT_BYTES, beyond
from tcn_migrate.checkpoint import Json, StoredArray
from tcn_migrate.config.guards.shapes import Shape, features_of, input_shapes, layers_with_features
from tcn_migrate.containers.bounds import ALWAYS_ALLOWED, MIB
from tcn_migrate.errors import NamingError, SettingError, UnsafeError
from tcn_migrate.naming.entries import Address, spoken

LARGEST_EXPANSION = 50
"""All arrays together may be this many times larger than the source, once they are above 64 MiB. Trained weights hardly
shrink at all when they are compressed."""
MOST_UNROLLED = 2_000
MOST_STATES = 1 << 24
"""Numbers that the states of one stateful layer may have: 16 384 samples of 1 024 units."""
_ITEMSIZE = {"float16": 2, "bfloat16": 2, "float64": 8, "int64": 8, "uint64": 8}


def check_arrays(arrays: Iterable[StoredArray], source: int, most: int = DEFAULT_BYTES) -> None:
    """Refuses arrays that are together beyond the budget, or beyond what the source can hold.

    Two filters in a row, arrays that share their bytes, and archives in archives all come out as the same: more bytes
    of arrays than a source of this size ever had.

    Args:
        arrays: all that will be read.
        source: the source's size in bytes.
        most: the budget in bytes.

    Raises:
        UnsafeError: too large.
    """
    total = sum(math.prod(array.shape) * _ITEMSIZE.get(array.dtype, 4) for array in arrays)
    if total > most:
        raise beyond("the arrays", total, most)
    if total > max(ALWAYS_ALLOWED, LARGEST_EXPANSION * source):
        raise UnsafeError(
            f"declares {total // MIB} MiB of arrays, more than a source of {source // 1024} KiB can have stored",
            expected=f"at most {LARGEST_EXPANSION} times its size",
        )


def check_features(model: Json, arrays: Mapping[Address, StoredArray], tcn_widths: Mapping[Address, int]) -> None:
    """Holds what the config lets enter each layer against what the layer's arrays were made for.

    Keras would make variables for the config's features, however many, before it reads an array.

    Args:
        model: in normal form, before a TCN is rewritten.
        arrays: what was found, by address.
        tcn_widths: the features of each TCN's first convolution, by the TCN's address.

    Raises:
        NamingError: they do not agree.
        SettingError: a recurrent layer that Keras would unroll for ever, or whose states would fill the memory.
    """
    shapes = input_shapes(model).layers
    for address, entry in layers_with_features(model):
        _check_unrolled(address, entry, shapes.get(address, []))
        _check_states(address, entry, shapes.get(address, []))
        made_for = tcn_widths.get(address)
        if made_for is None:
            here = address

            def of_variable(name: str, here: Address = here) -> tuple[int, ...] | None:
                array = arrays.get((*here, name))
                return None if array is None else array.shape

            made_for = features_of(entry, of_variable)
        if made_for is None:
            continue
        for shape in shapes.get(address, []):
            if shape and shape[-1] is not None and shape[-1] != made_for:
                raise NamingError(
                    "the config and the arrays disagree on the features that enter this layer",
                    address=spoken(address),
                    expected=f"{made_for}, for which its arrays were made",
                    found=shape[-1],
                )


def _check_unrolled(address: Address, entry: Json, shapes: list[Shape]) -> None:
    """An unrolled layer makes operations for every step of its input."""
    longest = max((shape[1] or 0 for shape in shapes if shape is not None and len(shape) > 1), default=0)
    if entry["config"].get("unroll") and longest > MOST_UNROLLED:
        raise SettingError(
            f"unroll = true for {longest} time steps", address=spoken(address), expected=f"at most {MOST_UNROLLED}"
        )


def _check_states(address: Address, entry: Json, shapes: list[Shape]) -> None:
    """A stateful layer keeps a state for each sample of its batch, which no array in the file vouches for."""
    if not entry["config"].get("stateful"):
        return
    width = sum(_state_widths(entry["config"]))
    for shape in shapes:
        if shape is None or shape[0] is None:
            continue
        places = math.prod(size or 1 for size in shape[2:-1])  # of a convolutional layer: the pixels
        states = shape[0] * places * width
        if states > MOST_STATES:
            raise SettingError(
                f"stateful = true for a batch of {shape[0]} keeps {states} numbers",
                address=spoken(address),
                expected=f"at most {MOST_STATES}",
            )


def _state_widths(config: Json) -> Iterator[int]:
    """The widths of a recurrent layer and of the cells inside it."""
    for key, value in config.items():
        if key in ("units", "filters") and isinstance(value, int):
            yield value
        elif isinstance(value, dict):
            yield from _state_widths(value)
        elif isinstance(value, list):
            yield from (width for item in value if isinstance(item, dict) for width in _state_widths(item))
