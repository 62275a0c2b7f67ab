"""Settings as plain JSON: what Keras wraps into `{"class_name": ...}` is unwrapped, and code is refused."""

from __future__ import annotations

from typing import Any

from tcn_migrate.errors import UnsafeError, quoted

_CODE = {"__lambda__", "__typespec__", "type", "builtin_function_or_method"}
_FUNCTION = "function"
_LISTS = {"__tuple__", "TensorShape"}
_ARRAYS = {"__numpy__", "__tensor__"}


def plain(value: Any, key: str, where: str) -> Any:
    """One setting's value, unwrapped.

    Tuples and shapes become lists, stored arrays the numbers in them, the name of one of Keras's functions a string.
    Objects such as initializers stay as they are: `{"class_name", "config"}`.

    Args:
        value: as stored.
        key: the setting's name.
        where: the layer, safe to print.

    Raises:
        UnsafeError: code, or something that makes Keras import a module.

    Source: keras/src/saving/serialization_lib.py (2.13 and later); TensorFlow's keras/saving/saved_model/json_utils.py
    (`TensorShape`, `__tuple__`); Keras 2's `get_json_type` (`{"type": "ndarray"}`).
    """
    if isinstance(value, dict):
        return _unwrapped(value, key, where)
    if isinstance(value, list | tuple):
        return [plain(item, key, where) for item in value]
    return value


def _unwrapped(value: dict[str, Any], key: str, where: str) -> Any:
    kind = value.get("class_name")
    if isinstance(kind, str):
        held = value.get("config")
        if kind in _LISTS:
            return [plain(item, key, where) for item in value.get("items") or []]
        if kind in _ARRAYS and isinstance(held, dict):
            return plain(held.get("value"), key, where)
        if kind == _FUNCTION and isinstance(held, str) and key.endswith("activation"):
            return held
        if kind in _CODE or kind == _FUNCTION:
            raise UnsafeError(
                f"the setting {quoted(key)} holds code ({quoted(kind)}), which is never run out of a file",
                address=where,
            )
    if value.get("type") == "ndarray" and "value" in value:
        return plain(value["value"], key, where)
    return {name: plain(item, key, where) for name, item in value.items()}
