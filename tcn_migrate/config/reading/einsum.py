"""Sizes that an EinsumDense knows from the shape that it was built for."""

from __future__ import annotations

from typing import Any


def known_sizes(equation: Any, output_shape: Any, built: Any) -> Any:
    """`output_shape` with the sizes that the layer was built for in place of None.

    Since: Keras 3.0 takes None for a length that is not known, and what comes next (Flatten and Dense, another
        EinsumDense) cannot be built; Keras 2 asked the tensor. From 2.13 on a layer's `build_config` tells.
    Issue: "unsupported operand type(s) for *: 'int' and 'NoneType'".

    Args:
        equation: as stored, such as "abc,cd->abd".
        output_shape: as stored: the sizes behind the batch's, None for unknown ones.
        built: the layer's `build_config`, `{"input_shape": [None, 8, 3]}`, or None.
    """
    shape = built.get("input_shape") if isinstance(built, dict) else None
    if not isinstance(equation, str) or not isinstance(output_shape, list) or not isinstance(shape, list):
        return output_shape
    inputs, _, result = equation.replace(" ", "").partition("->")
    letters = inputs.partition(",")[0]
    if "." in equation or len(letters) != len(shape) or len(result) != len(output_shape) + 1:
        return output_shape
    sizes = {letter: size for letter, size in zip(letters, shape, strict=True) if isinstance(size, int)}
    return [sizes.get(letter) if size is None else size for letter, size in zip(result[1:], output_shape, strict=True)]
