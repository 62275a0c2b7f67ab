"""The formula of a Lambda in a TimeDistributed: each time step is a batch of its own, so every axis moves up by one."""

from __future__ import annotations

from dataclasses import replace

from tcn_migrate.config.catalogue.settings import words
from tcn_migrate.config.lambdas.evaluate import Formula
from tcn_migrate.config.lambdas.expressions import Apply, Argument, Constant, Expression, Index, Items, Slice
from tcn_migrate.config.operators.arithmetic import ELEMENTWISE

_ELEMENTWISE = ELEMENTWISE | {"cast", "clip", "clip_by_value", "elu", "gelu", "hard_sigmoid", "relu", "round", "silu"}
_REDUCTIONS = words("all any max mean min prod std sum var")
_REDUCTIONS |= {f"reduce_{name}" for name in _REDUCTIONS} | {"reduce_variance"}
_ALONG = frozenset({"l2_normalize", "log_softmax", "softmax"})


class Immovable(Exception):
    """The formula has a part whose axes are not known, in words that follow the layer's name."""


def one_axis_further(formula: Formula) -> Formula:
    """What a TimeDistributed makes of a formula.

    Raises:
        Immovable: it does something else than arithmetic on elements, reductions along given axes, and indexing.
    """
    value = formula.value
    if isinstance(value, Index) and isinstance(value.of, Argument):
        return replace(formula, value=_index(value))
    return replace(formula, value=_moved(value, outermost=True))


def _index(index: Index) -> Index:
    keys = index.key.values if isinstance(index.key, Items) else (index.key,)
    first = keys[0] if keys else None
    if isinstance(first, Constant) and first.value is ...:
        return index
    everything = isinstance(first, Slice) and all(
        isinstance(one, Constant) and one.value is None for one in first.parts
    )
    if not everything:
        raise Immovable("takes single samples out of a batch")
    nothing = Slice((Constant(None), Constant(None)))
    return replace(index, key=Items((nothing, *keys)))


def _moved(value: Expression, *, outermost: bool = False) -> Expression:
    if isinstance(value, Argument | Constant):
        return value
    if not isinstance(value, Apply):
        raise Immovable("takes parts or makes lists, whose axes are other ones in a TimeDistributed")
    name = value.name
    if name in _ELEMENTWISE:
        keywords = tuple((key, _moved(one)) for key, one in value.keywords)
        return replace(value, arguments=tuple(map(_moved, value.arguments)), keywords=keywords)
    given = dict(zip(value.function.parameters, value.arguments, strict=False)) | dict(value.keywords)
    kept = given.get("keepdims", given.get("keep_dims"))
    keeps = isinstance(kept, Constant) and kept.value is True
    if name not in _ALONG and not (name in _REDUCTIONS and (keeps or outermost)):
        raise Immovable(f"applies {value.text}, whose axes are other ones in a TimeDistributed")
    axis = given.get("axis", Constant(-1) if name in ("softmax", "log_softmax") else None)
    source, *_ = value.arguments or (None,)
    if source is None or len(value.arguments) > 3:
        raise Immovable(f"applies {value.text}, whose axes are other ones in a TimeDistributed")
    names = value.function.parameters
    others = {key: one for key, one in given.items() if key not in (names[0], "axis")} | {"axis": _axis(axis, value)}
    return replace(value, arguments=(_moved(source),), keywords=tuple(others.items()))


def _axis(axis: Expression | None, call: Apply) -> Constant:
    if isinstance(axis, Constant) and isinstance(axis.value, int) and axis.value != 0:
        return Constant(axis.value + (axis.value > 0))
    raise Immovable(f"applies {call.text} along the batch, or along axes that are not in the code")
