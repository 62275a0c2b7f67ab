"""Bounds that a config has to keep before anything walks it."""

from __future__ import annotations

from typing import Any

from tcn_migrate.errors import UnsafeError

DEEPEST = 200
MOST_LAYERS = 3_000
MOST_VALUES = 5_000_000
LONGEST_TEXT = 16 * 2**20


def check_bounds(config: Any) -> None:
    """Walks a config without recursion and refuses what could exhaust the machine.

    Args:
        config: anything that `json.loads` returns.

    Raises:
        UnsafeError: more than 200 levels, 3 000 layers, 5 million values, or a text of more than 16 MiB.
    """
    values = layers = 0
    level: list[Any] = [config]
    for _ in range(DEEPEST):
        deeper: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                layers += isinstance(value.get("config"), dict) and isinstance(value.get("class_name"), str)
                deeper.extend(value.values())
            elif isinstance(value, list | tuple):
                deeper.extend(value)
            elif isinstance(value, str) and len(value) > LONGEST_TEXT:
                raise UnsafeError(
                    "the config holds a text that is too long", expected=LONGEST_TEXT, found=f"{len(value)} characters"
                )
        values += len(deeper)
        if values > MOST_VALUES:
            raise UnsafeError("the config holds too many values", expected=f"at most {MOST_VALUES}", found="more")
        if layers > 20 * MOST_LAYERS:
            raise UnsafeError("the config holds too many layers", expected=f"at most {MOST_LAYERS}", found="more")
        if not deeper:
            return
        level = deeper
    raise UnsafeError("the config is nested too deeply", expected=f"at most {DEEPEST} levels", found="more")
