"""Data types and policies by name, as every release of Keras 3 reads them."""

from __future__ import annotations

from typing import Any

from tcn_migrate.errors import SettingError, quoted

_NAMES = frozenset(
    {
        *("bool", "string", "float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    }
)
_POLICIES = frozenset({"Policy", "PolicyV1", "DTypePolicy", "FloatDTypePolicy"})
_FORMER = {"half": "float16", "float": "float32", "double": "float64", "int": "int32"}


def dtype_name(stored: Any, where: str) -> str | None:
    """A layer's dtype or policy by its name; None where Keras is to take its default.

    Args:
        stored: a string, or a policy's `{"class_name": "Policy", "config": {"name": ...}}`. Keras 3 from 3.5 on writes
            the latter for every layer, and older releases cannot read it.
        where: the layer, safe to print.

    Raises:
        SettingError: a quantized policy, a map of policies, or no dtype at all.

    Since: TensorFlow 2.1 (`Policy`), Keras 3.5 (`DTypePolicy`).
    """
    name = stored
    if isinstance(stored, dict) and str(stored.get("class_name")) in _POLICIES:
        name = stored["config"].get("name") if isinstance(stored.get("config"), dict) else stored
    if name is None or (isinstance(name, str) and name in {"infer", "_infer"}):
        return None
    if isinstance(name, str):
        name = _FORMER.get(name, name).removeprefix("tf.")
        if name in _NAMES:
            return str(name)
    shown = name.get("class_name") if isinstance(name, dict) else name
    raise SettingError(
        "its dtype cannot be migrated", address=where, expected="a dtype or a policy", found=quoted(shown)
    )
