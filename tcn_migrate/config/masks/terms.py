"""How the masks of a model come about, and operations of Keras 3 that compute them."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any, TypeAlias

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.graph.drawing import Drawing
from tcn_migrate.config.graph.drawing import tensor as reference_to

Tensor: TypeAlias = tuple[str, int, int]
"""Layer, call and output."""

Mask: TypeAlias = int
"""A mask's number in its model: equal masks have equal numbers."""

Term: TypeAlias = tuple[Any, ...]
"""What a mask is made of; parts that are masks are numbers:
("masking", tensor, value)   any feature differs from the value
("embedding", tensor)        the number is not 0
("given", tensor)            a tensor that the author gave as the mask
("constant", text)           numbers in the file, as JSON
("input", number)            what the model's input carries
("all", masks)               all of a set of masks
("joined", parts, axis)      of a Concatenate: ((tensor, mask or None), ...)
("any", mask)                any along the last axis
("inside", ...)              made inside a nested model out of what is only there
("unclear", ...)             depends on the release or on the values; equals no other"""


class Inexpressible(Exception):
    """A mask that no operations of this model can compute; the message completes "it uses a mask that ..."."""


class Masks:
    """The masks of one model."""

    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.terms: list[Term] = []
        self.numbers: dict[Term, Mask] = {}
        self.tensors: dict[Mask, Json] = {}

    def number(self, *term: Any) -> Mask:
        if term not in self.numbers:
            self.numbers[term] = len(self.terms)
            self.terms.append(term)
        return self.numbers[term]

    def all_of(self, masks: Sequence[Mask | None]) -> Mask | None:
        """What Keras 2's merges make of the masks that there are."""
        leaves: set[Mask] = set()
        for mask in masks:
            if mask is not None:
                leaves |= self.terms[mask][1] if self.terms[mask][0] == "all" else {mask}
        if len(leaves) < 2:
            return next(iter(leaves), None)
        return self.number("all", frozenset(leaves))

    def computed(self, mask: Mask, name: str) -> Json:
        """A reference to the mask as a tensor; operations are drawn for it at its first use.

        Args:
            name: what the operations' names begin with.

        Raises:
            Inexpressible: no operations say it.
        """
        needed, waiting = {mask}, [mask]
        while waiting:
            more = _parts(self.terms[waiting.pop()]) - self.tensors.keys() - needed
            needed |= more
            waiting.extend(more)
        for part in sorted(needed - self.tensors.keys()):  # a mask's parts have smaller numbers
            self.tensors[part] = self._drawn(part, name)
        return copy.deepcopy(self.tensors[mask])

    def _drawn(self, mask: Mask, name: str) -> Json:
        def draw(kind: str, *arguments: Any, **settings: Any) -> Json:
            return self.drawing.operation(kind, *arguments, name=name, **settings)

        match self.terms[mask]:
            case ("given", place):
                return reference_to(*place)
            case ("constant", text):
                return {"class_name": "__numpy__", "config": {"value": json.loads(text), "dtype": "bool"}}
            case ("masking", place, value):
                return draw("numpy.Any", draw("numpy.NotEqual", reference_to(*place), value), axis=-1)
            case ("embedding", place):
                return draw("numpy.NotEqual", reference_to(*place), 0)
            case ("any", inner):
                return draw("numpy.Any", self.tensors[inner], axis=-1)
            case ("all", parts):
                first, *others = sorted(parts)
                together = self.tensors[first]
                for other in others:
                    together = draw("numpy.LogicalAnd", together, self.tensors[other])
                return together
            case ("joined", parts, axis):
                # As Keras 2's Concatenate: masks are joined as the inputs are; a step counts if all its features do.
                # By a layer: the operation takes no name before Keras 3.11, and would often be called like a layer.
                columns = [
                    draw("numpy.NotEqual", draw("numpy.OnesLike", reference_to(*place)), 0)
                    if part is None
                    else draw("numpy.ExpandDims", self.tensors[part], axis=-1)
                    for place, part in parts
                ]
                return draw("numpy.All", self.drawing.layer("Concatenate", columns, name, axis=axis), axis=-1)
            case ("input", _):
                raise Inexpressible("comes from outside its model and that Keras 3 would lose")
            case _:
                raise Inexpressible("cannot be computed outside of the layer that made it")


def _parts(term: Term) -> set[Mask]:
    match term:
        case ("all", parts):
            return set(parts)
        case ("joined", parts, _):
            return {part for _, part in parts if part is not None}
        case ("any", part):
            return {part}
    return set()
