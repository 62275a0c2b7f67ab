"""How much of a stranger's file is looked at, and JSON that is read within these bounds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.errors import ContainerError, UnsafeError

MIB = 1 << 20
LARGEST_JSON = 64 * MIB
DEEPEST_JSON = 200
MOST_OBJECTS = 200_000
DEEPEST_GROUP = 100
LARGEST_EXPANSION = 200
"""A compressed array or member may be this many times larger than what is stored, once it is above 64 MiB."""
ALWAYS_ALLOWED = 64 * MIB
DEFAULT_BUDGET = 64 << 30
"""Bytes of arrays that one migration may read, unless `max_bytes` says otherwise."""


def parse_json(text: str | bytes, what: str) -> Any:
    """The JSON `text`, called `what` in errors.

    Raises:
        UnsafeError: larger or deeper than any real config, or with numbers that are none.
        ContainerError: not JSON.
    """
    if len(text) > LARGEST_JSON:
        raise UnsafeError(
            "too large", address=what, expected=f"at most {LARGEST_JSON // MIB} MiB", found=f"{len(text) // MIB} MiB"
        )

    def constant(word: str) -> float:
        raise UnsafeError(f"holds {word}, which is no number in JSON", address=what)

    def number(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else constant("a number that is infinite")

    def whole(digits: str) -> int:
        return int(digits) if len(digits) < 40 else int(constant(f"a number of {len(digits)} digits"))

    try:
        parsed = json.loads(text, parse_constant=constant, parse_float=number, parse_int=whole)
    except RecursionError:
        raise UnsafeError("nested too deeply", address=what, expected=f"at most {DEEPEST_JSON} levels") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise ContainerError(f"is not JSON ({type(error).__name__})", address=what) from None
    level = [parsed]
    for _ in range(DEEPEST_JSON):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return parsed
    raise UnsafeError("nested too deeply", address=what, expected=f"at most {DEEPEST_JSON} levels")


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
    if not isinstance(parsed, dict) or "class_name" not in parsed or "config" not in parsed:
        raise ContainerError("is not a Keras model's config", address=what, expected="class_name and config")
    return parsed
