"""The fixed TCN layer: what keras-tcn computes, on every backend of Keras, without its faults.

Kept on purpose, since weights were trained with it: the activation that is applied twice on a block's branch, the
output of `go_backwards` that is not turned back in time, and the mask that ends at the layer (`pass_mask` passes it
on).

Its weights lie where keras-tcn 3.5.7 stores them, so a file of :class:`TCN` also loads in keras-tcn 3.5.5 and later.
:class:`LegacyTCN` computes the functions of earlier releases; it is registered under a name of its own, so that
keras-tcn can never misread its files.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tcn_migrate.tcn.fixed_training import FixedTraining as FixedTraining
from tcn_migrate.tcn.generations import CURRENT, GENERATIONS, Generation, has_matching_convolution
from tcn_migrate.tcn.naming import PLACES

OWN_SLOPES = "PReLU"
"""An activation by the name of this class is a PReLU of its own in each place, as in keras-tcn on Keras 2.15."""


def _initializer(stored: Any, number: int) -> Any:
    """The initializer of convolution `number`: one object each, and each seed its own.

    keras-tcn hands one object to all convolutions, so that a seeded one gives every block the same kernel.
    """
    config = keras.initializers.serialize(keras.initializers.get(stored))
    if isinstance(config, dict) and isinstance(config.get("config", {}).get("seed"), int):
        config["config"]["seed"] += number
    return keras.initializers.get(config)


def keras2_hard_sigmoid(x: Any) -> Any:
    """Keras 2's hard sigmoid, clip(0.2 x + 0.5, 0, 1). Keras 3's function of that name is clip(x / 6 + 0.5, 0, 1)."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="tcn_migrate")
class ResidualBlock(keras.layers.Layer):  # type: ignore[misc]
    """Two dilated convolutions with their norms and activations, and a shortcut around them.

    Args:
        filters: width of the block's output.
        kernel_size: taps of each of the two convolutions.
        dilation_rate: steps between two taps.
        padding: "causal" or "same".
        activation: name of the configured activation; "PReLU" makes one for each place of an activation.
        generation: letter of the row of `generations.GENERATIONS` that is computed.
        norm: "batch", "layer" or None.
        dropout_rate: of the spatial dropout behind each activation.
        kernel_initializer: of the convolutions.
        matching: the shortcut is a 1x1 convolution.
        number: the block's place in its TCN; it keeps seeded initializers apart.
    """

    built: bool

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        dilation_rate: int,
        padding: str,
        *,
        activation: Any = "relu",
        generation: str = CURRENT.name,
        norm: str | None = None,
        dropout_rate: float = 0.0,
        kernel_initializer: Any = "he_normal",
        matching: bool = False,
        number: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.filters, self.kernel_size, self.dilation_rate = int(filters), int(kernel_size), int(dilation_rate)
        self.padding, self.norm, self.dropout_rate = padding, norm, float(dropout_rate)
        self.generation, self.matching, self.number = generation, bool(matching), int(number)
        self.activation = activation_named(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        part = {"dtype": self.dtype_policy, "trainable": self.trainable}

        def convolution(name: str, position: int, **settings: Any) -> keras.layers.Conv1D:
            return keras.layers.Conv1D(
                self.filters,
                name=name,
                kernel_initializer=_initializer(kernel_initializer, 3 * self.number + position),
                **settings,
                **part,
            )

        dilated = {"kernel_size": self.kernel_size, "dilation_rate": self.dilation_rate, "padding": padding}
        normalization = {"batch": keras.layers.BatchNormalization, "layer": keras.layers.LayerNormalization}.get(
            norm or ""
        )
        row, own = GENERATIONS[generation], self.activation == OWN_SLOPES
        # The order in which parts are made is the order of the variables, by which an optimizer keeps its state:
        # keras-tcn's, convolution and norm by turns.
        self.conv1D_0 = convolution("conv1D_0", 0, **dilated)
        if normalization is not None:
            self.norm_0 = normalization(name="norm_0", **part)
        if own and row.inside is None:
            self.activation_0 = keras.layers.PReLU(name="activation_0", **part)
        self.conv1D_1 = convolution("conv1D_1", 1, **dilated)
        if normalization is not None:
            self.norm_1 = normalization(name="norm_1", **part)
        if own and row.inside is None:
            self.activation_1 = keras.layers.PReLU(name="activation_1", **part)
        if own and row.before_sum:
            self.branch_activation = keras.layers.PReLU(name="branch_activation", **part)
        if normalization is not None:
            # In lists of these names keras-tcn 3.5.3 and later keep the norms, whatever the session counts.
            setattr(self, f"{norm}_norm_layers", [self.norm_0, self.norm_1])
        self.SDropout_0 = keras.layers.SpatialDropout1D(self.dropout_rate, name="SDropout_0", dtype=self.dtype_policy)
        self.SDropout_1 = keras.layers.SpatialDropout1D(self.dropout_rate, name="SDropout_1", dtype=self.dtype_policy)
        if matching:
            self.matching_conv1D = convolution("matching_conv1D", 2, kernel_size=1, padding="same")
        if own:
            self.sum_activation = keras.layers.PReLU(name="sum_activation", **part)

    @property
    def norms(self) -> list[Any]:
        """The norm after each of the two convolutions; empty without norms."""
        return [self.norm_0, self.norm_1] if self.norm else []

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        inner = (*tuple(input_shape)[:-1], self.filters)
        self.conv1D_0.build(input_shape)
        self.conv1D_1.build(inner)
        for norm in self.norms:
            norm.build(inner)
        self.SDropout_0.build(inner)
        self.SDropout_1.build(inner)
        if self.matching:
            self.matching_conv1D.build(input_shape)
        for place in PLACES:
            if hasattr(self, place):
                getattr(self, place).build(inner)
        self.built = True

    def call(self, x: Any, training: bool | None = None) -> tuple[Any, Any]:
        """Returns the residual sum, which the next block takes, and the branch, which is the skip connection."""
        row = GENERATIONS[self.generation]
        norms = self.norms or [None, None]
        y = x
        for convolution, norm, place, dropout in (
            (self.conv1D_0, norms[0], "activation_0", self.SDropout_0),
            (self.conv1D_1, norms[1], "activation_1", self.SDropout_1),
        ):
            inside = ops.relu if row.inside == "relu" else self._activation_at(place)
            y = convolution(y)
            if norm is not None:
                y = norm(y, training=training) if self.norm == "batch" else norm(y)
            y = dropout(inside(y), training=training)
        if row.before_sum:
            y = self._activation_at("branch_activation")(y)
        shortcut = self.matching_conv1D(x) if self.matching else x
        return self._activation_at("sum_activation")(shortcut + y), y

    def _activation_at(self, place: str) -> Any:
        return getattr(self, place) if self.activation == OWN_SLOPES else self.activation

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, Any]:
        shape = (*tuple(input_shape)[:-1], self.filters)
        return shape, shape

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "padding": self.padding,
            "activation": activation_name(self.activation),
            "generation": self.generation,
            "norm": self.norm,
            "dropout_rate": self.dropout_rate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "matching": self.matching,
            "number": self.number,
        }


def activation_named(name: Any) -> Any:
    """The function for a stored activation; Keras 2's hard sigmoid is the one name that Keras 3 does not have.

    An activation may also be a layer or an operation, in its serialized form, and `OWN_SLOPES`.
    """
    if name == OWN_SLOPES:
        return name
    if isinstance(name, dict):  # which `keras.activations.get` cannot read in Keras 3.8
        return keras.saving.deserialize_keras_object(name)
    return keras2_hard_sigmoid if name == "keras2_hard_sigmoid" else keras.activations.get(name)


def activation_name(function: Any) -> Any:
    """What `activation_named` turns into `function`."""
    if function == OWN_SLOPES:
        return function
    return "keras2_hard_sigmoid" if function is keras2_hard_sigmoid else keras.activations.serialize(function)


@keras.saving.register_keras_serializable(package="Custom", name="TCN")
class TCN(keras.layers.Layer):  # type: ignore[misc]
    """A temporal convolutional network as one layer: (batch, time, features) in.

    Bai, Kolter and Koltun, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
    Modeling" (2018), as keras-tcn 3.5.0 to 3.5.7 computes it.

    Args:
        nb_filters: filters of every block, or one number for each dilation.
        kernel_size: taps of the convolutions.
        nb_stacks: how often the row of dilations is repeated.
        dilations: the dilation rate of each block of a stack.
        padding: "causal" or "same".
        use_skip_connections: the output is the sum of all blocks' branches instead of the last block's residual sum.
        dropout_rate: spatial dropout inside the blocks.
        return_sequences: (batch, time, filters) out; otherwise one step, (batch, filters): the last one under
            "causal" padding, step time // 2 under "same".
        activation: used after each convolution, again before and after the residual sum. A PReLU object is shared by
            all of them; "PReLU" makes one for each.
        use_batch_norm, use_layer_norm: one norm after each dilated convolution; not both.
        kernel_initializer: of the convolutions.
        go_backwards: the input is reversed in time. As with recurrent layers, the output is not turned back.
        return_state: also returns the step that `return_sequences=False` would, as recurrent layers return theirs.
            keras-tcn stores this setting and ignores it.
        pass_mask: a mask that comes in goes out with a returned sequence. The mask never changes what is computed.

    Raises:
        ValueError: for settings that make no network, and for inputs that are not (batch, time, features).
    """

    generation: Generation = CURRENT
    built: bool

    def __init__(
        self,
        nb_filters: Any = 64,
        kernel_size: int = 3,
        nb_stacks: int = 1,
        dilations: Any = (1, 2, 4, 8, 16, 32),
        padding: str = "causal",
        use_skip_connections: bool = True,
        dropout_rate: float = 0.0,
        return_sequences: bool = False,
        activation: Any = "relu",
        use_batch_norm: bool = False,
        use_layer_norm: bool = False,
        kernel_initializer: Any = "he_normal",
        go_backwards: bool = False,
        return_state: bool = False,
        pass_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Tuples: Keras wraps lists for tracking, and a wrapped list in a config breaks copies of it.
        self.dilations = tuple(int(rate) for rate in dilations)
        several = isinstance(nb_filters, list | tuple) or bool(getattr(nb_filters, "ndim", 0))
        self.nb_filters = tuple(int(width) for width in nb_filters) if several else int(nb_filters)
        self.kernel_size, self.nb_stacks, self.dropout_rate = int(kernel_size), int(nb_stacks), float(dropout_rate)
        if padding not in ("causal", "same"):
            raise ValueError(f"padding is 'causal' or 'same', not {padding!r}.")
        if use_batch_norm and use_layer_norm:
            raise ValueError("A TCN has batch norm or layer norm, not both.")
        if not self.dilations or self.nb_stacks < 1:
            raise ValueError("A TCN needs at least one dilation and one stack.")
        if isinstance(self.nb_filters, tuple) and len(self.nb_filters) != len(self.dilations):
            raise ValueError(f"{len(self.nb_filters)} numbers of filters for {len(self.dilations)} dilations.")
        if use_skip_connections and isinstance(self.nb_filters, tuple) and len(set(self.nb_filters)) > 1:
            raise ValueError("Skip connections are a sum, so all blocks need the same number of filters.")
        self.padding, self.use_skip_connections = padding, bool(use_skip_connections)
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.use_batch_norm, self.use_layer_norm = bool(use_batch_norm), bool(use_layer_norm)
        self.go_backwards, self.pass_mask = bool(go_backwards), bool(pass_mask)
        self.activation = activation_named(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        # Keras would warn that the mask is destroyed; here that is said by `pass_mask`.
        self.supports_masking = True
        self.stateful = False  # Bidirectional asks every layer that it wraps
        self.input_spec = keras.layers.InputSpec(ndim=3)

    @property
    def residual_blocks(self) -> list[ResidualBlock]:
        """The blocks in the order of computation; empty before the layer is built."""
        return [getattr(self, f"residual_block_{k}") for k in range(self._number_of_blocks())] if self.built else []

    def _number_of_blocks(self) -> int:
        return self.nb_stacks * len(self.dilations)

    @property
    def receptive_field(self) -> int:
        """Steps of the input that one step of the output sees."""
        return 1 + 2 * (self.kernel_size - 1) * self.nb_stacks * sum(self.dilations)

    def _width(self, block: int) -> int:
        if isinstance(self.nb_filters, tuple):
            return self.nb_filters[block % len(self.dilations)]
        return self.nb_filters

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        shape = tuple(input_shape)
        if len(shape) != 3 or shape[-1] is None:
            raise ValueError(f"A TCN takes (batch, time, features) with a known number of features, not {shape}.")
        row, blocks = self.generation, self._number_of_blocks()
        shared = isinstance(self.activation, keras.layers.PReLU)
        if shared:  # one layer for all blocks, whose slopes lie at the TCN's own attribute
            self.activation.build((*shape[:-1], self._width(0)))
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: shape[-1]})
        if row.first_convolution:
            self.main_conv1D = keras.layers.Conv1D(
                self._width(0),
                1,
                padding=self.padding,
                name="main_conv1D",
                kernel_initializer=_initializer(self.kernel_initializer, -1),
                dtype=self.dtype_policy,
                trainable=self.trainable,
            )
            self.main_conv1D.build(shape)
            shape = (*shape[:-1], self._width(0))
        for k in range(blocks):
            width = self._width(k)
            block = ResidualBlock(
                width,
                self.kernel_size,
                self.dilations[k % len(self.dilations)],
                self.padding,
                activation=self.activation if shared else activation_name(self.activation),
                generation=row.name,
                norm="batch" if self.use_batch_norm else "layer" if self.use_layer_norm else None,
                dropout_rate=self.dropout_rate,
                kernel_initializer=self.kernel_initializer,
                matching=has_matching_convolution(row, k, blocks, self.use_skip_connections, shape[-1], width),
                number=k,
                name=f"residual_block_{k}",
                dtype=self.dtype_policy,
                trainable=self.trainable,
            )
            block.build(shape)
            # An attribute of its own for each block: that is where the weight store looks for its arrays.
            setattr(self, f"residual_block_{k}", block)
            shape = (*shape[:-1], width)
        self.built = True

    def call(self, inputs: Any, initial_state: None = None, training: bool | None = None) -> Any:
        if initial_state is not None:  # the argument is there since Bidirectional passes it to whatever it wraps
            raise ValueError("A TCN has no state to start from.")
        x = inputs
        if self.go_backwards:
            x = ops.flip(x, axis=1)
        elif getattr(x, "_keras_mask", None) is not None:
            x = x * ops.ones((), dtype=x.dtype)  # a new tensor without the mask, which the blocks must not see
        if self.generation.first_convolution:
            x = self.main_conv1D(x)
        skips = []
        for block in self.residual_blocks:
            x, branch = block(x, training=training)
            skips.append(branch)
        if self.use_skip_connections:
            x = skips[0]
            for branch in skips[1:]:
                x = x + branch
        if self.return_sequences and not self.return_state:
            return x
        step = x[:, ops.shape(x)[1] // 2] if self._takes_the_middle() else x[:, -1]
        if not self.return_state:
            return step
        return (x if self.return_sequences else step), step

    def _takes_the_middle(self) -> bool:
        return self.padding == "same" and self.generation.step == "middle"

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, time, _ = tuple(input_shape)
        width = self._width(self._number_of_blocks() - 1)
        output = (batch, time, width) if self.return_sequences else (batch, width)
        return (output, (batch, width)) if self.return_state else output

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        mask = previous_mask if self.pass_mask and self.return_sequences else None
        return [mask, None] if self.return_state else mask

    def get_config(self) -> dict[str, Any]:
        config = {
            **super().get_config(),
            "nb_filters": list(self.nb_filters) if isinstance(self.nb_filters, tuple) else self.nb_filters,
            "kernel_size": self.kernel_size,
            "nb_stacks": self.nb_stacks,
            "dilations": list(self.dilations),
            "padding": self.padding,
            "use_skip_connections": self.use_skip_connections,
            "dropout_rate": self.dropout_rate,
            "return_sequences": self.return_sequences,
            "activation": activation_name(self.activation),
            "use_batch_norm": self.use_batch_norm,
            "use_layer_norm": self.use_layer_norm,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "go_backwards": self.go_backwards,
            "return_state": self.return_state,
        }
        if self.pass_mask:  # keras-tcn does not know this key
            config["pass_mask"] = True
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TCN:
        """A layer from its config, also from one of keras-tcn 3.2.1 to 3.5.4, which says `use_weight_norm`."""
        config = dict(config)
        if config.pop("use_weight_norm", False):
            raise ValueError("Weight norm is no part of this layer; tcn-migrate folds it into the kernels of a file.")
        return cls(**config)  # the base class would also turn a serialized dtype policy into one, as __init__ does


@keras.saving.register_keras_serializable(package="tcn_migrate")
class LegacyTCN(TCN):
    """What keras-tcn 2.9.0 to 3.1.2 computed, and what no keras-tcn can: Keras 2's hard sigmoid, a mask passed on.

    Args:
        generation: a row of `generations.GENERATIONS`, by its letter.
        **kwargs: as for :class:`TCN`.
    """

    def __init__(self, *args: Any, generation: str = CURRENT.name, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if generation not in GENERATIONS:
            raise ValueError(f"generation is one of {', '.join(GENERATIONS)}, not {generation!r}.")
        self.generation = GENERATIONS[generation]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "generation": self.generation.name}
