"""Operations of Keras 3 as entries of a functional model's config.

An operation is written as Keras 3 itself serialises one, restricted to what every release from 3.0.5 to 3.15.1 reads:

- Classes with settings of their own (`Max`, `Concatenate`, ...) take no `name` before Keras 3.11; without one they name
  themselves after their class. A name is written for them only where a layer of the model already has that name, for
  Keras refuses a model in which two have the same.
- `GetItem` with a list of slices as key is read from Keras 3.2 on (3.0 and 3.1 cannot read what they wrote themselves),
  so `sliced` uses `Take` and `Flip` wherever they say the same. `Take` gets no negative index: on TensorFlow, Keras
  3.0.5 compiles it to the first element.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from types import EllipsisType
from typing import Any, TypeAlias

from tcn_migrate.checkpoint import Json

Key: TypeAlias = Sequence[int | slice | EllipsisType | None]
"""What stands between the brackets of `x[...]`."""


def tensor(layer: str, node: int = 0, index: int = 0) -> Json:
    """A reference to a layer's output. Its shape is not looked at when a model is built from its config."""
    config = {"shape": [None], "dtype": "float32", "keras_history": [layer, node, index]}
    return {"class_name": "__keras_tensor__", "config": config}


def is_tensor(value: object) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


def history(reference: Json) -> tuple[str, int, int]:
    """Layer, node and output that a reference names."""
    layer, node, index = reference["config"]["keras_history"]
    return str(layer), int(node), int(index)


class Drawn(dict[str, Any]):
    """A reference to an operation that was drawn; a replaced layer may have the same name."""


class Drawing:
    """A functional model's list of layers while operations are drawn into it."""

    def __init__(self, names: Iterable[str]) -> None:
        self.layers = frozenset(names)
        self.taken = set(self.layers)
        self.entries: list[Json] = []

    def name(self, wanted: str) -> str:
        """`wanted`, or the first of `wanted_1`, `wanted_2`, ... that nothing in the model is called.

        Keras 3 allows no "/" in a name, which TensorFlow puts into those of its operations.
        """
        wanted = wanted.replace("/", "_")
        name, number = wanted, 0
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        return name

    def operation(self, kind: str, *arguments: Any, name: str, **settings: Any) -> Json:
        """Draw one operation and return its output.

        Args:
            kind: module and class below `keras.src.ops`, such as "numpy.Max".
            arguments: what it is called with: tensors, numbers, or lists of them.
            name: what to call it; a number is added if something has that name.
            settings: what the operation is made with.
        """
        module, class_name = kind.split(".")
        chosen = self.name(name)
        own_name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", class_name).lower()
        takes_name = not settings and kind != "core.StopGradient"
        if takes_name or any(re.fullmatch(rf"{own_name}(_\d+)?", layer) for layer in self.layers):
            settings = {"name": chosen, **settings}
        return self._entry(f"keras.src.ops.{module}", class_name, chosen, settings, arguments)

    def layer(self, class_name: str, x: Json | list[Json], name: str, **settings: Any) -> Json:
        """Draw a layer without variables and return its output, for what no operation does in every release."""
        chosen = self.name(name)
        return self._entry("keras.layers", class_name, chosen, {"name": chosen, **settings}, (x,))

    def _entry(self, module: str, class_name: str, name: str, config: Json, arguments: tuple[Any, ...]) -> Json:
        entry = {"module": module, "class_name": class_name, "config": config, "registered_name": None, "name": name}
        self.entries.append({**entry, "inbound_nodes": [{"args": [_plain(one) for one in arguments], "kwargs": {}}]})
        return Drawn(tensor(name))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return dict(value) if isinstance(value, Drawn) else value


def sliced(drawing: Drawing, x: Json, key: Key, name: str) -> Json:
    """`x[key]`; `x` itself if the key takes everything."""
    takes_all = [element is ... or element == slice(None) for element in key]
    if all(takes_all):
        return x
    backwards = slice(None, None, -1)
    simple = all(
        everything or (isinstance(element, int) and not isinstance(element, bool)) or element == backwards
        for everything, element in zip(takes_all, key, strict=True)
    )
    if not simple or sum(element is ... for element in key) > 1:
        return drawing.operation("numpy.GetItem", x, [_written(element) for element in key], name=name)
    # An integer takes an axis away. Up to an ellipsis axes count from the front, so the last one goes first; behind it
    # they count from the back, so the first one goes first.
    split = key.index(...) if ... in key else len(key)
    steps = [(axis, key[axis]) for axis in reversed(range(split))]
    steps += [(axis - len(key), key[axis]) for axis in range(split + 1, len(key))]
    steps = [(axis, element) for axis, element in steps if element != slice(None)]
    for number, (axis, element) in enumerate(steps, start=1):
        own = name if number == len(steps) else f"{name}_axis_{axis}"
        backward = not isinstance(element, int) or element < 0
        if backward:
            x = drawing.operation("numpy.Flip", x, name=own if element == backwards else f"{own}_flip", axis=axis)
        if isinstance(element, int):
            x = drawing.operation("numpy.Take", x, -1 - element if backward else element, name=own, axis=axis)
    return x


def _written(element: int | slice | EllipsisType | None) -> Any:
    if isinstance(element, slice):
        config = {"start": element.start, "stop": element.stop, "step": element.step}
        return {"class_name": "__slice__", "config": config}
    if element is ...:
        return {"class_name": "__ellipsis__", "config": {}}
    return element
