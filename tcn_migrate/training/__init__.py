"""What training needs to go on from where it stopped: loss, metrics, the optimizer and its state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tcn_migrate.checkpoint import Checkpoint, Json
from tcn_migrate.moves import Move
from tcn_migrate.naming.entries import Address, layers_of, name_of
from tcn_migrate.tcn.reading import TCNReading
from tcn_migrate.training.compiling import compile_config
from tcn_migrate.training.slots import carry_slots


@dataclass(frozen=True)
class Carried:
    """The training configuration of the new file.

    Attributes:
        compile_config: as Keras 3 stores it, or None.
        moves: of the optimizer's variables.
        warnings: what was left out.
    """

    compile_config: Json | None = None
    moves: tuple[Move, ...] = ()
    warnings: tuple[str, ...] = ()


def carry(
    checkpoint: Checkpoint,
    old: Json,
    new: Json,
    readings: Mapping[Address, TCNReading],
    moves: Sequence[Move],
    places: Mapping[Address, Address],
    keras_version: str,
) -> Carried:
    """Brings over how a model was compiled, and the optimizer's state, as far as that is exact.

    Nothing here ends a migration: what cannot be brought over is left out with a warning.

    Args:
        checkpoint: the source.
        old: its config in normal form.
        new: the new config.
        readings: every TCN by its address.
        moves: of the model's variables.
        places: where variables of the old model lie in the new one, if not at their old address.
        keras_version: of the source.
    """
    if not checkpoint.training:
        return Carried()
    compiled = compile_config(checkpoint.training, keras_version=keras_version, outputs=outputs_of(new))
    if compiled is None:
        return Carried()
    slots, notice = carry_slots(compiled, checkpoint, old, new, readings, moves, places)
    notices = compiled.dropped if notice is None else (*compiled.dropped, notice)
    return Carried(compiled.config, slots, tuple(f"training: {sentence}" for sentence in notices))


def outputs_of(model: Json) -> tuple[str, ...]:
    """The names of a model's outputs: of the layers that give them, or as a dictionary names them."""
    config = model["config"]
    if "output_layers" not in config:
        layers = layers_of(model)
        return (name_of(layers[-1]),) if layers else ()

    def names(value: Any) -> Iterator[str]:
        if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
            yield value[0]
        elif isinstance(value, dict):
            yield from sorted(value)
        else:
            for part in value:
                yield from names(part)

    return tuple(names(config["output_layers"]))
