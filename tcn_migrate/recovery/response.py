"""A model's outputs as a function of its lost norms' gamma and beta alone, with a cheap Jacobian.

Every sample gets a gamma and a beta of its own, of shape (samples, channels). Then one backward pass of one output of
each sample, summed over the samples, gives a row of the Jacobian for every sample at once. A sample of which several
outputs are wanted is in the batch several times, so a row costs the same however many outputs a sample has, and one
compiled backward pass does for all. Nothing before the first lost norm is computed again.

The forward pass is written in `keras.ops`, the backward pass in the gradient of the backend that Keras runs on.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from tcn_migrate.errors import MigrationError
from tcn_migrate.recovery.data import Batch
from tcn_migrate.recovery.graph import Address, Function, Step, Value, compiled, trace

Array = np.ndarray[Any, Any]

NUMBERS = 1 << 24
"""Numbers that a forward pass over one chunk of samples may make: 64 MiB, of which a backward pass takes some four."""


@dataclass(frozen=True)
class Free:
    """Parameters that are free: some channels of one variable of one norm.

    Attributes:
        address: of the variable, gamma or beta.
        channels: which of its channels.
        start: where its parameters begin in the vector of all.
    """

    address: Address
    channels: Array
    start: int

    @property
    def part(self) -> slice:
        """Its place in the vector of all parameters."""
        return slice(self.start, self.start + len(self.channels))


class Response:
    """Outputs of a model for some inputs, and their derivatives, by the free gammas and betas.

    Args:
        model: functional or sequential; its variables are read when this is made, and never changed.
        norms: the norms with free parameters, by address.
        free: for each free variable, the channels that are free.
        inputs: one array a model input, all samples.

    Attributes:
        free: the layout of the parameters.
        start: the parameters as the model has them.
        samples, outputs: how many there are; outputs a sample, all of the model's together.
    """

    def __init__(self, model: Any, norms: Mapping[Address, Any], free: Mapping[Address, Array], inputs: Batch) -> None:
        self.norms = norms
        graph = trace(model, norms, [array.shape[1:] for array in inputs])
        first = min(graph.norm_calls())
        self._steps = graph.steps[first:]
        for step in self._steps:
            if step.norm is not None:
                _refuse_other_axes(step.norm, norms[step.norm], len(graph.symbols[step.inputs[0]].shape))
        self._outputs = graph.outputs
        self._taken: list[Value] = sorted(graph.needed_from(first))
        self._order = list(dict.fromkeys(step.norm for step in self._steps if step.norm is not None))
        self._known: dict[Address, Array] = {
            (*address, name): ops.convert_to_numpy(variable).astype(np.float32)
            for address, norm in norms.items()
            for name, variable in (("gamma", norm.gamma), ("beta", norm.beta))
        }
        self.free: list[Free] = []
        start = 0
        for address in self._order:
            for name in ("gamma", "beta"):
                channels = free.get((*address, name))
                if channels is not None and len(channels):
                    self.free.append(Free((*address, name), channels, start))
                    start += len(channels)
        self.start = np.zeros(start)
        for each in self.free:
            self.start[each.part] = self._known[each.address][each.channels]
        self.samples = len(inputs[0])
        self.outputs = sum(int(np.prod(graph.symbols[output].shape[1:])) for output in graph.outputs)
        made = sum(int(np.prod(graph.symbols[value].shape[1:])) for step in self._steps for value in step.outputs)
        self._rows = max(8, NUMBERS // max(made, 1))
        self._inputs, self._first = graph.inputs, graph.steps[:first]
        self._kept = self._before(self._inputs, self._first, inputs)
        self._folds = self._count_folds()
        self._forward = compiled(self._outputs_of)
        self._backward = compiled(_gradient_of(self._outputs_of))
        self._normalise = compiled(self._normalised_of)

    def at(self, inputs: Batch) -> Response:
        """The same outputs for other inputs of the same shapes."""
        other = copy.copy(self)
        other._kept = self._before(self._inputs, self._first, inputs)
        other.samples = len(inputs[0])
        return other

    def _before(self, names: Sequence[Value], steps: Sequence[Step], inputs: Batch) -> list[Array]:
        """What the steps before the first free norm make of the inputs: (samples, rows of a sample, ...).

        A sample has several rows inside a TimeDistributed, one elsewhere.
        """
        pieces = []
        for start in range(0, len(inputs[0]), self._rows):
            chunk = [ops.convert_to_tensor(array[start : start + self._rows]) for array in inputs]
            values: dict[Value, Any] = dict(zip(names, chunk, strict=True))
            for step in steps:
                step.run(values, False)
            made = [ops.convert_to_numpy(values[value]) for value in self._taken]
            pieces.append([array.reshape(len(chunk[0]), -1, *array.shape[1:]) for array in made])
        return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]

    def _count_folds(self) -> dict[int, int]:
        """For each step that calls a norm, how many rows a sample has there: more than one inside a TimeDistributed."""
        rows: dict[int, int] = {}
        size = min(2, self.samples)
        values: dict[Value, Any] = dict(zip(self._taken, self._chunk(np.arange(size)), strict=True))
        for number, step in enumerate(self._steps):
            if step.norm is not None:
                rows[number] = values[step.inputs[0]].shape[0] // size
            step.run(values, False)
        return rows

    def variables(self, parameters: Array) -> dict[Address, Array]:
        """Every gamma and beta of the norms, the free channels from `parameters`."""
        full = {address: values.copy() for address, values in self._known.items()}
        for each in self.free:
            full[each.address][each.channels] = parameters[each.part]
        return full

    def known(self, address: Address) -> Array:
        """A gamma or beta as the model has it."""
        return self._known[address]

    def predict(self, parameters: Array, samples: Array) -> Array:
        """The model's outputs for some samples, (samples, outputs), float64."""
        given = self._given(parameters)
        made: Array = np.concatenate(
            [
                np.asarray(ops.convert_to_numpy(self._forward(given, self._chunk(samples[piece]))), dtype=np.float64)
                for piece in self._pieces(np.arange(len(samples)))
            ]
        )
        return made

    def rows(self, parameters: Array, samples: Array, chosen: Array) -> Iterator[tuple[slice, Array, Array]]:
        """Some outputs and their derivatives, a chunk at a time.

        Args:
            parameters: where.
            samples: which sample each row is of, (rows,).
            chosen: which output of it, (rows,).

        Yields:
            Which rows these are, their outputs, (n,), and derivatives, (n, parameters), float64.
        """
        given = self._given(parameters)
        start = 0
        for piece in self._pieces(np.arange(len(samples))):
            pick = ops.one_hot(ops.convert_to_tensor(chosen[piece]), self.outputs)
            out, slopes = self._backward(self._copies(given, len(piece)), self._chunk(samples[piece]), [pick])
            values = np.take_along_axis(ops.convert_to_numpy(out), chosen[piece][:, None], axis=1)[:, 0]
            yield slice(start, start + len(piece)), values.astype(np.float64), self._packed(slopes)
            start += len(piece)

    def effect(self, parameters: Array, samples: Array, seed: int = 0) -> Array:
        """On how many of the samples' outputs each parameter has an effect, (parameters,).

        One backward pass: all outputs of a sample together, with random signs, so that nothing cancels.
        """
        given = self._given(parameters)
        counts = np.zeros(len(self.start), dtype=np.int64)
        random = np.random.default_rng(seed)
        for piece in self._pieces(np.arange(len(samples))):
            signs = random.choice(np.array([-1.0, 1.0], dtype=np.float32), size=(len(piece), self.outputs))
            _, slopes = self._backward(
                self._copies(given, len(piece)), self._chunk(samples[piece]), [ops.convert_to_tensor(signs)]
            )
            counts += (self._packed(slopes) != 0).sum(axis=0)
        return counts

    def normalised(self, parameters: Array, samples: Array) -> dict[Address, Array]:
        """What each norm makes of its inputs before gamma and beta, (values, channels)."""
        parts = [
            [
                ops.convert_to_numpy(x).reshape(-1, x.shape[-1])
                for x in self._normalise(given, self._chunk(samples[piece]))
            ]
            for given in [self._given(parameters)]
            for piece in self._pieces(np.arange(len(samples)))
        ]
        return {address: np.concatenate([part[number] for part in parts]) for number, address in enumerate(self._order)}

    def _pieces(self, rows: Array) -> list[Array]:
        """Rows in chunks of nearly one size."""
        return np.array_split(rows, -(-len(rows) // self._rows)) if len(rows) else []

    def _chunk(self, samples: Array) -> list[Any]:
        taken = [array[samples] for array in self._kept]
        return [ops.convert_to_tensor(array.reshape(-1, *array.shape[2:])) for array in taken]

    def _given(self, parameters: Array) -> list[Any]:
        full = self.variables(parameters)
        return [ops.convert_to_tensor(full[(*a, name)]) for a in self._order for name in ("gamma", "beta")]

    def _copies(self, given: Sequence[Any], samples: int) -> list[Any]:
        return [ops.tile(ops.expand_dims(values, 0), (samples, 1)) for values in given]

    def _packed(self, slopes: Sequence[Any]) -> Array:
        """Derivatives by every gamma and beta as those by the parameters, (samples, parameters)."""
        by_address = dict(zip([(*a, n) for a in self._order for n in ("gamma", "beta")], slopes, strict=True))
        return np.concatenate(
            [ops.convert_to_numpy(by_address[each.address])[:, each.channels] for each in self.free], axis=1
        ).astype(np.float64)

    def _run(self, given: Sequence[Any], tensors: Sequence[Any]) -> tuple[dict[Value, Any], dict[Any, Any]]:
        """The steps from the first free norm on; gammas and betas are (channels,) or (samples, channels)."""
        values: dict[Value, Any] = dict(zip(self._taken, tensors, strict=True))
        normalised: dict[Any, Any] = {}
        for number, step in enumerate(self._steps):
            if step.norm is None:
                step.run(values, False)
                continue
            place = self._order.index(step.norm)
            x = _normalised(self.norms[step.norm], values[step.inputs[0]])
            gamma, beta = (self._shaped(given[2 * place + k], len(x.shape), self._folds[number]) for k in (0, 1))
            normalised[step.norm] = x
            values[step.outputs[0]] = x * gamma + beta
        return values, normalised

    @staticmethod
    def _shaped(values: Any, rank: int, folds: int) -> Any:
        if len(values.shape) == 1:
            return values
        if folds > 1:
            values = ops.repeat(values, folds, axis=0)
        return ops.reshape(values, (-1, *[1] * (rank - 2), values.shape[-1]))

    def _outputs_of(self, given: Sequence[Any], tensors: Sequence[Any]) -> Any:
        values, _ = self._run(given, tensors)
        flat = [ops.reshape(values[output], (-1, int(np.prod(values[output].shape[1:])))) for output in self._outputs]
        return ops.cast(ops.concatenate(flat, axis=1) if len(flat) > 1 else flat[0], "float32")

    def _normalised_of(self, given: Sequence[Any], tensors: Sequence[Any]) -> list[Any]:
        _, normalised = self._run(given, tensors)
        return [normalised[address] for address in self._order]


def _refuse_other_axes(address: Address, norm: Any, rank: int) -> None:
    axes = norm.axis if isinstance(norm.axis, list | tuple) else [norm.axis]
    if [axis % rank for axis in axes] != [rank - 1]:
        raise MigrationError("only a norm over the last axis can be refitted", address=" / ".join(address))


def _normalised(norm: Any, x: Any) -> Any:
    """What a norm makes of its input before gamma and beta."""
    if isinstance(norm, keras.layers.BatchNormalization):
        mean = ops.convert_to_tensor(norm.moving_mean)
        return (x - mean) * ops.rsqrt(ops.convert_to_tensor(norm.moving_variance) + norm.epsilon)
    mean = ops.mean(x, axis=-1, keepdims=True)
    centred = x - mean
    return centred * ops.rsqrt(ops.mean(ops.square(centred), axis=-1, keepdims=True) + norm.epsilon)


def _gradient_of(outputs_of: Function) -> Function:
    """A function of (gammas and betas, tensors, [cotangent]): outputs, and the gradients of their sum times it."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        def with_tape(given: list[Any], tensors: list[Any], cotangents: list[Any]) -> tuple[Any, list[Any]]:
            with tensorflow.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(given)
                outputs = outputs_of(given, tensors)
            zero = tensorflow.UnconnectedGradients.ZERO
            return outputs, tape.gradient(outputs, given, cotangents[0], unconnected_gradients=zero)

        return with_tape
    if backend == "jax":
        import jax

        def pulled_back(given: list[Any], tensors: list[Any], cotangents: list[Any]) -> tuple[Any, list[Any]]:
            outputs, pull = jax.vjp(lambda given: outputs_of(given, tensors), given)
            return outputs, pull(cotangents[0])[0]

        return pulled_back
    if backend == "torch":
        import torch

        def with_autograd(given: list[Any], tensors: list[Any], cotangents: list[Any]) -> tuple[Any, list[Any]]:
            given = [values.detach().requires_grad_() for values in given]
            outputs = outputs_of(given, tensors)
            slopes = torch.autograd.grad(outputs, given, cotangents[0], allow_unused=True, materialize_grads=True)
            return outputs.detach(), list(slopes)

        return with_autograd
    raise NotImplementedError(f"no gradient on the backend {backend}")
