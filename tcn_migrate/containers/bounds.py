"""How much of a stranger's file is looked at, and JSON that is read within these bounds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.errors import ContainerError, UnsafeError, quoted

MIB = 1 << 20
LARGEST_JSON = 32 * MIB
"""Python needs up to four bytes for a character, twice while it parses."""
DEEPEST_JSON = 200
MOST_VALUES = 1_000_000
"""Values in one JSON text. The smallest ones, `[]`, take twenty times the memory of their text."""
MOST_DIGITS = 40
MOST_OBJECTS = 50_000
"""Groups and arrays of one file; HDF5 looks at some ten thousand in a second."""
DEEPEST_GROUP = 100
MOST_CHUNKS = 200_000
"""Chunks of one array: 8 GiB in the chunks of 64 KiB that h5py chooses are 131 072."""
MOST_FILTERS = 4
"""Filters of one array in a row; shuffle, deflate and fletcher32 are three."""
LARGEST_EXPANSION = 200
"""A compressed array or member may be this many times larger than what is stored, once it is above 64 MiB."""
ALWAYS_ALLOWED = 64 * MIB


def parse_json(text: str | bytes, what: str) -> Any:
    """The JSON `text`, called `what` in errors.

    Raises:
        UnsafeError: larger or deeper than any real config, or with numbers that are none. NaN is one in a single place:
            Keras writes it for a Masking layer that masks NaN.
        ContainerError: not JSON.
    """
    if len(text) > LARGEST_JSON:
        raise UnsafeError(
            "is too large", address=what, expected=f"at most {LARGEST_JSON // MIB} MiB", found=f"{len(text) // MIB} MiB"
        )
    if _commas_and_brackets(text) > MOST_VALUES:
        raise UnsafeError(
            "holds too many values", address=what, expected=f"at most {MOST_VALUES}", found=_most_of_it(text)
        )
    odd: list[str] = []

    def constant(word: str) -> float:
        odd.append(word)
        return float(word)

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            odd.append("a number that is infinite")
        return value

    def whole(digits: str) -> float:
        if len(digits) < MOST_DIGITS:
            return int(digits)
        odd.append(f"a number of {len(digits)} digits")
        return math.inf

    try:
        if isinstance(text, bytes):  # as Keras writes it; json.loads would try other encodings, and import their codecs
            text = text.decode("utf-8", "surrogatepass").removeprefix("\ufeff")
        parsed = json.loads(text, parse_constant=constant, parse_float=number, parse_int=whole)
    except RecursionError:
        raise UnsafeError("nested too deeply", address=what, expected=f"at most {DEEPEST_JSON} levels") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise ContainerError(f"is not JSON ({type(error).__name__})", address=what) from None
    level = [parsed]
    for _ in range(DEEPEST_JSON):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            break
    else:
        raise UnsafeError("nested too deeply", address=what, expected=f"at most {DEEPEST_JSON} levels")
    if odd:
        _refuse_odd_numbers(parsed, what, odd[0])
    return parsed


def _commas_and_brackets(text: str | bytes) -> int:
    if isinstance(text, bytes):
        return text.count(b",") + text.count(b"[") + text.count(b"{")
    return text.count(",") + text.count("[") + text.count("{")


def _most_of_it(text: str | bytes) -> str:
    """The key in whose value the middle of a text lies; whatever blows it up is likely there."""
    end = text.rfind('":', 0, len(text) // 2) if isinstance(text, str) else text.rfind(b'":', 0, len(text) // 2)
    before = text[max(0, end - 42) : max(0, end)]
    key = (before if isinstance(before, str) else before.decode("utf-8", "replace")).rpartition('"')
    return f"more, most of them in {quoted(key[2])}" if key[1] else "more"


def _refuse_odd_numbers(parsed: Any, what: str, word: str) -> None:
    """Names the setting that holds a number that is none.

    Raises:
        UnsafeError: unless it is NaN as the value of `mask_value`, or infinity as that of `clip_value_max`, which
            `K.sqrt` and `K.clip` between layers leave there (Keras 2.4 to 2.6).
    """
    waiting: list[tuple[str | None, Any]] = [(None, parsed)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += ((key, item) for item in value)
        elif isinstance(value, float) and not math.isfinite(value):
            if (key == "mask_value" and math.isnan(value)) or (key == "clip_value_max" and value > 0):
                continue
            name = "a value" if key is None else quoted(key)
            raise UnsafeError(f"{name} is {word}, which is no number in JSON", address=what)


def _children(parent: Any) -> Iterable[Any]:
    if isinstance(parent, dict):
        return parent.values()
    return parent if isinstance(parent, list) else ()


def parse_model(text: str | bytes, what: str) -> Json:
    """A model's config, `{"class_name": ..., "config": ...}`, out of JSON; JSON within a JSON string is unwrapped.

    Raises:
        ContainerError: JSON of something else.
    """
    parsed = parse_json(text, what)
    if isinstance(parsed, str):
        parsed = parse_json(parsed, what)
    is_model = isinstance(parsed, dict) and isinstance(parsed.get("class_name"), str)
    if not is_model or not isinstance(parsed.get("config"), dict | list):
        raise ContainerError("is not a Keras model's config", address=what, expected="class_name and config")
    model: Json = parsed
    return model
