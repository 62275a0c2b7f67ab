"""Inputs to measure from, and recorded predictions to refit to, out of files or whatever a training loop uses.

Everything comes out as batches of NumPy arrays, one array a model input, read as they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tcn_migrate.errors import MigrationError, quoted

Array = np.ndarray[Any, Any]
Batch = list[Array]
"""One array a model input, or a model output, in the model's order; the first axis counts samples."""

ROWS = 1024
"""Samples that are read from a file at once."""


def batches(inputs: Any, names: Sequence[str]) -> Iterator[Batch]:
    """Batches out of anything that feeds a model.

    Args:
        inputs: an array; a list or tuple of arrays, or a mapping by input name, for models with several inputs; or an
            iterable of batches, such as a generator, a `tf.data.Dataset` or a torch `DataLoader`. A batch is one of
            the former, or a tuple or list (inputs, targets, ...), of which the targets are not used.
        names: the names of the model's inputs, in its order.

    Yields:
        Lists with one array a model input.

    Raises:
        MigrationError: a batch has not as many arrays as the model has inputs.
    """
    if hasattr(inputs, "shape") or _is_one_batch(inputs, names):
        yield _arrays(inputs, names)
        return
    for batch in inputs:
        yield _arrays(batch, names)


def _is_one_batch(inputs: Any, names: Sequence[str]) -> bool:
    """A mapping by name, or as many arrays as the model has inputs: and not a list of batches."""
    if isinstance(inputs, Mapping):
        return True
    return (
        isinstance(inputs, list | tuple)
        and len(names) > 1
        and len(inputs) == len(names)
        and all(hasattr(part, "shape") for part in inputs)
    )


def _arrays(batch: Any, names: Sequence[str]) -> Batch:
    """The inputs of one batch; targets behind them are dropped."""
    if isinstance(batch, list | tuple) and batch and not hasattr(batch, "shape"):
        alone = len(names) == 1
        nested = isinstance(batch[0], list | tuple | Mapping)
        if nested or (alone and hasattr(batch[0], "shape")):
            batch = batch[0]
    if isinstance(batch, Mapping):
        absent = [name for name in names if name not in batch]
        if absent:
            raise MigrationError(
                "the data lacks an input of the model",
                expected=", ".join(quoted(name) for name in names),
                found=", ".join(quoted(name) for name in list(batch)[:8]),
            )
        parts = [batch[name] for name in names]
    else:
        parts = [batch] if hasattr(batch, "shape") else list(batch)
    if len(parts) != len(names):
        raise MigrationError(
            "the data does not fit the model's inputs",
            expected=f"{len(names)} array{'s' if len(names) > 1 else ''} a batch",
            found=len(parts),
            hint="Give a batch as a list of arrays, a mapping by name, or ([inputs], targets)",
        )
    return [_numpy(part) for part in parts]


def _numpy(tensor: Any) -> Array:
    """An array of a framework's tensor, wherever it lies."""
    if hasattr(tensor, "detach"):  # torch
        tensor = tensor.detach().cpu()
    return numeric(np.asarray(tensor))


def numeric(array: Array, address: str | None = None) -> Array:
    """The array, if it holds real numbers.

    Args:
        array: any array.
        address: where it comes from, safe to print.

    Raises:
        MigrationError: it holds text, objects or complex numbers.
    """
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise MigrationError("the data is not numeric", address=address, found=f"dtype {quoted(array.dtype)}")
    return array


def evenly(stream: Iterable[Batch], rows: int) -> Iterator[Batch]:
    """The same samples in batches of `rows`, however they were split before.

    Only the last batch is shorter, and the last one before the shape of a sample changes.
    """
    waiting: list[Batch] = []
    held = 0

    def cut(size: int) -> Batch:
        nonlocal waiting, held
        joined = [np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*waiting, strict=True)]
        waiting = [[array[size:] for array in joined]] if size < held else []
        held -= size
        return [array[:size] for array in joined]

    for batch in stream:
        if not len(batch[0]):
            continue
        if waiting and any(a.shape[1:] != b.shape[1:] for a, b in zip(waiting[-1], batch, strict=True)):
            yield cut(held)
        waiting.append(batch)
        held += len(batch[0])
        while held >= rows:
            yield cut(rows)
    if held:
        yield cut(held)
