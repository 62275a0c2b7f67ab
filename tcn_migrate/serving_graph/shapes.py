"""Operations that move values about: reshaping, slicing, joining, looking up; and lists of tensors.

Source: tensorflow/core/ops/array_ops.cc and list_ops.cc for names, inputs and attributes; the kernels of the same names
in tensorflow/core/kernels for what they compute.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.serving_graph.limits import MOST_ITERATIONS, NotInterpreted
from tcn_migrate.serving_graph.messages import Node, Shape, TensorProto, constant
from tcn_migrate.serving_graph.values import Operation, Runner, TensorList, Value, Variable, array, whole, wholes

_INT32 = 3


def _constant(run: Runner, node: Node) -> Array:
    value = node.attributes.get("value")
    if not isinstance(value, TensorProto):
        raise node.odd("value")
    return constant(value, node.name, run.budget)


def _same(run: Runner, node: Node, x: Value, *more: Value) -> Value:
    return x


def _all_the_same(run: Runner, node: Node, *values: Value) -> list[Value]:
    return list(values)


def _index_type(node: Node, name: str = "out_type") -> type[Any]:
    return np.int32 if node.integer(name, _INT32) == _INT32 else np.int64


def _shape(run: Runner, node: Node, x: Value) -> Array:
    return np.array(array(x, node).shape, _index_type(node))


def _shapes(run: Runner, node: Node, *values: Value) -> list[Value]:
    return [_shape(run, node, value) for value in values]


def _size(run: Runner, node: Node, x: Value) -> Array:
    return np.array(array(x, node).size, _index_type(node))


def _rank(run: Runner, node: Node, x: Value) -> Array:
    return np.array(array(x, node).ndim, np.int32)


def _reshape(run: Runner, node: Node, x: Value, shape: Value) -> Array:
    sizes = wholes(shape, node)
    if sizes.count(-1) > 1 or min(sizes, default=0) < -1:
        raise node.odd("shape")
    return array(x, node).reshape(sizes)


def _expand(run: Runner, node: Node, x: Value, axis: Value) -> Array:
    return np.expand_dims(array(x, node), whole(axis, node))


def _squeeze(run: Runner, node: Node, x: Value) -> Array:
    axes = node.integers("squeeze_dims")
    return np.squeeze(array(x, node), tuple(axes) if axes else None)


def _transpose(run: Runner, node: Node, x: Value, order: Value) -> Array:
    return np.transpose(array(x, node), wholes(order, node))


def _reverse(run: Runner, node: Node, x: Value, axes: Value) -> Array:
    return np.flip(array(x, node), tuple(wholes(axes, node)))


def _reverse_sequences(run: Runner, node: Node, x: Value, lengths: Value) -> Array:
    """reverse_sequence_op.cc: the first `lengths[b]` steps of each sequence are turned round."""
    got, counts = array(x, node), wholes(lengths, node)
    steps, batch = node.integer("seq_dim"), node.integer("batch_dim")
    moved = np.moveaxis(got, (batch, steps), (0, 1)).copy()
    if len(counts) != len(moved) or any(not 0 <= count <= moved.shape[1] for count in counts):
        raise node.odd("seq_lengths")
    for row, count in zip(moved, counts, strict=True):
        row[:count] = row[:count][::-1].copy()
    return np.moveaxis(moved, (0, 1), (batch, steps))


def _joined(run: Runner, node: Node, arrays: list[Array], axis: int) -> Array:
    first = arrays[0]
    axis %= max(first.ndim, 1)
    along = sum(one.shape[axis] for one in arrays)
    run.budget.room((*first.shape[:axis], along, *first.shape[axis + 1 :]), node.name)
    return np.concatenate(arrays, axis)


def _concat(run: Runner, node: Node, *values: Value) -> Array:
    """ConcatV2 has the axis behind the values, Concat in front of them."""
    axis, joined = (values[-1], values[:-1]) if node.op == "ConcatV2" else (values[0], values[1:])
    return _joined(run, node, [array(value, node) for value in joined], whole(axis, node))


def _pack(run: Runner, node: Node, *values: Value) -> Array:
    arrays = [array(value, node) for value in values]
    run.budget.room((len(arrays), *arrays[0].shape), node.name)
    return np.stack(arrays, node.integer("axis"))


def _unpack(run: Runner, node: Node, x: Value) -> list[Value]:
    return list(np.moveaxis(array(x, node), node.integer("axis"), 0))


def _split(run: Runner, node: Node, axis: Value, x: Value) -> list[Value]:
    return list(np.split(array(x, node), node.integer("num_split"), whole(axis, node)))


def _split_by_sizes(run: Runner, node: Node, x: Value, sizes: Value, axis: Value) -> list[Value]:
    got, along, parts = array(x, node), whole(axis, node), wholes(sizes, node)
    rest = got.shape[along] - sum(part for part in parts if part >= 0)
    parts = [rest if part < 0 else part for part in parts]
    if min(parts) < 0 or sum(parts) != got.shape[along]:
        raise node.odd("size_splits")
    return list(np.split(got, list(itertools.accumulate(parts))[:-1], along))


def _strided_slice(run: Runner, node: Node, x: Value, begin: Value, end: Value, strides: Value) -> Array:
    """strided_slice_op.cc: bit k of each mask is about the k-th entry of begin, end and strides."""
    starts, ends, steps = (wholes(value, node) for value in (begin, end, strides))
    index: list[Any] = []
    for place, (start, stop, step) in enumerate(zip(starts, ends, steps, strict=True)):
        bit = 1 << place
        if node.integer("ellipsis_mask") & bit:
            index.append(Ellipsis)
        elif node.integer("new_axis_mask") & bit:
            index.append(None)
        elif node.integer("shrink_axis_mask") & bit:
            index.append(start)
        else:
            no_start, no_end = node.integer("begin_mask") & bit, node.integer("end_mask") & bit
            index.append(slice(None if no_start else start, None if no_end else stop, step))
    return np.asarray(array(x, node)[tuple(index)])


def _slice(run: Runner, node: Node, x: Value, begin: Value, size: Value) -> Array:
    got, starts, sizes = array(x, node), wholes(begin, node), wholes(size, node)
    index = []
    for full, start, count in zip(got.shape, starts, sizes, strict=True):
        stop = full if count == -1 else start + count
        if not 0 <= start <= stop <= full:
            raise node.odd("size")
        index.append(slice(start, stop))
    return got[tuple(index)]


def _pad(run: Runner, node: Node, x: Value, paddings: Value, value: Value | None = None) -> Array:
    got, pairs = array(x, node), array(paddings, node).reshape(-1, 2).tolist()
    _room_for_padding(run, node, got, pairs)
    fill: Any = 0 if value is None else array(value, node).reshape(()).item()
    return np.pad(got, pairs, constant_values=fill)


def _room_for_padding(run: Runner, node: Node, got: Array, pairs: list[list[int]]) -> None:
    if any(size < 0 for pair in pairs for size in pair):
        raise node.odd("paddings")
    run.budget.room([size + sum(pair) for size, pair in zip(got.shape, pairs, strict=True)], node.name)


def _mirror_pad(run: Runner, node: Node, x: Value, paddings: Value) -> Array:
    """mirror_pad_op.cc: REFLECT leaves out the edge, SYMMETRIC repeats it."""
    got, pairs = array(x, node), array(paddings, node).reshape(-1, 2).tolist()
    _room_for_padding(run, node, got, pairs)
    mode: Any = node.string("mode").lower()
    if mode not in ("reflect", "symmetric"):
        raise node.odd("mode")
    return np.pad(got, pairs, mode=mode)


def _tile(run: Runner, node: Node, x: Value, times: Value) -> Array:
    got, counts = array(x, node), wholes(times, node)
    run.budget.room([size * count for size, count in zip(got.shape, counts, strict=True)], node.name)
    return np.tile(got, counts)


def _broadcast(run: Runner, node: Node, x: Value, shape: Value) -> Array:
    sizes = wholes(shape, node)
    run.budget.room(sizes, node.name)
    return np.broadcast_to(array(x, node), sizes)


def _broadcast_shapes(run: Runner, node: Node, a: Value, b: Value) -> Array:
    return np.array(np.broadcast_shapes(tuple(wholes(a, node)), tuple(wholes(b, node))), array(a, node).dtype)


def _fill(run: Runner, node: Node, shape: Value, value: Value) -> Array:
    sizes = wholes(shape, node)
    run.budget.room(sizes, node.name)
    given = array(value, node)
    return np.full(sizes, given.reshape(())[()], given.dtype)


def _range(run: Runner, node: Node, start: Value, limit: Value, step: Value) -> Array:
    first, last, by = (array(value, node).reshape(()).item() for value in (start, limit, step))
    run.budget.room((max(0, math.ceil((float(last) - float(first)) / float(by))),), node.name)
    return np.arange(first, last, by, dtype=array(start, node).dtype)


def _spaced(run: Runner, node: Node, start: Value, stop: Value, count: Value) -> Array:
    number = whole(count, node)
    run.budget.room((number,), node.name)
    return np.linspace(array(start, node), array(stop, node), number, dtype=array(start, node).dtype)


def _one_hot(run: Runner, node: Node, indices: Value, depth: Value, on: Value, off: Value) -> Array:
    """one_hot_op.cc: an index out of range has no place."""
    at, size, axis = array(indices, node), whole(depth, node), node.integer("axis", -1)
    run.budget.room((*at.shape, size), node.name)
    places = np.expand_dims(at, axis if axis >= 0 else at.ndim)
    shape = [1] * places.ndim
    shape[axis] = size
    hot = places == np.arange(size).reshape(shape)
    return np.where(hot, array(on, node), array(off, node)).astype(array(on, node).dtype)


def _gather(run: Runner, node: Node, x: Value, indices: Value, axis: Value | None = None) -> Array:
    """gather_op.cc: an index out of range is an error."""
    return _looked_up(run, node, array(x, node), array(indices, node), 0 if axis is None else whole(axis, node))


def _gather_variable(run: Runner, node: Node, handle: Value, indices: Value) -> Array:
    if not isinstance(handle, Variable):
        raise node.odd("resource")
    return _looked_up(run, node, handle.read(), array(indices, node), 0)


def _looked_up(run: Runner, node: Node, table: Array, at: Array, axis: int) -> Array:
    batch = node.integer("batch_dims") % (at.ndim + 1) if at.ndim else 0
    axis %= max(table.ndim, 1)
    if at.dtype.kind not in "iu" or batch > axis:
        raise node.odd("indices")
    if at.size and not (at.min() >= 0 and at.max() < table.shape[axis]):
        raise NotInterpreted(f"operation {node.op!r} with an index out of range", node=node.name)
    shape = (*table.shape[:axis], *at.shape[batch:], *table.shape[axis + 1 :])
    run.budget.room(shape, node.name)
    if not batch:
        return np.take(table, at, axis)
    if table.shape[:batch] != at.shape[:batch]:
        raise node.odd("indices")
    rows = math.prod(at.shape[:batch])
    tables, places = table.reshape(rows, *table.shape[batch:]), at.reshape(rows, *at.shape[batch:])
    found = [np.take(one, place, axis - batch) for one, place in zip(tables, places, strict=True)]
    return np.stack(found).reshape(shape)


def _gather_points(run: Runner, node: Node, x: Value, indices: Value) -> Array:
    """gather_nd_op.cc: the last axis of the indices is one index."""
    got, at = array(x, node), array(indices, node)
    depth = at.shape[-1]
    for axis in range(depth):
        if at[..., axis].size and not (at[..., axis].min() >= 0 and at[..., axis].max() < got.shape[axis]):
            raise NotInterpreted(f"operation {node.op!r} with an index out of range", node=node.name)
    run.budget.room((*at.shape[:-1], *got.shape[depth:]), node.name)
    return np.asarray(got[tuple(np.moveaxis(at, -1, 0))])


def _scatter_points(run: Runner, node: Node, indices: Value, updates: Value, shape: Value) -> Array:
    """scatter_nd_op.cc: what falls on one place is added."""
    sizes, at, added = wholes(shape, node), array(indices, node), array(updates, node)
    run.budget.room(sizes, node.name)
    result = np.zeros(sizes, added.dtype)
    if at.size and (at.min() < 0 or (at.reshape(-1, at.shape[-1]).max(0) >= sizes[: at.shape[-1]]).any()):
        raise NotInterpreted(f"operation {node.op!r} with an index out of range", node=node.name)
    np.add.at(result, tuple(np.moveaxis(at, -1, 0)), added)
    return result


def _where(run: Runner, node: Node, x: Value) -> Array:
    got = array(x, node)
    run.budget.room((got.size, got.ndim), node.name)
    return np.argwhere(got).astype(np.int64)


def _space_to_batch(run: Runner, node: Node, x: Value, block: Value, paddings: Value) -> Array:
    """spacetobatch_op.cc: pads, cuts each spatial axis into blocks, and moves the places in a block to the batch."""
    got, sizes = array(x, node), wholes(block, node)
    count = len(sizes)
    pairs = [[0, 0], *array(paddings, node).reshape(count, 2).tolist(), *[[0, 0]] * (got.ndim - 1 - count)]
    _room_for_padding(run, node, got, pairs)
    padded = np.pad(got, pairs)
    spatial = [part for size, by in zip(padded.shape[1:], sizes, strict=False) for part in (size // by, by)]
    cut = padded.reshape(len(got), *spatial, *got.shape[1 + count :])
    inside = [2 * axis + 2 for axis in range(count)]
    outside = [2 * axis + 1 for axis in range(count)]
    moved = cut.transpose(*inside, 0, *outside, *range(2 * count + 1, cut.ndim))
    return moved.reshape(math.prod(sizes) * len(got), *(spatial[::2]), *got.shape[1 + count :])


def _batch_to_space(run: Runner, node: Node, x: Value, block: Value, crops: Value) -> Array:
    """batchtospace_op.cc: the inverse of SpaceToBatchND, which crops where that pads."""
    got, sizes = array(x, node), wholes(block, node)
    count = len(sizes)
    batch = len(got) // math.prod(sizes)
    cut = got.reshape(*sizes, batch, *got.shape[1:])
    order = [count, *itertools.chain(*((count + 1 + axis, axis) for axis in range(count)))]
    moved = cut.transpose(*order, *range(2 * count + 1, cut.ndim))
    spatial = [size * by for size, by in zip(got.shape[1:], sizes, strict=False)]
    whole_space = moved.reshape(batch, *spatial, *got.shape[1 + count :])
    index: list[Any] = [slice(None)]
    for size, (before, after) in zip(spatial, array(crops, node).reshape(count, 2).tolist(), strict=True):
        if before < 0 or after < 0 or before + after > size:
            raise node.odd("crops")
        index.append(slice(before, size - after))
    return np.asarray(whole_space[tuple(index)])


def _roll(run: Runner, node: Node, x: Value, shift: Value, axis: Value) -> Array:
    return np.roll(array(x, node), tuple(wholes(shift, node)), tuple(wholes(axis, node)))


def _band(run: Runner, node: Node, x: Value, below: Value, above: Value) -> Array:
    """matrix_band_part_op.cc: a negative number keeps that whole side."""
    got, lower, upper = array(x, node), whole(below, node), whole(above, node)
    rows, columns = np.indices(got.shape[-2:], sparse=True)
    kept = ((lower < 0) | (rows - columns <= lower)) & ((upper < 0) | (columns - rows <= upper))
    return np.where(kept, got, np.zeros((), got.dtype))


def _inverse_permutation(run: Runner, node: Node, x: Value) -> Array:
    got = array(x, node)
    return np.argsort(got).astype(got.dtype)


def _count(run: Runner, node: Node, x: Value, size: Value, weights: Value) -> Array:
    """bincount_op.cc, DenseBincount: each row is counted for itself; `binary_output` says only what is there."""
    got, bins, weighed = array(x, node), whole(size, node), array(weights, node)
    if got.size and got.min() < 0:
        raise NotInterpreted(f"operation {node.op!r} of negative numbers", node=node.name)
    rows = got.reshape(1, -1) if got.ndim < 2 else got
    run.budget.room((len(rows), bins), node.name)
    result = np.zeros((len(rows), bins), weighed.dtype)
    places, columns = np.nonzero(rows < bins)
    added = weighed.reshape(rows.shape)[places, columns] if weighed.size else 1
    if node.flag("binary_output"):
        result[places, rows[places, columns]] = 1
    else:
        np.add.at(result, (places, rows[places, columns]), added)
    return result[0] if got.ndim < 2 else result


# --- lists of tensors --------------------------------------------------------------------------------
def _sizes(value: Value, node: Node) -> tuple[int | None, ...] | None:
    """The shape of a list's elements: -1 for a rank or a size that is unknown."""
    if array(value, node).ndim == 0:
        return None
    return tuple(None if size < 0 else size for size in wholes(value, node))


def _listed(value: Value, node: Node) -> TensorList:
    if not isinstance(value, TensorList):
        raise node.odd("list")
    return value


def _reserve(run: Runner, node: Node, shape: Value, count: Value) -> TensorList:
    number = whole(count, node)
    if not 0 <= number <= MOST_ITERATIONS:
        raise NotInterpreted(f"a list of {number} tensors", node=node.name)
    return TensorList((None,) * number, node.dtype("element_dtype"), _sizes(shape, node))


def _empty_list(run: Runner, node: Node, shape: Value, count: Value) -> TensorList:
    return TensorList((), node.dtype("element_dtype"), _sizes(shape, node))


def _list_of(run: Runner, node: Node, x: Value, shape: Value) -> TensorList:
    got = array(x, node)
    if len(got) > MOST_ITERATIONS:
        raise NotInterpreted(f"a list of {len(got)} tensors", node=node.name)
    return TensorList(tuple(got), node.dtype("element_dtype"), _sizes(shape, node))


def _element(run: Runner, node: Node, value: Array | None, held: TensorList, shape: Value) -> Array:
    """What was never set is 0, of the shape that is asked for, of the list, or of the elements that were set."""
    if value is not None:
        return np.asarray(value)
    asked = _sizes(shape, node)
    ways = [asked, held.shape, next((item.shape for item in held.items if item is not None), None)]
    for sizes in ways:
        if sizes is not None and None not in sizes:
            known = tuple(size for size in sizes if size is not None)
            run.budget.room(known, node.name)
            return np.zeros(known, held.dtype)
    raise NotInterpreted("a tensor of a list that was never set", node=node.name)


def _get_item(run: Runner, node: Node, handle: Value, index: Value, shape: Value) -> Array:
    held, at = _listed(handle, node), whole(index, node)
    if not 0 <= at < len(held.items):
        raise node.odd("index")
    return _element(run, node, held.items[at], held, shape)


def _set_item(run: Runner, node: Node, handle: Value, index: Value, item: Value) -> TensorList:
    held, at = _listed(handle, node), whole(index, node)
    if not 0 <= at < len(held.items):
        raise node.odd("index")
    items = (*held.items[:at], array(item, node), *held.items[at + 1 :])
    return TensorList(items, held.dtype, held.shape)


def _push(run: Runner, node: Node, handle: Value, item: Value) -> TensorList:
    held = _listed(handle, node)
    if len(held.items) >= MOST_ITERATIONS:
        raise NotInterpreted(f"a list of more than {MOST_ITERATIONS} tensors", node=node.name)
    return TensorList((*held.items, array(item, node)), held.dtype, held.shape)


def _pop(run: Runner, node: Node, handle: Value, shape: Value) -> dict[str, Value | list[Value]]:
    held = _listed(handle, node)
    last = _element(run, node, held.items[-1], held, shape)
    return {"output_handle": TensorList(held.items[:-1], held.dtype, held.shape), "tensor": last}


def _stack(run: Runner, node: Node, handle: Value, shape: Value) -> Array:
    held = _listed(handle, node)
    if not held.items:
        sizes = _sizes(shape, node) or held.shape
        if sizes is None or None in sizes:
            raise NotInterpreted("an empty list of tensors of unknown shape", node=node.name)
        return np.zeros((0, *(size for size in sizes if size is not None)), held.dtype)
    first = _element(run, node, next((item for item in held.items if item is not None), None), held, shape)
    run.budget.room((len(held.items), *first.shape), node.name)
    return np.stack([_element(run, node, item, held, shape) for item in held.items])


def _list_length(run: Runner, node: Node, handle: Value) -> Array:
    return np.array(len(_listed(handle, node).items), np.int32)


def _ensured(run: Runner, node: Node, x: Value) -> Array:
    """EnsureShape is an error where the shape is another."""
    got, shape = array(x, node), node.attributes.get("shape")
    if not isinstance(shape, Shape):
        raise node.odd("shape")
    if shape.sizes is not None and (
        len(shape.sizes) != got.ndim
        or any(a is not None and a != b for a, b in zip(shape.sizes, got.shape, strict=True))
    ):
        raise NotInterpreted("a tensor of another shape than the graph asks for", node=node.name)
    return got


SHAPES: Mapping[str, Operation] = {
    "BatchToSpaceND": _batch_to_space,
    "BroadcastArgs": _broadcast_shapes,
    "BroadcastTo": _broadcast,
    "CheckNumerics": _same,
    "Concat": _concat,
    "ConcatV2": _concat,
    "Const": _constant,
    "DenseBincount": _count,
    "EmptyTensorList": _empty_list,
    "EnsureShape": _ensured,
    "ExpandDims": _expand,
    "Fill": _fill,
    "Gather": _gather,
    "GatherNd": _gather_points,
    "GatherV2": _gather,
    "Identity": _same,
    "IdentityN": _all_the_same,
    "InvertPermutation": _inverse_permutation,
    "LinSpace": _spaced,
    "MatrixBandPart": _band,
    "MirrorPad": _mirror_pad,
    "OneHot": _one_hot,
    "Pack": _pack,
    "Pad": _pad,
    "PadV2": _pad,
    "PlaceholderWithDefault": _same,
    "PreventGradient": _same,
    "Range": _range,
    "Rank": _rank,
    "Reshape": _reshape,
    "ResourceGather": _gather_variable,
    "ReverseSequence": _reverse_sequences,
    "ReverseV2": _reverse,
    "Roll": _roll,
    "ScatterNd": _scatter_points,
    "Shape": _shape,
    "ShapeN": _shapes,
    "Size": _size,
    "Slice": _slice,
    "Snapshot": _same,
    "SpaceToBatchND": _space_to_batch,
    "Split": _split,
    "SplitV": _split_by_sizes,
    "Squeeze": _squeeze,
    "StopGradient": _same,
    "StridedSlice": _strided_slice,
    "TensorListFromTensor": _list_of,
    "TensorListGetItem": _get_item,
    "TensorListLength": _list_length,
    "TensorListPopBack": _pop,
    "TensorListPushBack": _push,
    "TensorListReserve": _reserve,
    "TensorListSetItem": _set_item,
    "TensorListStack": _stack,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unpack": _unpack,
    "Where": _where,
    "ZerosLike": lambda run, node, x: np.zeros_like(array(x, node)),
}
