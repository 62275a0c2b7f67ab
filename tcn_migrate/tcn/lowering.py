"""A TCN said in Keras's own layers: the plain target.

The layer's entry becomes a nested functional model under the layer's name, so that a model that calls it twice, wraps
it or stacks it needs no other change. What is drawn is restricted to what every Keras from 3.0.5 to 3.15.1 reads from a
file, on every backend, in safe mode; `config.operations` says what that excludes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.activations import OPERATIONS
from tcn_migrate.config.graph.drawing import Drawing, sliced, tensor
from tcn_migrate.config.graph.rewrite import functional_of, is_functional
from tcn_migrate.errors import MigrationError, quoted
from tcn_migrate.naming.entries import Address, class_of, is_model, is_tcn, layers_of, name_of, spoken
from tcn_migrate.tcn.forward import EPSILON
from tcn_migrate.tcn.generations import has_matching_convolution
from tcn_migrate.tcn.naming import PLACES, SLOPES
from tcn_migrate.tcn.reading import TCNReading
from tcn_migrate.tcn.rewriting import initializer

_ACTIVATIONS = {"celu": "elu", "hard_swish": "hard_silu", "swish": "silu"}
"""The same functions under the names that the oldest Keras 3 has, too."""

_OF_THREE_AXES = ("Conv1D", "SpatialDropout1D")

_OTHER_TARGET = "Use --target layer"

_MERGES = {"sum": "Add", "ave": "Average", "mul": "Multiply"}


@dataclass
class Lowered:
    """Where the parts of lowered TCNs are.

    Attributes:
        places: new addresses by old ones: of variables, and of the TCNs themselves where they moved.
        idle: old addresses of variables that never reach the output and so have no place.
        unused: old addresses of statistics that nothing is computed from, since those of each batch are.
    """

    places: dict[Address, Address] = field(default_factory=dict)
    idle: set[Address] = field(default_factory=set)
    unused: set[Address] = field(default_factory=set)


def lower_tcns(model: Json, readings: Mapping[Address, TCNReading], *, keras: int) -> tuple[Json, Lowered]:
    """The config with a nested model of built-in layers for every TCN.

    Args:
        model: in normal form; it is not changed.
        readings: what every TCN is, by its address.
        keras: major version of the Keras that wrote the file. Masks of Keras 2 have been repaired beforehand.

    Raises:
        MigrationError: a TCN inside a wrapper of which no built-in layers compute the same.
    """
    wrapper = next(_wrappers((), model), None)
    if wrapper is not None and _makes_masks(model):
        raise MigrationError(
            "a TCN in a wrapper, which passes masks on, in a model with masks cannot be said in Keras's own layers",
            address=spoken(wrapper),
            hint=_OTHER_TARGET,
        )
    for address, reading in readings.items():
        if keras >= 3 and reading.settings.pass_mask and _makes_masks(model):
            raise MigrationError(
                "passes a mask on, which a model of Keras's own layers cannot",
                address=spoken(address),
                hint=_OTHER_TARGET,
            )
    lowered = Lowered()
    return _model(model, (), readings, lowered), lowered


def _wrappers(address: Address, model: Json) -> Iterator[Address]:
    """The layers that hold a TCN as their inner layer."""
    for entry in layers_of(model):
        here, inner = (*address, name_of(entry)), (entry.get("config") or {}).get("layer")
        if is_model(entry):
            yield from _wrappers(here, entry)
        elif isinstance(inner, dict) and is_tcn(inner):
            yield here
        elif isinstance(inner, dict) and is_model(inner):
            yield from _wrappers((*here, "layer"), inner)


def _makes_masks(entry: Json) -> bool:
    """Whether a model has a layer that makes masks, anywhere."""
    config = entry.get("config") or {}
    if class_of(entry) == "Masking" or (class_of(entry) == "Embedding" and config.get("mask_zero")):
        return True
    inner = [*(config.get("layers") or []), config.get("layer"), config.get("backward_layer")]
    return any(isinstance(one, dict) and _makes_masks(one) for one in inner)


def _model(
    model: Json, address: Address, readings: Mapping[Address, TCNReading], lowered: Lowered, *, wrapped: bool = False
) -> Json:
    """A model with its TCNs lowered.

    A Sequential cannot go on from a functional model that was read from a file: from Keras 3.4 on that gives a list of
    one tensor. So it becomes functional itself, unless it stands in a wrapper, which has the same trouble with both.
    """
    layers = [_entry(entry, (*address, name_of(entry)), readings, lowered) for entry in layers_of(model)]
    new = {**model, "config": {**model["config"], "layers": layers}}
    sequential = class_of(model) == "Sequential" and not wrapped
    if sequential and any(
        is_functional(now) and not is_functional(was) for was, now in zip(layers_of(model), layers, strict=True)
    ):
        return functional_of(new) or new
    return new


def _entry(entry: Json, address: Address, readings: Mapping[Address, TCNReading], lowered: Lowered) -> Json:
    if is_tcn(entry) and address in readings:
        return _tcn(entry, name_of(entry), address, address, readings[address], lowered)
    if is_model(entry):
        return _model(entry, address, readings, lowered)
    config = entry.get("config") or {}
    inner = config.get("layer")
    if not isinstance(inner, dict) or "class_name" not in inner:
        return entry
    if is_tcn(inner) and class_of(entry) == "Bidirectional":
        return _two_directions(entry, address, readings, lowered)
    if is_tcn(inner) and class_of(entry) == "TimeDistributed":
        reading = readings[*address, "layer"]
        return _tcn(entry, name_of(entry), (*address, "layer"), address, reading, lowered, each_step=True)
    if is_tcn(inner):
        raise MigrationError(
            f"a TCN inside a {quoted(class_of(entry))[1:-1]} cannot be said in Keras's own layers",
            address=spoken(address),
            hint=_OTHER_TARGET,
        )
    if is_model(inner):
        inner = _model(inner, (*address, "layer"), readings, lowered, wrapped=True)
    return {**entry, "config": {**config, "layer": inner}}


def _tcn(
    entry: Json,
    name: str,
    old: Address,
    new: Address,
    reading: TCNReading,
    lowered: Lowered,
    *,
    each_step: bool = False,
) -> Json:
    """The model in place of an entry; `old` is the TCN's address, `new` the model's."""
    sketch = _Sketch(name, reading, each_step=each_step)
    sketch.draw()
    lowered.places[old] = new
    lowered.places |= {(*old, *below): (*new, *place) for below, place in sketch.places.items()}
    lowered.idle |= {(*old, *below) for below in sketch.idle}
    return _as_model(entry, sketch.model())


def _as_model(entry: Json, config: Json) -> Json:
    """A functional model in the place of another entry."""
    module = "keras.src.models.functional"
    return {**entry, "module": module, "class_name": "Functional", "config": config, "registered_name": None}


def _two_directions(entry: Json, address: Address, readings: Mapping[Address, TCNReading], lowered: Lowered) -> Json:
    """A Bidirectional as a model of two: one that reads forward, and one that reads backward and is turned back.

    Source: keras/src/layers/rnn/bidirectional.py, `call`, the same from Keras 2.4 to 3.15.1.
    """
    config, name = entry["config"], name_of(entry)
    drawing = Drawing(())
    held = {"forward": config["layer"], "backward": config.get("backward_layer") or config["layer"]}
    reading = readings[*address, "forward_layer"]
    entering = drawing.name(f"{name}_input")
    drawing.entries.append(_input_layer(entering, reading))
    outputs = []
    for direction, inner in held.items():
        inside = drawing.name(f"{direction}_{name_of(inner).removeprefix(f'{direction}_')}")
        reading = readings[*address, f"{direction}_layer"]
        nested = _tcn(inner, inside, (*address, f"{direction}_layer"), (*address, inside), reading, lowered)
        node = {"args": [tensor(entering)], "kwargs": {}}
        drawing.entries.append({**nested, "name": inside, "inbound_nodes": [node]})
        outputs.append(tensor(inside))
    if reading.settings.return_sequences:
        outputs[1] = drawing.operation("numpy.Flip", outputs[1], name=f"{name}_turned_back", axis=1)
    mode = config.get("merge_mode", "concat")
    if mode is not None:
        kind, settings = ("Concatenate", {"axis": -1}) if mode == "concat" else (_MERGES[mode], {})
        merged = drawing.name(f"{name}_merged")
        own = {"name": merged, "trainable": True, "dtype": reading.settings.dtype, **settings}
        drawing.entries.append(_layer(kind, own, [outputs]))
        outputs = [tensor(merged)]
    ends = [reference["config"]["keras_history"] for reference in outputs]
    return _as_model(
        entry,
        {
            "name": name,
            "trainable": config.get("trainable", True),
            "layers": drawing.entries,
            "input_layers": [[entering, 0, 0]],
            "output_layers": ends,
        },
    )


def _input_layer(name: str, reading: TCNReading, rank: int = 3) -> Json:
    """The entrance of a TCN, in the dtype that the TCN computes in: any number of steps, but under a PReLU by steps."""
    dtype = reading.settings.dtype.removeprefix("mixed_")
    shape = [*[None] * (rank - 2), reading.steps, reading.input_width]
    config = {"name": name, "batch_shape": shape, "dtype": dtype, "sparse": False}
    return {**_plain("InputLayer", config), "name": name, "inbound_nodes": []}


def _plain(class_name: str, config: Json) -> Json:
    return {"module": "keras.layers", "class_name": class_name, "config": config, "registered_name": None}


def _layer(class_name: str, config: Json, arguments: list[Any]) -> Json:
    node = {"args": arguments, "kwargs": {}}
    return {**_plain(class_name, config), "name": config["name"], "inbound_nodes": [node]}


class _Sketch:
    """One TCN as it is drawn, in the order of computation.

    Args:
        name: of the model; the layers' names begin with it.
        reading: what the TCN is.
        each_step: the TCN is applied to each step of a sequence of sequences, (batch, steps, time, features), as in a
            TimeDistributed. That cannot hold the model in every release: it asks what it holds for the shape of its
            output, and a functional model read from a file answers with a list of one shape from Keras 3.4 on. So
            what needs three axes is wrapped alone, and the rest works on four.
    """

    def __init__(self, name: str, reading: TCNReading, *, each_step: bool = False) -> None:
        self.name, self.reading, self.settings = name, reading, reading.settings
        self.time = 2 if each_step else 1
        self.drawing = Drawing(())
        self.places: dict[Address, Address] = {}
        self.idle: set[Address] = set()
        self.output: Json = {}

    def layer(self, class_name: str, place: str, *arguments: Any, **settings: Any) -> Json:
        """Draws a layer and returns its output."""
        name = f"{self.name}_{place}"
        own = {"name": name, "trainable": self.settings.trainable, "dtype": self.settings.dtype, **settings}
        if class_name == "SpatialDropout1D":
            del own["trainable"]  # which it does not take
        if self.time == 2 and class_name in _OF_THREE_AXES:
            outer = {"name": name, "trainable": self.settings.trainable, "dtype": self.settings.dtype}
            own, class_name = {**outer, "layer": _plain(class_name, own)}, "TimeDistributed"
        self.drawing.entries.append(_layer(class_name, own, list(arguments)))
        return tensor(name)

    def operation(self, kind: str, place: str, *arguments: Any, **settings: Any) -> Json:
        return self.drawing.operation(kind, *arguments, name=f"{self.name}_{place}", **settings)

    def model(self) -> Json:
        """The config of the nested model."""
        return {
            "name": self.name,
            "trainable": self.settings.trainable,
            "layers": self.drawing.entries,
            "input_layers": [[f"{self.name}_input", 0, 0]],
            "output_layers": [self.output["config"]["keras_history"]],
        }

    def draw(self) -> None:
        settings, row = self.settings, self.reading.generation
        entering = f"{self.name}_input"
        self.drawing.entries.append(_input_layer(entering, self.reading, rank=self.time + 2))
        x = tensor(entering)
        if settings.go_backwards:
            x = self.operation("numpy.Flip", "reversed", x, axis=self.time)
        else:
            # An operation ends a mask that comes in: a TCN neither uses it nor passes it on, but its norms would.
            x = self.operation("numpy.Copy", "without_mask", x)
        if row.first_convolution:
            x = self.convolution(x, "first_conv", ("main_conv1D",), settings.filters[0], 1, 1)
        width = settings.filters[0] if row.first_convolution else self.reading.input_width
        skips = []
        for k, filters in enumerate(settings.filters):
            skips.append(self.branch(k, x))
            last = k == settings.blocks - 1
            matching = has_matching_convolution(row, k, settings.blocks, settings.use_skip_connections, width, filters)
            if last and settings.use_skip_connections:
                # The last residual sum feeds nothing; a graph cannot hold what no output depends on.
                address = (f"residual_block_{k}", "matching_conv1D")
                self.idle |= {(*address, variable) for variable in ("kernel", "bias")} if matching else set()
                continue
            shortcut = x
            if matching:
                address = (f"residual_block_{k}", "matching_conv1D")
                shortcut = self.convolution(x, f"block_{k}_shortcut", address, filters, 1, 1)
            x = self.layer("Add", f"block_{k}_sum", [shortcut, skips[k]])
            x = self.activation(settings.activation, f"block_{k}_sum_activation", x, (f"residual_block_{k}", PLACES[3]))
            width = filters
        if settings.use_skip_connections:
            x = skips[0] if len(skips) == 1 else self.layer("Add", "skip_connections", skips)
        self.idle |= {address for address in self.reading.found if address[-1] == SLOPES[-1]} - self.places.keys()
        self.output = x if settings.return_sequences else self.step(x)

    def branch(self, k: int, x: Json) -> Json:
        """The two convolutions of a block with all that follows them."""
        settings, row, block = self.settings, self.reading.generation, f"residual_block_{k}"
        inside = row.inside or settings.activation
        for slot in (0, 1):
            x = self.convolution(
                x,
                f"block_{k}_conv_{slot}",
                (block, f"conv1D_{slot}"),
                settings.filters[k],
                settings.kernel_size,
                settings.dilations[k],
            )
            x = self.norm(x, f"block_{k}_norm_{slot}", (block, f"norm_{slot}"))
            x = self.activation(inside, f"block_{k}_activation_{slot}", x, (block, PLACES[slot]))
            if settings.dropout_rate:
                x = self.layer("SpatialDropout1D", f"block_{k}_dropout_{slot}", x, rate=settings.dropout_rate)
        if row.before_sum and settings.activation != "relu":  # which, twice, is once
            x = self.activation(settings.activation, f"block_{k}_branch_activation", x, (block, PLACES[2]))
        return x

    def convolution(self, x: Json, place: str, address: Address, filters: int, size: int, dilation: int) -> Json:
        here = (f"{self.name}_{place}", *(("layer",) if self.time == 2 else ()))
        self.places |= {(*address, variable): (*here, variable) for variable in ("kernel", "bias")}
        return self.layer(
            "Conv1D",
            place,
            x,
            filters=filters,
            kernel_size=[size],
            strides=[1],
            padding=self.settings.padding,
            dilation_rate=[dilation],
            use_bias=True,
            kernel_initializer=initializer(self.settings.kernel_initializer),
        )

    def norm(self, x: Json, place: str, address: Address) -> Json:
        kind = self.reading.norm
        if kind is None:
            return x
        variables = ("gamma", "beta", "moving_mean", "moving_variance") if kind == "batch" else ("gamma", "beta")
        self.places |= {(*address, variable): (f"{self.name}_{place}", variable) for variable in variables}
        if kind == "batch":
            return self.layer("BatchNormalization", place, x, axis=-1, momentum=0.99, epsilon=EPSILON)
        return self.layer("LayerNormalization", place, x, axis=-1, epsilon=EPSILON)

    def activation(self, function: str, place: str, x: Json, address: Address) -> Json:
        """An activation; those that the oldest Keras 3 does not have under any name are drawn with operations."""
        if function == "linear":
            return x
        if function == "PReLU":
            return self.own_slopes(place, x, address) if self.settings.own_slopes else self.shared_slopes(x)
        if function == self.settings.activation and self.settings.activation_settings:
            return self.layer(function, place, x, **self.settings.activation_settings)
        if function in OPERATIONS:
            return self.operation(OPERATIONS[function], place, x)
        if function == "keras2_hard_sigmoid":
            x = self.operation("numpy.Multiply", f"{place}_slope", x, 0.2)
            x = self.operation("numpy.Add", f"{place}_offset", x, 0.5)
            return self.operation("numpy.Clip", place, x, x_min=0.0, x_max=1.0)
        if function == "hard_tanh":
            return self.operation("numpy.Clip", place, x, x_min=-1.0, x_max=1.0)
        if function == "log_sigmoid":
            x = self.operation("numpy.Negative", f"{place}_of_negative", x)
            x = self.layer("Activation", f"{place}_softplus", x, activation="softplus")
            return self.operation("numpy.Negative", place, x)
        return self.layer("Activation", place, x, activation=_ACTIVATIONS.get(function, function))

    def own_slopes(self, place: str, x: Json, address: Address) -> Json:
        """A PReLU of one activation."""
        self.refuse_slopes_by_steps()
        self.places[*address, SLOPES[-1]] = (f"{self.name}_{place}", SLOPES[-1])
        return self.layer("PReLU", place, x)

    def refuse_slopes_by_steps(self) -> None:
        if self.time == 2:
            raise MigrationError(
                "a TCN with a PReLU inside a TimeDistributed cannot be said in Keras's own layers",
                address=self.name,
                hint=_OTHER_TARGET,
            )

    def shared_slopes(self, x: Json) -> Json:
        """One more call of the PReLU that all activations share."""
        self.refuse_slopes_by_steps()
        name = f"{self.name}_activation"
        drawn = next((entry for entry in self.drawing.entries if entry["name"] == name), None)
        if drawn is None:
            self.places[SLOPES] = (name, SLOPES[-1])
            return self.layer("PReLU", "activation", x, **self.settings.activation_settings)
        drawn["inbound_nodes"].append({"args": [x], "kwargs": {}})
        return tensor(name, len(drawn["inbound_nodes"]) - 1)

    def step(self, x: Json) -> Json:
        """The one step that is returned."""
        if self.settings.padding == "causal" or self.reading.generation.step == "last":
            return sliced(self.drawing, x, (*[slice(None)] * self.time, -1), f"{self.name}_last_step")
        # Step time // 2, also where the time is only known when the model is called: steps are counted from 1, and of
        # a sum over time only the wanted one is not zero, which is exact.
        ones = self.operation("numpy.OnesLike", "ones", x)
        counted = self.operation("numpy.Cumsum", "steps_counted", ones, axis=self.time, dtype="int32")
        time = self.operation("numpy.Max", "time", counted, axis=self.time, keepdims=True)
        half = self.operation("numpy.FloorDivide", "half_time", time, 2)
        middle = self.operation("numpy.Add", "middle", half, 1)
        wanted = self.operation("numpy.Equal", "is_middle", counted, middle)
        alone = self.operation("numpy.Where", "middle_alone", wanted, x, 0.0)
        return self.operation("numpy.Sum", "middle_step", alone, axis=self.time)
