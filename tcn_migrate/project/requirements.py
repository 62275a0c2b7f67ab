"""The files that say which libraries a project needs: their lines for TensorFlow, Keras and keras-tcn."""

from __future__ import annotations

import re

NAMES = re.compile(r"(?:requirements[^/]*\.(?:txt|in)|pyproject\.toml|environment\.ya?ml)")
"""How such a file is called."""
_LINE = re.compile(
    r"""(?P<before>^[ \t]*(?:-[ \t]+)?|["'])"""
    r"(?P<name>tensorflow(?:[-_](?:cpu|gpu|intel|macos))?|tf[-_]keras|keras[-_]tcn|keras)"
    r"(?P<version>[ \t]*(?:[=<>~!]=?=?[ \t]*[0-9][\w.*]*(?:[ \t]*,[ \t]*[=<>~!]=?[ \t]*[0-9][\w.*]*)*)?)"
    r"""(?P<after>[ \t]*(?=["'#;\r\n]|$))""",
    re.IGNORECASE | re.MULTILINE,
)
_TENSORFLOW, _KERAS = "tensorflow>=2.18", "keras>=3.8"
"""The oldest releases with which `tcn_migrate` is tested."""


def updated(text: str, *, needs_tcn_migrate: bool, keeps_keras_tcn: bool) -> str:
    """The text with releases in which the new files load.

    Args:
        needs_tcn_migrate: the code imports it.
        keeps_keras_tcn: the code imports more of keras-tcn than its layer, and so needs both.
    """

    def line(found: re.Match[str]) -> str:
        name = found["name"].lower().replace("_", "-")
        if name == "keras-tcn":
            new = "keras-tcn>=3.5.5" if keeps_keras_tcn or not needs_tcn_migrate else "tcn-migrate"
        elif name.startswith("tensorflow"):
            new = _TENSORFLOW if name in ("tensorflow-gpu", "tensorflow") else f"{name}{_TENSORFLOW[10:]}"
        else:
            new = _KERAS
        return f"{found['before']}{new}{found['after']}"

    return _LINE.sub(line, text)
