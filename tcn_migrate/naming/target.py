"""Where Keras 3 looks for each variable of a config: the paths of `model.weights.h5`.

The same for every release from 3.0.5 to 3.15.1: a model's layers under `layers`, each by its class in snake case with a
count in the order of the config, a layer's own variables at `vars/0`, `vars/1`, ..., parts under their attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue import classes
from tcn_migrate.naming import store
from tcn_migrate.naming.entries import Address, class_of, is_model, is_operation, is_tcn, layers_of, name_of, unwrapped
from tcn_migrate.tcn.naming import NORM_VARIABLES, PLACES, SLOPES


def paths(model: Json) -> dict[Address, str]:
    """The store's path of every variable that a config in normal form implies, by address.

    A TCN has more than its config tells (which shortcuts are convolutions depends on the input), so each variable that
    any TCN of these settings may have is listed.
    """
    return dict(_model((), model, ""))


@dataclass(frozen=True)
class CustomLayer:
    """A layer whose class only the user knows.

    Attributes:
        prefix: the store's path of the layer.
        inside: of a class derived from TCN, the paths of its variables below that.
    """

    prefix: str
    inside: Mapping[Address, str]

    def place(self, below: Address) -> str:
        """The path of one of its variables: where the old file has it, if the class says nothing."""
        return f"{self.prefix}/{self.inside.get(below) or '/'.join(below)}"


def custom_layers(
    model: Json, custom_classes: frozenset[str], derived: Callable[[Json], bool]
) -> dict[Address, CustomLayer]:
    """The layers whose class only the user knows.

    Args:
        derived: whether an entry is of a class derived from TCN.
    """
    found = {}
    for address, entry, prefix in _layers((), model, ""):
        if class_of(entry) in custom_classes:
            found[address] = CustomLayer(prefix, dict(tcn_paths(entry["config"])) if derived(entry) else {})
    return found


def layer_paths(model: Json) -> dict[Address, str]:
    """The store's path of every layer of a config in normal form, of layers inside layers too, by address."""
    return {address: path for address, _, path in _layers((), model, "")}


def _layers(address: Address, model: Json, prefix: str) -> Iterator[tuple[Address, Json, str]]:
    entries = layers_of(model)
    for entry, key in zip(entries, store.keys(entries), strict=True):
        if key is not None:
            inside, fixed = unwrapped(entry)
            path = f"{prefix}layers/{key}{'/layer' if fixed else ''}"
            yield from _with_parts((*address, name_of(entry)), inside, path)


def _with_parts(address: Address, entry: Json, path: str) -> Iterator[tuple[Address, Json, str]]:
    yield address, entry, path
    if is_model(entry):
        yield from _layers(address, entry, f"{path}/")
    elif not is_tcn(entry):
        for part in classes.parts(class_of(entry), entry.get("config") or {}):
            yield from _with_parts((*address, part.role), part.entry, f"{path}/{part.role}")


def _model(address: Address, model: Json, prefix: str) -> Iterator[tuple[Address, str]]:
    entries = layers_of(model)
    for entry, key in zip(entries, store.keys(entries), strict=True):
        if key is not None:
            yield from _layer((*address, name_of(entry)), entry, f"{prefix}layers/{key}")


def _layer(address: Address, entry: Json, prefix: str) -> Iterator[tuple[Address, str]]:
    entry, fixed = unwrapped(entry)
    prefix = f"{prefix}/layer" if fixed else prefix
    if is_operation(entry):
        return
    if is_model(entry):
        yield from _model(address, entry, f"{prefix}/")
        return
    config = entry.get("config") or {}
    if is_tcn(entry):
        for below, path in tcn_paths(config):
            yield (*address, *below), f"{prefix}/{path}"
        return
    name = class_of(entry)
    for number, variable in enumerate(classes.variables(name, config)):
        yield (*address, variable.name), f"{prefix}/vars/{number}"
    for part in classes.parts(name, config):
        yield from _layer((*address, part.role), part.entry, f"{prefix}/{part.role}")


def tcn_paths(config: Json) -> Iterator[tuple[Address, str]]:
    """Where keras-tcn 3.5.7 and this package's layer keep a TCN's variables, below the layer."""
    norm = "batch" if config.get("use_batch_norm") else "layer" if config.get("use_layer_norm") else None
    yield SLOPES, f"{SLOPES[0]}/vars/0"
    yield from _convolution(("main_conv1D",))
    for k in range(int(config["nb_stacks"]) * len(config["dilations"])):
        block = f"residual_block_{k}"
        for part in ("conv1D_0", "conv1D_1", "matching_conv1D"):
            yield from _convolution((block, part))
        for place in PLACES:
            yield (block, place, SLOPES[-1]), f"{block}/{place}/vars/0"
        for slot in (0, 1) if norm else ():
            key = f"{norm}_norm_layers/{norm}_normalization{'_1' if slot else ''}"
            for number, variable in enumerate(NORM_VARIABLES[norm]) if norm else ():
                yield (block, f"norm_{slot}", variable), f"{block}/{key}/vars/{number}"


def _convolution(address: Address) -> Iterator[tuple[Address, str]]:
    for number, variable in enumerate(("kernel", "bias")):
        yield (*address, variable), f"{'/'.join(address)}/vars/{number}"
