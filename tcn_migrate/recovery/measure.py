"""Moving statistics of lost batch norms, measured from data as the old model's training saw them.

What matters, measured on trained models (relative RMSE of the predictions; statistics lost, 1024 inputs):

- Order. Each norm is measured with the ones before it already measured: 0.08. All of them from one pass through the
  damaged model: 2.5. Training-mode passes with momentum 0.99, batches of 64: 5.5 after one, 0.08 after thirty.
- Dropout on, at the rate of the config, since training saw it: 0.06 -> 0.004 and 0.08 -> 0.03.
- Inputs like the training's. Twice the scale, other padding or noise of the same moments leave 0.3 to 1.3.
- Population variance: `Conv1D` puts out three axes, so Keras never took the fused kernel with Bessel's correction.
- Every step counts, padded ones too: keras-tcn ignores masks.

The data is read once. All of it is taken from one norm to the next, and what the rest of the model needs is kept
between two norms, on disk beyond a limit; so the work is that of one prediction of the data however many norms there
are, and memory is bounded. Statistics merge in float64 (Chan, Golub and LeVeque, "Updating Formulae and a Pairwise
Algorithm for Computing Sample Variances", 1979).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from tcn_migrate.errors import MigrationError, quoted
from tcn_migrate.recovery.data import Batch, batches, evenly
from tcn_migrate.recovery.diagnose import STATISTICS, Loss
from tcn_migrate.recovery.graph import Address, Function, Step, Value, compiled, trace
from tcn_migrate.recovery.moments import Moments

Array = np.ndarray[Any, Any]

ENOUGH_SAMPLES = 1024
"""With dropout, fewer samples are measured in several copies: 64 in 16 copies gave 0.026 where one copy gave 0.06."""

FEWEST_VALUES = 100
"""Values a channel below which nothing is measured: a variance would be off by a seventh at best."""

CHUNK = 1 << 20
"""Numbers in the largest tensor of one chunk of samples: few calls, and a tensor about fits into a cache."""


@dataclass(frozen=True)
class Measurement:
    """Statistics and how far to trust them.

    Attributes:
        values: the lost statistics by address of the variable, float32, shape (channels,).
        disagreement: by address of the norm, how far half of the samples disagrees with all of them: the largest
            difference of a channel's mean, in its deviations, or of its deviation, relative.
        samples: that were read.
        copies: in how many copies each was measured, with other dropout.
        passes: how often the data was read.
    """

    values: Mapping[Address, Array]
    disagreement: Mapping[Address, float]
    samples: int
    copies: int
    passes: int = 1


def statistics(
    model: Any,
    norms: Mapping[Address, Any],
    losses: Sequence[Loss],
    inputs: Any,
    *,
    dropout: bool = True,
    seed: int = 0,
    memory: int = 1 << 29,
    progress: Callable[[int, int], None] | None = None,
) -> Measurement:
    """Measures the lost moving statistics of batch norms.

    Args:
        model: functional or sequential, everything that is not lost in place. It is left as it was.
        norms: the model's norm layers by address.
        losses: what is lost; only losses of `moving_mean` and `moving_variance` are measured. Where single channels
            are lost, the others are left as they are.
        inputs: see `data.batches`. Read once; a generator will do.
        dropout: measure with dropout on, as training saw it. Off only to refit, where predictions are of inference.
        seed: of the dropout.
        memory: bytes to keep between two norms before they go to a temporary folder.
        progress: called with the number of calls of norms that are measured, and of all.

    Returns:
        The statistics. They do not depend on how `inputs` is split into batches.

    Raises:
        MigrationError: data that is not finite, does not fit the model's inputs, or is too little.
    """
    lost: dict[Address, dict[str, Loss]] = {}
    for loss in losses:
        if loss.variable in STATISTICS:
            lost.setdefault(loss.norm, {})[loss.variable] = loss
    if not lost:
        return Measurement({}, {}, 0, 1)
    wanted = {address: norms[address] for address in lost}
    stored = {
        loss.address: ops.convert_to_numpy(getattr(wanted[address], name))
        for address, variables in lost.items()
        for name, loss in variables.items()
    }
    sites: dict[Address, list[tuple[Moments, Moments]]] = {address: [] for address in lost}
    with unchanged(model), tempfile.TemporaryDirectory(prefix="tcn-migrate-") as folder:
        _freeze(model, seed)
        chunks = _Chunks(model, wanted, dropout, _Shelf(Path(folder), memory))
        site, calls = 0, 1
        while site < calls:
            halves, address = chunks.to_norm(site, inputs)
            sites[address].append(halves)
            if site == 0:
                chunks.refuse_too_few(halves[0].count + halves[1].count)
            site, calls = site + 1, chunks.calls
            _refuse_infinite(address, halves)
            for name, loss in lost[address].items():
                getattr(wanted[address], name).assign(_filled(stored[loss.address], [halves], loss))
            if progress:
                progress(site, calls)
    return Measurement(
        {
            loss.address: _filled(stored[loss.address], sites[address], loss)
            for address, variables in lost.items()
            for loss in variables.values()
        },
        {address: max(h[0].disagreement(h[0].merged(h[1])) for h in halves) for address, halves in sites.items()},
        chunks.samples,
        chunks.copies,
    )


def _refuse_infinite(address: Address, halves: tuple[Moments, Moments]) -> None:
    """Raises where the statistics of a norm's inputs do not fit into float32."""
    whole = halves[0].merged(halves[1])
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(whole.mean.astype(np.float32)) & np.isfinite(whole.variance.astype(np.float32))
    if not finite.all():
        raise MigrationError(
            "the statistics that these inputs give are not finite",
            address=" / ".join(address),
            found=f"{int((~finite).sum())} of {finite.size} channels that are NaN or infinite",
            hint="Give inputs in the range that the model was trained on",
        )


def _filled(stored: Array, sites: Sequence[tuple[Moments, Moments]], loss: Loss) -> Array:
    """A lost variable's values: the measured ones where they are lost, the stored ones elsewhere.

    A norm of a shared layer is called at several places. Training normalised each call by its own batch, and every
    call moved the statistics by the same share; so each place is normalised by its own, and what is stored is the mean
    over the places.
    """
    wholes = [one.merged(other) for one, other in sites]
    each = [whole.mean if loss.variable == "moving_mean" else whole.variance for whole in wholes]
    measured: Array = np.mean(each, axis=0).astype(stored.dtype)
    if loss.channels is None:
        return measured
    filled = stored.copy()
    filled[list(loss.channels)] = measured[list(loss.channels)]
    return filled


def _halves(values: Any, axis: int) -> list[Any]:
    """Six vectors: for each half of the samples the mean, what it leaves, and the mean of the squares around it.

    Centred before it is squared, and the float32 mean corrected by the mean of what it leaves: a mean of 1000 with a
    deviation of 0.1 is measured as well as any other.
    """
    values = ops.cast(values, keras.backend.result_type(values.dtype, "float32"))
    axes = [number for number in range(len(values.shape)) if number != axis % len(values.shape)]
    middle = ops.shape(values)[0] // 2
    made = []
    for half in (values[:middle], values[middle:]):
        mean = ops.mean(half, axis=axes, keepdims=True)
        centred = half - mean
        made += [ops.reshape(mean, (-1,)), ops.mean(centred, axis=axes), ops.mean(ops.square(centred), axis=axes)]
    return made


def _moments(shape: Sequence[int], axis: int, halves: Sequence[Any]) -> tuple[Moments, Moments]:
    """What `_halves` found, for values of `shape`."""
    vectors = [np.asarray(ops.convert_to_numpy(vector), dtype=np.float64) for vector in halves]
    channels = shape[axis]
    others = int(np.prod(shape)) // max(channels * shape[0], 1)
    middle = shape[0] // 2
    made = []
    for rows, (mean, left, squares) in ((middle, vectors[:3]), (shape[0] - middle, vectors[3:])):
        count = rows * others
        with np.errstate(invalid="ignore"):  # what is not finite is refused later, by name
            whole = Moments(count, mean + left, count * (squares - left**2))
        made.append(whole if rows else Moments.nothing(channels))
    return made[0], made[1]


@dataclass(frozen=True)
class _Route:
    """The way of a chunk from norm to norm.

    Attributes:
        calls: the calls of the norms that are measured.
        segments: for each call, what leads to it from the call before, that one included: compiled, from the tensors
            in `taken` to those in `alive` and the halves of the norm's input.
        taken: for each call, the tensors that are there before its segment.
        alive: for each call, the tensors that are needed from there on, the norm's input among them.
    """

    calls: tuple[Step, ...]
    segments: tuple[Function, ...]
    taken: tuple[tuple[Value, ...], ...]
    alive: tuple[tuple[Value, ...], ...]
    largest: int


def _route(model: Any, norms: Mapping[Address, Any], shapes: Sequence[tuple[int, ...]], dropout: bool) -> _Route:
    whole = trace(model, norms, shapes)
    positions = whole.norm_calls()
    calls = tuple(whole.steps[position] for position in positions)
    goals = [call.inputs[0] for call in calls]
    kept = {id(step) for step in whole.only(goals).steps}
    segments: list[Function] = []
    taken, alive, start = [whole.inputs], [], 0
    for number, position in enumerate(positions):
        steps = tuple(step for step in whole.steps[start:position] if id(step) in kept)
        rest = [step for step in whole.steps[position:] if id(step) in kept]
        made = {value for step in rest for value in step.outputs}
        needed = {value for step in rest for value in step.inputs} | set(goals[number:])
        alive.append(tuple(sorted(needed - made)))
        axis = norms[_address(calls[number])].axis
        segment = _segment(steps, taken[-1], alive[-1], goals[number], axis, dropout)
        # Compiled by TensorFlow alone: JAX cannot draw dropout inside, and PyTorch is as fast without.
        segments.append(compiled(segment) if keras.backend.backend() == "tensorflow" else segment)
        taken.append(alive[-1])
        start = position
    sizes = [int(np.prod(whole.symbols[goal].shape[1:])) for goal in goals]
    return _Route(calls, tuple(segments), tuple(taken), tuple(alive), max(sizes, default=1))


def _segment(
    steps: Sequence[Step],
    taken: Sequence[Value],
    alive: Sequence[Value],
    goal: Value,
    axis: int,
    dropout: bool,
) -> Function:
    def run(tensors: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        values: dict[Value, Any] = dict(zip(taken, tensors, strict=True))
        for step in steps:
            step.run(values, dropout)
        return [values[value] for value in alive], _halves(values[goal], axis)

    return run


def _address(call: Step) -> Address:
    assert call.norm is not None
    return call.norm


class _Shelf:
    """The tensors of every chunk between two norms: in memory up to a limit, on disk beyond it."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit, self.held = folder, limit, 0
        self.chunks: dict[int, dict[Value, Any]] = {}

    def put(self, chunk: int, values: Mapping[Value, Any]) -> None:
        """Keeps a chunk's tensors."""
        self.chunks[chunk] = {}
        for value, tensor in values.items():
            size = int(np.prod(tensor.shape)) * 4
            if self.held + size <= self.limit:
                self.held += size
                self.chunks[chunk][value] = tensor
            else:
                array = ops.convert_to_numpy(tensor)
                file = self.folder / f"{chunk}-{value}"
                array.tofile(file)
                self.chunks[chunk][value] = (file, array.dtype, array.shape)

    def take(self, chunk: int) -> dict[Value, Any]:
        """Gives a chunk's tensors back and forgets them."""
        values = self.chunks.pop(chunk)
        for value, tensor in values.items():
            if isinstance(tensor, tuple):
                file, dtype, shape = tensor
                values[value] = ops.convert_to_tensor(np.fromfile(file, dtype).reshape(shape))
                file.unlink()
            else:
                self.held -= int(np.prod(tensor.shape)) * 4
        return values


class _Chunks:
    """All of the data on its way through the model."""

    def __init__(self, model: Any, norms: Mapping[Address, Any], dropout: bool, shelf: _Shelf) -> None:
        self.model, self.norms, self.dropout, self.shelf = model, norms, dropout, shelf
        self.routes: dict[tuple[tuple[int, ...], ...], _Route] = {}
        self.ways: list[_Route] = []
        self.samples, self.copies = 0, 1

    @property
    def calls(self) -> int:
        """How many calls of norms there are to measure."""
        return len(self.ways[0].calls)

    def to_norm(self, site: int, inputs: Any) -> tuple[tuple[Moments, Moments], Address]:
        """Takes every chunk to the input of a norm's call, and measures it: two halves of the samples apart."""
        one = other = None
        for chunk, (route, values) in enumerate(self._read(inputs) if site == 0 else self._kept()):
            kept, halves = route.segments[site]([values[value] for value in route.taken[site]])
            values = dict(zip(route.alive[site], kept, strict=True))
            call = route.calls[site]
            parts = _moments(values[call.inputs[0]].shape, self.norms[_address(call)].axis, halves)
            one, other = parts if one is None or other is None else (one.merged(parts[0]), other.merged(parts[1]))
            self.shelf.put(chunk, values)
        if one is None or other is None:
            raise MigrationError("there is no data to measure from")
        return (one, other), _address(self.ways[0].calls[site])

    def _kept(self) -> Iterator[tuple[_Route, dict[Value, Any]]]:
        for chunk, route in enumerate(self.ways):
            yield route, self.shelf.take(chunk)

    def _read(self, inputs: Any) -> Iterator[tuple[_Route, dict[Value, Any]]]:
        """The data, checked, in chunks whose size depends on the model alone, and in copies where it is little."""
        names = [tensor.name for tensor in self.model.inputs]
        stream = (checked(batch, self.model) for batch in batches(inputs, names))
        first = next(stream, None)
        if first is None:
            return
        rows = max(1, CHUNK // self._route(first).largest)
        enough = ENOUGH_SAMPLES if self.dropout and _is_random(self.model) else 0
        held: list[Batch] = []
        for batch in evenly(chain([first], stream), rows):
            self.samples += len(batch[0])
            held.append(batch)
            if self.samples >= enough:
                yield from map(self._started, held)
                held = []
        if held:
            self.copies = -(-enough // self.samples)
            yield from map(self._started, evenly(chain.from_iterable([held] * self.copies), rows))

    def _started(self, batch: Batch) -> tuple[_Route, dict[Value, Any]]:
        route = self._route(batch)
        self.ways.append(route)
        tensors = [
            ops.convert_to_tensor(array, dtype=tensor.dtype)
            for array, tensor in zip(batch, self.model.inputs, strict=True)
        ]
        return route, dict(zip(route.taken[0], tensors, strict=True))

    def _route(self, batch: Batch) -> _Route:
        shapes = tuple(array.shape[1:] for array in batch)
        if shapes not in self.routes:
            self.routes[shapes] = _route(self.model, self.norms, shapes, self.dropout)
        return self.routes[shapes]

    def refuse_too_few(self, values: int) -> None:
        """Refuses data that leaves a channel with too few values."""
        if values // self.copies < FEWEST_VALUES:
            raise MigrationError(
                "too little data to measure statistics from",
                expected=f"{FEWEST_VALUES} steps at least, over all samples",
                found=values // self.copies,
            )


def checked(batch: Batch, model: Any) -> Batch:
    """A batch that the model can take.

    Raises:
        MigrationError: another shape than the model's inputs, inputs that differ in their number of samples, or values
            that are not finite.
    """
    for array, tensor in zip(batch, model.inputs, strict=True):
        expected = tuple(tensor.shape[1:])
        sizes = zip(array.shape[1:], expected, strict=False)
        if array.ndim != len(expected) + 1 or any(size != wanted for size, wanted in sizes if wanted is not None):
            raise MigrationError(
                "the data does not have the shape of the model's input",
                address=f"input {quoted(tensor.name)}",
                expected=("samples", *("any" if size is None else size for size in expected)),
                found=array.shape,
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise MigrationError(
                "the data is not finite",
                address=f"input {quoted(tensor.name)}",
                found=f"{int((~np.isfinite(array)).sum())} values that are NaN or infinite",
                hint="Leave those samples out: one NaN would make every statistic NaN",
            )
    if len({len(array) for array in batch}) > 1:
        raise MigrationError(
            "the inputs differ in their number of samples", found=", ".join(str(len(array)) for array in batch)
        )
    return batch


def _is_random(model: Any) -> bool:
    return any(layer._seed_generators for layer in model._flatten_layers())


def _freeze(model: Any, seed: int) -> None:
    """Training mode without its traces: intact norms keep to their own statistics, and every random layer to a seed."""
    for number, layer in enumerate(model._flatten_layers()):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
        for generator in layer._seed_generators:
            generator.state.assign(np.array([seed, number << 16], dtype=generator.state.dtype))


@contextmanager
def unchanged(model: Any) -> Iterator[None]:
    """Whatever happens inside, and however it ends, the model comes out as it went in."""
    layers = model._flatten_layers()
    norms = [
        layer
        for layer in layers
        if isinstance(layer, keras.layers.BatchNormalization | keras.layers.LayerNormalization)
    ]
    trainable = [(norm, norm.trainable) for norm in norms]
    variables = [variable for norm in norms for variable in norm.variables]
    variables += [generator.state for layer in layers for generator in layer._seed_generators]
    before = [(variable, ops.convert_to_numpy(variable).copy()) for variable in variables]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)
        for norm, value in trainable:
            norm.trainable = value
