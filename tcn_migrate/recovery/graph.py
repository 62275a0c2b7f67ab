"""The computation of a live model as one flat list of steps, so that what lies before a norm is computed only once.

Keras sees a TCN, a Bidirectional or an inner model as one layer. Where such a layer holds a norm that has to be
measured or refitted, it is opened here: the model is called once on symbolic tensors, those layers show what they
consist of, and the nodes that Keras records are the steps. Nothing is computed for it and no backend is named; the
steps run eagerly or inside a compiled function, as the caller likes.

TimeDistributed is opened by folding time into the batch, as Keras 2 computed it: its norms see all steps as one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops
from keras.src.backend import get_keras_mask, set_keras_mask

from tcn_migrate.errors import MigrationError, quoted

Address = tuple[str, ...]
Function = Callable[..., Any]
Value = int
"""The key of a tensor of the graph."""


@dataclass(frozen=True)
class Step:
    """One call of a layer or operation.

    Attributes:
        node: Keras's record of the call.
        inputs: the tensors that it takes, their masks among them.
        outputs: the tensors that it makes.
        masks: the mask of each tensor that it takes; None where there is none.
        norm: the address of the norm that is called, or None.
    """

    node: Any
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    masks: tuple[tuple[Value, Value | None], ...]
    norm: Address | None

    def run(self, values: MutableMapping[Value, Any], training: bool) -> None:
        """Calls the operation on the values of its inputs and adds those of its outputs."""
        for value, mask in self.masks:
            set_keras_mask(values[value], None if mask is None else values[mask])
        arguments, keywords = self.node.arguments.fill_in(values)
        if getattr(self.node.operation, "_call_has_training_arg", False):
            keywords["training"] = training
        made = keras.tree.flatten(self.node.operation(*arguments, **keywords))
        values.update(zip(self.outputs, made, strict=True))


@dataclass(frozen=True)
class Graph:
    """What a model computes, as steps in an order in which they can run.

    Attributes:
        inputs: the model's inputs, flat.
        steps: the calls between the inputs and the outputs.
        outputs: the model's outputs, flat.
        symbols: the symbolic tensors by key; they hold the shapes.
    """

    inputs: tuple[Value, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Value, ...]
    symbols: Mapping[Value, Any]

    def norm_calls(self) -> list[int]:
        """Positions of the steps that call one of the norms that the graph was opened for."""
        return [position for position, step in enumerate(self.steps) if step.norm is not None]

    def only(self, wanted: Sequence[Value]) -> Graph:
        """The same graph without the steps on which `wanted`, its new outputs, do not depend."""
        needed, kept = set(wanted), []
        for step in reversed(self.steps):
            if needed.intersection(step.outputs):
                needed.update(step.inputs)
                kept.append(step)
        return Graph(self.inputs, tuple(reversed(kept)), tuple(wanted), self.symbols)

    def needed_from(self, position: int) -> frozenset[Value]:
        """The tensors that the steps from `position` on, or the outputs, need from before; inputs among them."""
        made = {value for step in self.steps[position:] for value in step.outputs}
        taken = {value for step in self.steps[position:] for value in step.inputs}
        return frozenset((taken | set(self.outputs)) - made)


def trace(model: Any, norms: Mapping[Address, Any], shapes: Sequence[tuple[int, ...]]) -> Graph:
    """Opens a model down to the given norms.

    Args:
        model: a functional or sequential Keras model, built.
        norms: norm layers of the model by address; every layer on the way to one of them is opened.
        shapes: the shape of each model input without the batch, all sizes known.

    Returns:
        The flat graph; the steps that call a norm carry its address.

    Raises:
        MigrationError: a layer that holds a norm cannot be opened.
    """
    keys = {id(layer): key for key, layer in norms.items()}
    inputs = [
        keras.KerasTensor((None, *shape), dtype=reference.dtype)
        for shape, reference in zip(shapes, model.inputs, strict=True)
    ]
    with _opened(model, keys) as histories:
        try:
            single = isinstance(model, keras.Sequential)
            given = inputs[0] if single else keras.tree.pack_sequence_as(model._inputs_struct, inputs)
            outputs = keras.tree.flatten(model(given))
        except Exception as error:  # whatever a layer's own code makes of a symbolic tensor
            raise MigrationError(
                "the layers around the norms cannot be followed",
                found=quoted(f"{type(error).__name__}: {error}", 300),
                hint="A norm inside a custom layer can be measured or refitted if its call uses keras.ops alone",
            ) from error
        nodes = _in_order(inputs, outputs, histories)
    symbols = {id(tensor): tensor for node in nodes for tensor in node.outputs}
    symbols.update({id(tensor): tensor for tensor in inputs})
    steps = tuple(_step(node, keys.get(id(node.operation))) for node in nodes)
    return Graph(tuple(id(x) for x in inputs), steps, tuple(id(y) for y in outputs), symbols)


def _step(node: Any, norm: Address | None) -> Step:
    taken = node.arguments.keras_tensors
    masks = [(id(tensor), get_keras_mask(tensor)) for tensor in taken]
    return Step(
        node,
        tuple(id(tensor) for tensor in _taken(node)),
        tuple(id(tensor) for tensor in node.outputs),
        tuple((tensor, None if mask is None else id(mask)) for tensor, mask in masks),
        norm,
    )


def _taken(node: Any) -> list[Any]:
    """The tensors that a node needs: its arguments and their masks."""
    arguments = node.arguments.keras_tensors
    return [*arguments, *(mask for mask in map(get_keras_mask, arguments) if mask is not None)]


def _in_order(inputs: Sequence[Any], outputs: Sequence[Any], histories: Mapping[int, Any]) -> list[Any]:
    """The nodes behind symbolic outputs, each after those that it depends on. A loop: a deep model has thousands."""
    done = {id(tensor) for tensor in inputs}
    order: list[Any] = []
    waiting = list(reversed(outputs))
    while waiting:
        tensor = waiting[-1]
        if id(tensor) in done:
            waiting.pop()
            continue
        operation, index, _ = histories.get(id(tensor), tensor._keras_history)
        node = operation._inbound_nodes[index]
        missing = [taken for taken in _taken(node) if id(taken) not in done]
        if missing:
            waiting.extend(reversed(missing))
            continue
        order.append(node)
        done.update(id(made) for made in node.outputs)
    return order


@contextmanager
def _opened(model: Any, keys: Mapping[int, Address]) -> Iterator[dict[int, Any]]:
    """While open, a symbolic call of a layer that holds one of the norms shows its parts.

    Keras still records a node of such a layer, and lets the tensors that it returns name this node as their origin.
    The origin that they had is what the context hands out, by tensor.
    """
    layers = [model, *model._flatten_layers(include_self=False)]
    nodes = [(layer, len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in layers]
    holders = [
        layer
        for layer in layers
        if id(layer) not in keys and any(id(part) in keys for part in layer._flatten_layers(include_self=False))
    ]
    histories: dict[int, Any] = {}

    def shown(layer: Any) -> Any:
        call = _folded(layer) if isinstance(layer, keras.layers.TimeDistributed) else layer.call

        def symbolic_call(*arguments: Any, **keywords: Any) -> Any:
            outputs = call(*arguments, **keywords)
            for tensor in keras.tree.flatten(outputs):
                if hasattr(tensor, "_keras_history"):
                    histories.setdefault(id(tensor), tensor._keras_history)
            return outputs

        return symbolic_call

    try:
        for layer in holders:
            layer.__dict__["symbolic_call"] = shown(layer)  # past Keras's tracking of attributes
        yield histories
    finally:
        for layer in holders:
            layer.__dict__.pop("symbolic_call", None)
        for layer, inbound, outbound in nodes:
            del layer._inbound_nodes[inbound:], layer._outbound_nodes[outbound:]


def _folded(wrapper: Any) -> Any:
    """TimeDistributed as one call of its layer on (batch * steps, ...)."""

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        steps, inner = inputs.shape[1], tuple(inputs.shape[2:])
        keywords = {"training": training} if wrapper.layer._call_has_training_arg else {}
        outputs = wrapper.layer(ops.reshape(inputs, (-1, *inner)), **keywords)
        return keras.tree.map_structure(lambda y: ops.reshape(y, (-1, steps, *tuple(y.shape[1:]))), outputs)

    return call


def compiled(function: Function) -> Function:
    """A function of lists of tensors, compiled by the backend: once, for any number of samples.

    The first axis of every tensor counts samples, but for tensors of one axis, whose length is fixed.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _traced_once(function)
    if backend == "jax":
        import jax

        return jax.jit(function)  # type: ignore[no-any-return]
    return function


def _traced_once(function: Function) -> Function:
    """A `tf.function` that is traced once for any number of samples, where it would be traced again for each."""
    import tensorflow

    traced = tensorflow.function(function, autograph=False)
    known: dict[tuple[int, ...], Function] = {}

    def call(*arguments: Any) -> Any:
        lengths = tuple(len(argument) for argument in arguments)
        if lengths not in known:
            known[lengths] = traced.get_concrete_function(
                *tensorflow.nest.map_structure(
                    lambda x: tensorflow.TensorSpec((None, *x.shape[1:]) if len(x.shape) > 1 else x.shape, x.dtype),
                    arguments,
                )
            )
        return known[lengths](*arguments)

    return call
