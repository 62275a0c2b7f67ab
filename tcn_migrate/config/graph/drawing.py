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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any, TypeAlias

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.entries import free_name

Key: TypeAlias = Sequence[int | slice | EllipsisType | None]
Call: TypeAlias = tuple[str, int]
"""A call of a layer: the layer's name, and which of its calls."""
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


def tensors_in(value: Any) -> Iterator[Json]:
    """The tensors among a call's arguments, at any depth."""
    if is_tensor(value):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)


def ends_in(value: Any) -> Iterator[tuple[str, int, int]]:
    """What a model's `input_layers` or `output_layers` name, whatever they are nested in."""
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        yield value[0], value[1], value[2]
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from ends_in(item)


def in_order(needs: Mapping[Call, Collection[Call]]) -> list[Call]:
    """Calls, each behind those that it needs; what waits for itself, or for a call that is not there, is left out.

    Args:
        needs: for each call the calls that come before it.
    """
    waiting = {call: set(before) for call, before in needs.items()}
    feeds: dict[Call, list[Call]] = {}
    for call, before in waiting.items():
        for need in before:
            feeds.setdefault(need, []).append(call)
    ready = [call for call, before in waiting.items() if not before][::-1]
    found = []
    while ready:
        call = ready.pop()
        found.append(call)
        for fed in feeds.get(call, []):
            waiting[fed].discard(call)
            if not waiting[fed]:
                ready.append(fed)
    return found


class Drawn(dict[str, Any]):
    """A reference to an operation that was drawn; a replaced layer may have the same name."""


class Drawing:
    """A functional model's list of layers while operations are drawn into it.

    Args:
        names: of the layers that stay.
        replaced: of those that go, whose names their last operations get.
    """

    def __init__(self, names: Iterable[str], replaced: Iterable[str] = ()) -> None:
        self.taken = set(names)
        self.layers = frozenset({*self.taken, *replaced})
        self.entries: list[Json] = []

    def name(self, wanted: str) -> str:
        """`wanted`, or the first of `wanted_1`, `wanted_2`, ... that nothing in the model is called.

        Keras 3 allows no "/" in a name, which TensorFlow puts into those of its operations.
        """
        return free_name(wanted.replace("/", "_"), self.taken)

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
        if takes_name or any(
            re.fullmatch(rf"{own_name}(_\d+)?", layer) for layer in self.layers if layer not in (chosen, name)
        ):
            settings = {"name": chosen, **settings}
        return self._entry(f"keras.src.ops.{module}", class_name, chosen, settings, arguments)

    def layer(
        self, class_name: str, x: Json | list[Json], name: str, *, training: bool | None = None, **settings: Any
    ) -> Json:
        """Draw a layer without variables and return its output, for what no operation does in every release.

        `training` is what the layer is called with, if it is.
        """
        chosen = self.name(name)
        keywords = {} if training is None else {"training": training}
        return self._entry("keras.layers", class_name, chosen, {"name": chosen, **settings}, (x,), keywords)

    def _entry(
        self,
        module: str,
        class_name: str,
        name: str,
        config: Json,
        arguments: tuple[Any, ...],
        keywords: Json | None = None,
    ) -> Json:
        entry = {"module": module, "class_name": class_name, "config": config, "registered_name": None, "name": name}
        node = {"args": [_plain(one) for one in arguments], "kwargs": keywords or {}}
        self.entries.append({**entry, "inbound_nodes": [node]})
        return Drawn(tensor(name))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return dict(value) if isinstance(value, Drawn) else value


def sliced(drawing: Drawing, x: Json, key: Key, name: str) -> Json:
    """`x[key]`; `x` itself if the key takes everything."""
    key = [slice(None) if element == slice(0, None, None) else element for element in key]
    known = all(element in (None, ..., slice(None), _BACKWARDS) or _is_index(element) for element in key)
    if not known or sum(element is ... for element in key) > 1:
        return drawing.operation("numpy.GetItem", x, [_written(element) for element in key], name=name)
    # Up to an ellipsis axes count from the front, behind it from the back. An integer takes an axis away, so the outer
    # axes go last; a None puts one in, so the outer ones go first.
    split = key.index(...) if ... in key else len(key)
    front, back = list(key[:split]), list(key[split + 1 :])[::-1]
    taken = [
        (axis, element)
        for elements, sign in ((front, 1), (back, -1))
        for axis, element in reversed(list(_numbered([one for one in elements if one is not None], sign)))
    ]
    put_in = [
        axis
        for elements, sign in ((front, 1), (back, -1))
        for axis, element in _numbered([one for one in elements if not _is_index(one)], sign)
        if element is None
    ]
    steps = [("Take" if _is_index(one) else "Flip", axis, one) for axis, one in taken if one != slice(None)]
    steps += [("ExpandDims", axis, None) for axis in put_in]
    for number, (kind, axis, element) in enumerate(steps, start=1):
        own = name if number == len(steps) else f"{name}_{kind.lower()}_{number}"
        if kind == "Take" and element < 0:
            x = drawing.operation("numpy.Flip", x, name=f"{own}_flip", axis=axis)
            element = -1 - element
        arguments = (x, element) if kind == "Take" else (x,)
        x = drawing.operation(f"numpy.{kind}", *arguments, name=own, axis=axis)
    return x


_BACKWARDS = slice(None, None, -1)


def _is_index(element: Any) -> bool:
    return isinstance(element, int) and not isinstance(element, bool)


def _numbered(elements: list[Any], sign: int) -> Iterable[tuple[int, Any]]:
    """Elements with the axes that they are about, counted from the front or from the back."""
    return [(axis if sign > 0 else -1 - axis, element) for axis, element in enumerate(elements)]


def _written(element: int | slice | EllipsisType | None) -> Any:
    if isinstance(element, slice):
        config = {"start": element.start, "stop": element.stop, "step": element.step}
        return {"class_name": "__slice__", "config": config}
    if element is ...:
        return {"class_name": "__ellipsis__", "config": {}}
    return element
