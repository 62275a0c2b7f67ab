"""How Keras turns a class name into the name of a variable scope or of a group in its weight store."""

from __future__ import annotations

import re


def snake_case(class_name: str) -> str:
    """`MultiHeadAttention` -> `multi_head_attention`, `Conv1D` -> `conv1d`, `PReLU` -> `p_re_lu`, `TCN` -> `tcn`.

    Source: keras/src/utils/naming.py `to_snake_case`, the same in every release from Keras 2 on.
    """
    name = re.sub(r"\W+", "", class_name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
