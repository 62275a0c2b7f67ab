"""From a checkpoint to a plan: normal form, naming, what each TCN is, repairs, and where every array goes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tcn_migrate.budget import DEFAULT_BYTES, source_bytes
from tcn_migrate.checkpoint import Checkpoint, Json, StoredArray
from tcn_migrate.config import Modern, normalize, repaired
from tcn_migrate.config.catalogue.activations import with_built_activations
from tcn_migrate.config.graph.entries import every_entry
from tcn_migrate.config.model_repairs.fixed_training import fix_training, refuse_fixed_training, refuse_random_replaced
from tcn_migrate.config.model_repairs.legal_names import legal_names, moved
from tcn_migrate.config.model_repairs.nested import repair_nested_models, with_backward_layers
from tcn_migrate.containers.h5 import parts_of
from tcn_migrate.errors import NamingError, SettingError, quoted
from tcn_migrate.limits import check_arrays, check_features
from tcn_migrate.moves import Grade, Move, Plan, Stored, copied
from tcn_migrate.naming import target
from tcn_migrate.naming.entries import Address, class_of, is_model, is_tcn, layers_of, name_of, spoken, unwrapped
from tcn_migrate.naming.locate import Located, locate
from tcn_migrate.naming.order import ordered
from tcn_migrate.tcn.lowering import Lowered, lower_tcns
from tcn_migrate.tcn.naming import LAYOUTS
from tcn_migrate.tcn.reading import (
    Surroundings,
    TCNReading,
    expected_shapes,
    folded_kernel,
    is_current,
    is_of_today,
    read_tcn,
    with_setting,
)
from tcn_migrate.tcn.rewriting import rewritten
from tcn_migrate.tcn.settings import read_settings
from tcn_migrate.training import Carried, carry

SETTINGS_OF_A_TCN = frozenset(("nb_filters", "kernel_size", "nb_stacks", "dilations"))
"""A class that is derived from TCN and stores these has its variables, too."""


@dataclass(frozen=True)
class Choices:
    """What the user decided beforehand.

    Attributes:
        target: "layer" or "plain".
        last_step: files of which nothing tells whether 2.9.1 wrote them are of 2.9.1.
        custom_classes: classes that the user supplies.
        tcn_classes: those of them that are derived from TCN.
        drop_optimizer: the optimizer, its state, the loss and the metrics are left out.
        max_bytes: how many bytes of arrays may be read.
    """

    target: str = "layer"
    last_step: bool = False
    custom_classes: frozenset[str] = frozenset()
    tcn_classes: frozenset[str] = frozenset()
    drop_optimizer: bool = False
    max_bytes: int = DEFAULT_BYTES


def make_plan(checkpoint: Checkpoint, choices: Choices) -> Plan:
    """Decides everything about one migration; nothing is read but headers.

    Raises:
        MigrationError: the file cannot be migrated, and why.
    """
    version = keras_version(checkpoint)
    stored = normalize(checkpoint.config, keras_version=version, custom_classes=choices.custom_classes)
    readings: dict[Address, TCNReading] = {}

    def read_tcn_at(address: Address, entry: Json, place: Any) -> Mapping[Address, StoredArray]:
        name = f"layer {quoted(address[0]) if len(address) == 1 else spoken(address)}"
        settings = read_settings(entry.get("config") or {}, name)
        arrays = LAYOUTS[checkpoint.layout](place, settings.blocks)
        around = surroundings(checkpoint, stored, address, version, choices)
        reading = read_tcn(address, settings, arrays, around)
        if is_tcn(entry):
            readings[address] = reading
        else:
            check_derived(reading, class_of(entry))
        return reading.found

    def derived(entry: Json) -> bool:
        return class_of(entry) in choices.tcn_classes and (entry.get("config") or {}).keys() >= SETTINGS_OF_A_TCN

    located = locate(stored, checkpoint, read_tcn_at, choices.custom_classes, derived)
    if located.missing:
        refuse_missing(checkpoint, located, readings)
    old = Stored(stored, located.arrays, dict(readings), version)
    if major(version) < 3:
        refuse_random_replaced(stored)
        masked = makes_masks(stored)
        readings = {a: keras2_meaning(r, masked) for a, r in readings.items()}
    modern = repaired(
        stored,
        keras_2=major(version) < 3,
        keras_version=version,
        custom_classes=choices.custom_classes,
        passes=lambda entry: _passes(readings, entry),
        still_passes=choices.target == "layer",
    )
    shapes = {address: array.shape for address, array in located.arrays.items()}
    modern = replace(modern, config=with_built_activations(modern.config, (), shapes))
    if choices.target == "plain":
        refuse_fixed_training(modern.config)
        config, lowered = lower_tcns(modern.config, readings, keras=major(version))
        config, _ = repair_nested_models(config)
    else:
        config, lowered = rewrite_tcns(modern.config, readings), Lowered()
    if major(version) < 3:
        config, modern = fix_calls(config, modern, lowered, located, choices.target, version)
    config = with_backward_layers(ordered(config))
    warnings = [*modern.warnings, *(w for r in readings.values() for w in r.warnings)]
    if "architecture_beside" in checkpoint.hints:
        beside = quoted(checkpoint.hints["architecture_beside"])
        proof = ", in which every array has its place" if checkpoint.hints.get("architecture_proven") else ""
        warnings.append(f"the file holds weights alone; the architecture was taken from {beside} beside it{proof}")
    if "architecture_pairs" in checkpoint.hints:
        pairs = checkpoint.hints["architecture_pairs"].items()
        named = ", ".join(f"{quoted(own)} is {quoted(stored)} in the file" for own, stored in pairs)
        warnings.append(f"the architecture's layers have other names and were paired in their order: {named}")
    check_features(stored, located.arrays, {a: r.input_width for a, r in readings.items()})
    custom = target.custom_layers(config, choices.custom_classes, derived)
    moves, missing = make_moves(config, located, readings, modern, lowered, custom)
    paths = target.layer_paths(config)
    config, renamed = legal_names(config)
    places = {
        address: moved(lowered.places.get(address, address), renamed)
        for address in (*lowered.places, *(move.address for move in moves), *readings)
        if address in lowered.places or moved(address, renamed) != address
    }
    carried = carry(checkpoint, stored, config, readings, moves, places, version)
    training = Carried() if choices.drop_optimizer else carried
    check_arrays(
        (array for move in (*moves, *training.moves) for array in move.sources),
        source_bytes(Path(checkpoint.origin.path)),
        choices.max_bytes,
    )
    slots = {array.name for move in training.moves for array in move.sources}
    ignored = account(checkpoint, located, readings, lowered)
    return Plan(
        origin=replace(checkpoint.origin, keras_version=version),
        target=choices.target,
        config=config,
        moves=tuple(moves),
        missing=missing,
        ignored={name: reason for name, reason in ignored.items() if name not in slots},
        repairs=tuple(modern.repairs),
        tcns=readings,
        warnings=tuple(dict.fromkeys((*warnings, *training.warnings))),
        tcn_paths={address: paths[lowered.places.get(address, address)] for address in readings},
        compile_config=training.compile_config,
        places=places,
        optimizer=training.moves,
        loads_already=not carried.warnings and loads_already(checkpoint, stored, located, readings, modern),
        stored=old,
    )


def fix_calls(
    config: Json, modern: Modern, lowered: Lowered, located: Located, target: str, version: str
) -> tuple[Json, Modern]:
    """The config without `training` arguments, and with what was done for it; `lowered` learns what moved.

    Args:
        config: the new one, in normal form.
        modern: what was done before.
        lowered: where variables lie in the new config. It is changed.
        located: the arrays, by their address in the stored config.
        target: "layer" or "plain".
        version: the release of Keras that wrote the file.
    """
    stored = {lowered.places.get(address, address): address for address in located.arrays}

    def channels(address: Address) -> int | None:
        array = located.arrays.get(stored.get(address, address))
        return array.shape[0] if array is not None and len(array.shape) == 1 else None

    # A TCN in a TimeDistributed is lowered to one model under the TimeDistributed's address.
    by_steps = {new for old, new in lowered.places.items() if old == (*new, "layer")}
    fixed = fix_training(config, wrap=target == "layer", keras_version=version, channels=channels, by_steps=by_steps)
    config = repair_nested_models(fixed.config)[0] if target == "plain" else fixed.config
    lowered.places |= {stored[old]: new for old, new in fixed.places.items()}
    lowered.unused |= {stored[old] for old in fixed.idle if old in stored}
    done, warnings = (*modern.repairs, *fixed.repairs), (*modern.warnings, *fixed.warnings)
    return config, replace(modern, repairs=done, warnings=warnings)


def loads_already(
    checkpoint: Checkpoint, model: Json, located: Located, readings: Mapping[Address, TCNReading], modern: Modern
) -> bool:
    """Whether an unmodified keras-tcn 3.5.5 or later loads the file itself, as far as it tells.

    Then it is a `.keras` file of Keras 3 whose TCNs have the settings that these releases take, in which nothing is to
    be repaired, no class is this package's own, and every array lies where Keras looks for it.
    """
    if checkpoint.origin.container != "keras zip" or checkpoint.layout != "store" or modern.repairs:
        return False
    if any(unwrapped(entry)[1] for entry in every_entry(model)):
        return False
    if any(not is_of_today(reading) for reading in readings.values()):
        return False
    places = target.paths(model)
    return all(places.get(address) == array.name for address, array in located.arrays.items())


def check_derived(reading: TCNReading, class_name: str) -> None:
    """What a class of the user's adds to a TCN is theirs; the TCN in it has to be the one that they derive from today.

    Raises:
        MigrationError: it was another one, or a variable of it is not in the file.
    """
    hint = "Put a TCN and a layer of your own in its place in the model, and train again"
    if not is_current(reading) or reading.settings.weight_norm:
        raise SettingError(
            f"is of your class {quoted(class_name)}, derived from a TCN that computed something else than today's",
            address=f"layer {spoken(reading.address)}",
            found=f"keras-tcn {reading.generation.releases}{', weight norm' if reading.settings.weight_norm else ''}",
            hint=hint,
        )
    if reading.missing:
        raise NamingError(
            "norms of a layer of a class of yours are not in the file", address=spoken(reading.address), hint=hint
        )


def keras_version(checkpoint: Checkpoint) -> str:
    """The release of Keras that wrote a file; where the file does not say, what its config looks like."""
    config = checkpoint.config
    for said in (checkpoint.origin.keras_version, config.get("keras_version")):
        if isinstance(said, str) and re.match(r"\d+\.\d+", said):
            return said
    return "3" if "registered_name" in config and checkpoint.layout == "store" else "2"


def major(version: str) -> int:
    """The major version: of `2.3.0-tf` it is 2."""
    return int(version.split(".")[0])


def surroundings(checkpoint: Checkpoint, model: Json, address: Address, version: str, choices: Choices) -> Surroundings:
    """What the file says about one TCN outside of its own config."""
    closures = checkpoint.hints.get("last_step_closures") or {}
    return Surroundings(
        keras=major(version),
        length_known=length_known(model, address),
        step_in_closure=closures[address] is not None if address in closures else None,
        last_step=choices.last_step,
    )


def length_known(model: Json, address: Address) -> bool | None:
    """Whether the inputs of the model around a TCN have a fixed number of time steps; None if they say nothing."""
    for name in address[:-1]:
        inner = next((e for e in layers_of(model) if name_of(e) == name), None) if is_model(model) else None
        if inner is None or not is_model(inner):
            return None
        model = inner
    shapes = [
        entry["config"].get("batch_shape") or entry["config"].get("batch_input_shape")
        for entry in layers_of(model)
        if entry.get("class_name") == "InputLayer"
    ]
    known = [shape[1] is not None for shape in shapes if isinstance(shape, list | tuple) and len(shape) > 1]
    return known[0] if len(set(known)) == 1 else None


def keras2_meaning(reading: TCNReading, masked: bool) -> TCNReading:
    """What a TCN's settings mean in Keras 2, said in settings of Keras 3.

    Its hard sigmoid is another function. And it passes a mask on in one configuration only: the whole sequence without
    skip connections, and an identity as the first block's shortcut (seen on predictions of 3.4.0 to 3.5.4).

    Args:
        masked: there is a layer in the model that makes masks.
    """
    settings = reading.settings
    if settings.activation == "hard_sigmoid":
        reading = with_setting(reading, activation="keras2_hard_sigmoid")
    first_filters = settings.filters[0]
    identity = reading.input_width == first_filters and not reading.generation.first_convolution
    passes = masked and settings.return_sequences and not settings.use_skip_connections and identity
    return with_setting(reading, pass_mask=True) if passes else reading


def makes_masks(entry: Json) -> bool:
    """Whether a layer of a model, at any depth, makes a mask."""
    config = entry.get("config")
    if not isinstance(config, dict):
        return False
    if entry.get("class_name") == "Masking" or config.get("mask_zero") is True:
        return True
    inner = [*config.get("layers", ()), *(config.get(key) for key in ("layer", "backward_layer"))]
    return any(makes_masks(layer) for layer in inner if isinstance(layer, dict))


def _passes(readings: Mapping[Address, TCNReading], entry: Json) -> bool:
    """Whether the TCN of an entry passes a mask on; entries inside wrappers are known by their settings' name."""
    return any(r.settings.pass_mask for a, r in readings.items() if name_of(entry) in (a[-1], r.settings.name))


def rewrite_tcns(model: Json, readings: Mapping[Address, TCNReading], address: Address = ()) -> Json:
    """The config with every TCN's entry as the migrated file has it."""

    def entry_at(entry: Json, here: Address) -> Json:
        if is_tcn(entry) and here in readings:
            return rewritten(entry, readings[here])
        if is_model(entry):
            return rewrite_tcns(entry, readings, here)
        inside, fixed = unwrapped(entry)
        if fixed:
            return {**entry, "config": {**entry["config"], "layer": entry_at(inside, here)}}
        config = dict(entry.get("config") or {})
        for key in ("layer", "backward_layer"):
            inner = config.get(key)
            if isinstance(inner, dict) and "class_name" in inner:
                forward = key == "layer" and entry.get("class_name") == "Bidirectional"
                role = "forward_layer" if forward else key
                config[key] = entry_at(inner, (*here, role))
        return {**entry, "config": config}

    layers = [entry_at(entry, (*address, name_of(entry))) for entry in layers_of(model)]
    return {**model, "config": {**model["config"], "layers": layers}}


def make_moves(
    config: Json,
    located: Located,
    readings: Mapping[Address, TCNReading],
    modern: Modern,
    lowered: Lowered,
    custom: Mapping[Address, target.CustomLayer],
) -> tuple[list[Move], dict[Address, tuple[str, tuple[int, ...]]]]:
    """A move for every variable of the new config, in the order of the old one; and what has no array."""
    places = target.paths(config)
    tcn_variables: dict[Address, tuple[int, ...]] = {}
    for address, r in readings.items():
        shapes = expected_shapes(r.settings, r.generation, r.norm, r.input_width, folded=True, steps=r.steps)
        tcn_variables |= {(*address, *below): shape for below, shape in shapes.items()}

    moves: list[Move] = []
    for address, array in located.arrays.items():
        if any(address[: len(a)] == a for a in readings) or address in lowered.unused:
            continue
        place = places.get(lowered.places.get(address, address))
        if place is None:
            layer = next((a for a in custom if address[: len(a)] == a), None)
            if layer is None:
                raise NamingError("has no place in the migrated model", address=spoken(address))
            place = custom[layer].place(address[len(layer) :])
        transform = modern.transforms.get(address)
        if transform is None:
            moves.append(copied(address, place, array))
        else:
            grade: Grade = "reordered" if transform.reorders else "rescaled"
            moves.append(Move(address, place, transform.shape(array.shape), (array,), grade, transform.apply))
    missing: dict[Address, tuple[str, tuple[int, ...]]] = {}
    for address, shape in tcn_variables.items():
        if address in lowered.idle or address in lowered.unused:
            continue
        place = places[lowered.places.get(address, address)]
        sources, grade, make = _tcn_sources(located.arrays, address)
        if not sources:
            missing[address] = (place, shape)
        else:
            moves.append(Move(address, place, shape, sources, grade, make))
    held = set(lowered.places.values())
    wanted = {a for a in places if a not in held and not any(a[: len(r)] == r for r in readings)}
    left = [a for a in wanted if a not in located.arrays]
    if left:
        raise NamingError("has no array in the file", address=spoken(min(left)))
    return moves, missing


def _tcn_sources(arrays: Mapping[Address, StoredArray], address: Address) -> tuple[tuple[StoredArray, ...], Grade, Any]:
    if address in arrays:
        return (arrays[address],), "copied", lambda values: values
    v, g = arrays.get((*address[:-1], "v")), arrays.get((*address[:-1], "g"))
    if address[-1] == "kernel" and v is not None and g is not None:
        return (v, g), "folded", folded_kernel
    return (), "copied", None


def refuse_missing(checkpoint: Checkpoint, located: Located, readings: Mapping[Address, TCNReading]) -> None:
    """Only a TCN's norms can be recovered; any other variable that is not there ends the migration."""
    names = ", ".join(spoken(address) for address in located.missing[:5])
    more = len(located.missing) - 5
    ignored, unclaimed = accounted(checkpoint, located, readings, Lowered())
    unclaimed += [name for name, reason in ignored.items() if reason == _OF_NO_LAYER]
    listed = ", ".join(quoted(name) for name in unclaimed[:3]) + (", ..." if len(unclaimed) > 3 else "")
    which = f"{names}{f' and {more} more' if more > 0 else ''}"
    if unclaimed:
        raise NamingError(
            f"{len(located.missing)} variables were not found: {which}; {len(unclaimed)} arrays in the file belong to "
            f"no variable: {listed}",
            hint="The variables may be in the file under these names. Please report it, with the file if you may",
        )
    raise NamingError(
        f"{len(located.missing)} variables are not in the file: {which}",
        hint="No other array in the file could be one of them. Look for an older copy of the file",
    )


_OF_NO_USE = (
    (re.compile(r"^optimizer_weights/|(^|/)optimizer/|\.OPTIMIZER_SLOT|^(Adam|SGD|RMSprop|training)/"), "optimizer"),
    (re.compile(r"(^|/)(metrics?|keras_api/metrics|compile_metrics|loss_tracker|_metrics)/"), "a metric's state"),
    (re.compile(r"(^|/)top_level_model_weights/"), "metrics and losses of the model, no layer's"),
    (re.compile(r"seed_generator|StateVar|_rng|random_generator|_generator/"), "state of a random generator"),
    (re.compile(r"save_counter|(^|/)_?(step|epoch|global_step)/|^iterations?$"), "a counter of training"),
    (re.compile(r"data_dep_init|_naked_clone_layer"), "weight norm's copy for the first call"),
)
_OF_NO_LAYER = "not a variable of a layer in the config"


def account(
    checkpoint: Checkpoint, located: Located, readings: Mapping[Address, TCNReading], lowered: Lowered
) -> dict[str, str]:
    """Every array that no address claims, with the reason why it is not needed.

    Raises:
        NamingError: an array of which nobody knows what it is for.
    """
    ignored, unclaimed = accounted(checkpoint, located, readings, lowered)
    if unclaimed:
        raise NamingError(
            f"the array {quoted(unclaimed[0])} is in the file, but the config has no place for it",
            found=checkpoint.arrays[unclaimed[0]].shape,
            hint="The config and the weights are of different models, or the layer is of a kind that is not known",
        )
    return ignored


def accounted(
    checkpoint: Checkpoint, located: Located, readings: Mapping[Address, TCNReading], lowered: Lowered
) -> tuple[dict[str, str], list[str]]:
    """The arrays that no address claims: those that are not needed, with the reason, and those of unknown use."""
    claimed = {array.name for array in located.arrays.values()}
    ignored = {
        located.arrays[address].name: "the last shortcut under skip connections, on which no output depends"
        for address in lowered.idle
        if address in located.arrays
    }
    ignored |= {
        located.arrays[address].name: "a statistic of a batch norm that is always called with training=True"
        for address in lowered.unused
    }
    for reading in readings.values():
        ignored |= reading.ignored
    unclaimed = []
    for name in checkpoint.arrays:
        if name in claimed or name in ignored:
            continue
        path = "/".join(parts_of(name)) if checkpoint.layout == "store" else name
        reason = next((reason for pattern, reason in _OF_NO_USE if pattern.search(path)), None)
        if reason is None and checkpoint.layout in ("graph", "saver"):
            reason = _OF_NO_LAYER
        if reason is None:
            unclaimed.append(name)
        else:
            ignored[name] = reason
    return ignored, unclaimed
