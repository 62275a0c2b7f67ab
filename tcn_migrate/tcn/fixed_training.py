"""A layer that is called with one value of `training`, whatever the model around it is called with."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="tcn_migrate")
class FixedTraining(keras.layers.Layer):  # type: ignore[misc]
    """Calls a layer with `training=True` or `training=False` in predictions and in training alike.

    Keras 2 keeps the `training` argument of a call in a functional model (`layer(x, training=False)`). The functional
    models of Keras 3 replace it by the value that they are called with themselves (keras/src/models/functional.py,
    `operation_fn`, 3.0.5 to 3.15.1). This layer passes its own value on. Its weights are those of the layer inside.

    Args:
        layer: what is called.
        training: the value for all calls. None if each call has its own, `fixed`.
        **kwargs: as for any layer.
    """

    def __init__(self, layer: Any, training: bool | None = None, **kwargs: Any) -> None:
        # The layer inside casts its inputs itself.
        super().__init__(**{"dtype": layer.dtype_policy, **kwargs, "autocast": False})
        self.layer, self.training = layer, training
        self.supports_masking = layer.supports_masking

    def build(self, input_shape: Any = None) -> None:
        """Nothing is built here: the layer inside is, when it is first called."""

    def call(self, inputs: Any, fixed: bool | None = None, training: bool | None = None, **keywords: Any) -> Any:
        """The output of the layer inside.

        Args:
            inputs: as the layer inside takes them.
            fixed: the value of `training` in this call; None for that of the layer, or of the model around it.
            training: of the model around it.
            **keywords: further arguments of the layer inside, such as `mask`.
        """
        for value in (fixed, self.training, training):
            if value is not None:
                return self.layer(inputs, training=value, **keywords)
        return self.layer(inputs, **keywords)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, previous_mask)

    def get_config(self) -> dict[str, Any]:
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer, "training": self.training}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> FixedTraining:
        layer = keras.saving.deserialize_keras_object(config["layer"], custom_objects=custom_objects)
        return cls(layer, **{key: value for key, value in config.items() if key != "layer"})
