"""What one stored TCN is: its settings and its arrays, read together.

The config alone does not say it. The generation follows from which settings are there and which arrays; the norm's kind
from the arrays, since the config lies; and some arrays have to be folded before they are weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tcn_migrate.checkpoint import StoredArray, is_floating
from tcn_migrate.errors import DecisionNeeded, NamingError, SettingError, quoted
from tcn_migrate.naming.entries import Address, spoken
from tcn_migrate.tcn.activations import ACTIVATIONS
from tcn_migrate.tcn.generations import CURRENT, GENERATIONS, Generation, has_matching_convolution
from tcn_migrate.tcn.naming import NORM_VARIABLES, PLACES, SLOPES, TCNArrays
from tcn_migrate.tcn.settings import KNOWN, Norm, TCNSettings

LARGEST_PADDING = 1 << 24
"""Steps times features that one convolution may pad: eight dilations of 1024 with 1024 filters and kernel size 3."""


@dataclass(frozen=True)
class Surroundings:
    """What the file says outside of the layer.

    Attributes:
        keras: Keras's major version, 2 or 3.
        length_known: the number of time steps stands in the config; None if nobody can tell.
        step_in_closure: for a SavedModel, whether the layer's own last-step Lambda closes over the step's number;
            None where there is no such Lambda to look at. 2.9.1 takes `x[:, -1, :]` and closes over nothing.
        last_step: the user says that this file was written by 2.9.1.
    """

    keras: int
    length_known: bool | None = None
    step_in_closure: bool | None = None
    last_step: bool = False


@dataclass(frozen=True)
class TCNReading:
    """One TCN, understood.

    Attributes:
        address: of the layer.
        settings: as stored.
        generation: which function they mean.
        norm: the kind of norm that the arrays hold.
        input_width: features that enter it.
        steps: time steps of the input, if a PReLU has slopes for each; else None.
        expected: the shape of every variable that it must have, by address below the layer. Under weight norm a
            kernel is made of `g` and `v`.
        found: what there is of them.
        missing: addresses below the layer whose array is not there; only norms can be missing.
        session_numbered: its norms lie under names that were counted through the session that wrote the file, where
            no other session looks for them.
        ignored: arrays of the layer that are not used, with the reason.
        warnings: what the user should know.
    """

    address: Address
    settings: TCNSettings
    generation: Generation
    norm: Norm | None
    input_width: int
    steps: int | None
    expected: Mapping[Address, tuple[int, ...]]
    found: Mapping[Address, StoredArray]
    missing: tuple[Address, ...]
    session_numbered: bool
    ignored: Mapping[str, str]
    warnings: tuple[str, ...]


def read_tcn(address: Address, settings: TCNSettings, found: TCNArrays, around: Surroundings) -> TCNReading:
    """Puts a TCN's settings and arrays together.

    Raises:
        NamingError: an array that must be there is not, or has another shape; or one is there that must not.
        SettingError: a config that no release could compute.
    """
    name = spoken(address)
    warnings: list[str] = []
    if "use_weight_norm" not in settings.keys and any(place[-1] == "v" for place in found.arrays):
        # The config is of a model of today's keras-tcn, which has no weight norm; it was built for these weights.
        settings = replace(settings, weight_norm=True)
    generation = tell_generation(name, settings, found, around, warnings)
    norm = tell_norm(name, settings, found, generation, warnings)
    odd_settings = sorted(settings.keys - KNOWN)
    if odd_settings:
        warnings.append(
            f"{name}: no release of keras-tcn wrote {', '.join(quoted(key, 30) for key in odd_settings[:5])}, so the "
            "layer is of an edited copy; what it changes is not in the file, and keras-tcn's own function is taken"
        )
    arrays = dict(found.arrays)
    _check_headers(name, arrays)
    _place_single_norms(name, found, arrays)
    first = ("main_conv1D", "kernel") if generation.first_convolution else ("residual_block_0", "conv1D_0", "kernel")
    stored = arrays.get(first) or arrays.get((*first[:-1], "v"))
    if stored is None or len(stored.shape) != 3:
        raise NamingError(
            "was not found in the file" if stored is None else "is no convolution's kernel",
            address=f"{name} / {spoken(first)}",
            expected="an array (kernel size, features, filters)",
            found=None if stored is None else stored.shape,
            hint="Only norms can be recovered. Look for an older copy of the file",
        )
    width = stored.shape[1]
    steps = steps_of_slopes(settings, arrays)
    expected = expected_shapes(settings, generation, norm, width, folded=False, steps=steps)
    missing: list[Address] = []
    for place, shape in expected.items():
        array = arrays.get(place)
        if array is None:
            if place[-2].startswith("norm_"):
                missing.append(place)
                continue
            raise NamingError(
                "was not found in the file",
                address=f"{name} / {spoken(place)}",
                expected=shape,
                hint="Only norms can be recovered. Look for an older copy of the file",
            )
        if array.shape != shape:
            raise NamingError(
                f"has another shape than the config asks for with kernel_size {settings.kernel_size} and "
                f"nb_filters {quoted(settings.nb_filters, 40)[1:-1]}",
                address=f"{name} / {spoken(place)}",
                expected=shape,
                found=array.shape,
            )
    _check_padding(name, settings, width)
    odd = [place for place in arrays if place not in expected]
    if odd:
        raise NamingError(
            "is in the file, but the config has no place for it",
            address=f"{name} / {spoken(odd[0])}",
            found=arrays[odd[0]].shape,
        )
    _check_initialized(name, settings, arrays)
    return TCNReading(
        address=address,
        settings=settings,
        generation=generation,
        norm=norm,
        input_width=width,
        steps=steps,
        expected=expected,
        found=arrays,
        missing=tuple(missing),
        session_numbered=bool(found.numbered),
        ignored=found.ignored,
        warnings=tuple(warnings),
    )


def steps_of_slopes(settings: TCNSettings, arrays: Mapping[Address, StoredArray]) -> int | None:
    """The time steps of the input, if an activation is a PReLU that has a slope for each."""
    shared = settings.activation_settings.get("shared_axes") or ()
    if settings.activation != "PReLU" or 1 in shared:
        return None
    return next((array.shape[0] for place, array in arrays.items() if place[-1] == SLOPES[-1] and array.shape), None)


def _check_headers(name: str, arrays: Mapping[Address, StoredArray]) -> None:
    """Refuses an array that cannot be trusted, or holds no weights, before its shape is looked at."""
    for place, array in arrays.items():
        where = f"{name} / {spoken(place)} ({quoted(array.name)})"
        if array.flaw:
            raise NamingError(array.flaw, address=where)
        if not is_floating(array) and place[-1] != "initialized":
            raise NamingError("holds no weights", address=where, expected="floating-point numbers", found=array.dtype)


def _check_padding(name: str, settings: TCNSettings, width: int) -> None:
    """Refuses a convolution whose padding alone would exhaust the machine."""
    for rate in settings.dilations:
        padded = (settings.kernel_size - 1) * rate * max(width, *settings.filters)
        if padded > LARGEST_PADDING:
            raise SettingError(
                f"a dilation of {rate} with kernel_size {settings.kernel_size} pads more than any machine can hold",
                address=name,
                expected=f"at most {LARGEST_PADDING} numbers a sample",
                found=padded,
            )


def tell_generation(
    name: str, settings: TCNSettings, found: TCNArrays, around: Surroundings, warnings: list[str]
) -> Generation:
    """The row of `GENERATIONS` that a stored layer computes; what cannot be told is warned of.

    Every release wrote all of its settings, so a missing one means an earlier release and not a default.
    """
    if settings.generation is not None:  # a file of this package's own
        if settings.generation not in GENERATIONS:
            raise SettingError("is of an unknown generation", address=name, found=repr(settings.generation)[:20])
        return GENERATIONS[settings.generation]
    first_convolution = ("main_conv1D", "kernel") in found.arrays
    if around.keras >= 3 or "use_weight_norm" in settings.keys or "go_backwards" in settings.keys:
        if "use_weight_norm" not in settings.keys and "go_backwards" not in settings.keys:
            warnings.append(
                f"{name}: the config lacks settings that every release of keras-tcn for Keras 3 writes, so it is an "
                "edited copy of the library; what such a copy computes is not in the file, and keras-tcn's own "
                "function is taken"
            )
        row = "F" if "go_backwards" in settings.keys or around.keras >= 3 else "E"
        return GENERATIONS[row]
    if not first_convolution:
        return GENERATIONS["D"]
    if "use_layer_norm" not in settings.keys:
        return GENERATIONS["A"]
    if settings.padding == "causal" or settings.return_sequences:
        return GENERATIONS["C"]  # B computes the same
    if around.length_known is False:
        return GENERATIONS["B"]  # 2.9.2 to 3.1.0 cannot be built so
    if "norm scopes" in found.style or "layers" in found.style:
        return GENERATIONS["C"]
    if around.step_in_closure is not None:
        return GENERATIONS["C" if around.step_in_closure else "B"]
    if around.last_step:
        return GENERATIONS["B"]
    warnings.append(
        f"{name}: keras-tcn 2.9.1 returned the last step here and 2.9.2 to 3.0.2 the middle one, and nothing in the "
        "file tells which wrote it. The middle step is taken; if the model was trained with 2.9.1, give --last-step"
    )
    return GENERATIONS["C"]


def tell_norm(
    name: str, settings: TCNSettings, found: TCNArrays, generation: Generation, warnings: list[str]
) -> Norm | None:
    """The kind of norm by the arrays; by the config only where no array of a norm is left."""
    variables = {place[-1] for place in found.arrays if len(place) == 3 and place[1].startswith("norm_")}
    declared = settings.declared_norms
    if variables & {"moving_mean", "moving_variance"}:
        kind: Norm | None = "batch"
    elif not variables:
        # Both flags: up to 3.1.2 batch norm wins, later releases refuse.
        kind = declared[0] if declared else None
    elif declared:
        kind = declared[0]
    else:
        kind = "layer"  # 2.9.0 leaves use_layer_norm out of its config
    if (kind == "batch" and declared == ("layer",)) or (kind == "layer" and "batch" in declared and variables):
        warnings.append(f"{name}: the config says {' and '.join(declared)} norm, the arrays are of {kind} norm")
    if kind is not None and kind not in declared:
        if "use_layer_norm" in settings.keys or kind == "batch":
            raise NamingError(
                f"holds arrays of {kind} norm, which the config does not ask for", address=name, found=sorted(variables)
            )
        warnings.append(f"{name}: the arrays are of layer norm, which keras-tcn 2.9.0 leaves out of its config")
    return kind


def expected_shapes(
    settings: TCNSettings,
    generation: Generation,
    norm: Norm | None,
    width: int,
    *,
    folded: bool,
    steps: int | None = None,
) -> dict[Address, tuple[int, ...]]:
    """The shape of every variable by its address below the layer, in the order of computation.

    Args:
        width: features of the input.
        steps: of the input, where the slopes of a PReLU are not shared by all.
        folded: with plain kernels also where the file has weight norm.
    """
    shapes: dict[Address, tuple[int, ...]] = {}
    steps = steps or 1
    if settings.activation == "PReLU" and not settings.own_slopes:
        # A part of the layer from its start, so before the convolutions.
        shared = settings.activation_settings["shared_axes"] or ()
        shapes[SLOPES] = (1 if 1 in shared else steps, 1 if 2 in shared else settings.filters[0])
    if generation.first_convolution:
        shapes["main_conv1D", "kernel"] = (1, width, settings.filters[0])
        shapes["main_conv1D", "bias"] = (settings.filters[0],)
        width = settings.filters[0]
    for k, filters in enumerate(settings.filters):
        block = f"residual_block_{k}"
        for slot, entering in ((0, width), (1, filters)):
            kernel = (settings.kernel_size, entering, filters)
            if settings.weight_norm and not folded:
                shapes[block, f"conv1D_{slot}", "g"] = (filters,)
                shapes[block, f"conv1D_{slot}", "v"] = kernel
                shapes[block, f"conv1D_{slot}", "initialized"] = ()
            else:
                shapes[block, f"conv1D_{slot}", "kernel"] = kernel
            shapes[block, f"conv1D_{slot}", "bias"] = (filters,)
            for variable in NORM_VARIABLES[norm] if norm else ():
                shapes[block, f"norm_{slot}", variable] = (filters,)
            if settings.own_slopes and generation.inside is None:
                shapes[block, PLACES[slot], SLOPES[-1]] = (steps, filters)
        if settings.own_slopes and generation.before_sum:
            shapes[block, PLACES[2], SLOPES[-1]] = (steps, filters)
        skips = settings.use_skip_connections
        if has_matching_convolution(generation, k, settings.blocks, skips, width, filters):
            shapes[block, "matching_conv1D", "kernel"] = (1, width, filters)
            shapes[block, "matching_conv1D", "bias"] = (filters,)
        if settings.own_slopes:
            shapes[block, PLACES[3], SLOPES[-1]] = (steps, filters)
        width = filters
    return shapes


def _place_single_norms(name: str, found: TCNArrays, arrays: dict[Address, StoredArray]) -> None:
    """Finds the slot of a norm that stands alone in its block under a session's number.

    Within one build the numbers run on: two a block. So a complete block tells where the count began.

    Raises:
        NamingError: no block is complete, so both readings are possible.
    """
    alone = {k: numbers[0] for k, numbers in found.numbered.items() if len(numbers) == 1}
    starts = {numbers[0] - 2 * k for k, numbers in found.numbered.items() if len(numbers) == 2}
    for k, number in alone.items():
        slots = {number - 2 * k - start for start in starts}
        if len(slots) != 1 or not slots <= {0, 1}:
            raise NamingError(
                f"holds one norm of two, numbered {number}, and nothing tells whether it is the first or the second",
                address=f"{name} / residual_block_{k}",
                expected="two norms",
            )
        if slots == {1}:
            for variable in NORM_VARIABLES["batch"]:
                array = arrays.pop((f"residual_block_{k}", "norm_0", variable), None)
                if array is not None:
                    arrays[f"residual_block_{k}", "norm_1", variable] = array


def _check_initialized(name: str, settings: TCNSettings, arrays: Mapping[Address, StoredArray]) -> None:
    """Weight norm that was saved before its first call computes nothing that a file alone can give.

    The first batch would have set g and bias from its own statistics (tensorflow_addons 0.13 to 0.23,
    WeightNormalization with data_init).
    """
    for place, array in arrays.items():
        if place[-1] == "initialized" and not bool(array.read()):
            raise DecisionNeeded(
                "weight norm was never initialized: the model was saved before its first call, and its first batch "
                "would have set g and bias",
                address=f"{name} / {spoken(place)}",
                hint="Load it in the old environment, call it once on a batch of the training data, and save it again",
            )


def folded_kernel(v: Any, g: Any) -> Any:
    """A plain kernel out of weight norm, in float32 as the library computes it.

    kernel = g v / sqrt(max(sum(v²), 1e-12)), the sum over all axes but the filters: tensorflow_addons 0.13 to 0.23,
    WeightNormalization with tf.nn.l2_normalize.

    Args:
        v: the direction, (kernel size, features, filters).
        g: the length, (filters,).
    """
    import numpy as np

    wide = v.astype(np.float64)
    length = np.sqrt(np.maximum((wide**2).sum(axis=(0, 1)), 1e-12))
    return (wide / length * g.astype(np.float64)).astype(v.dtype)


def is_current(reading: TCNReading) -> bool:
    """Whether today's keras-tcn computes what the file means, so that the migrated layer may bear its name.

    The rows before 3.2.1 do where the activation is relu, and nothing else differs: no first convolution.
    """
    row, settings = reading.generation, reading.settings
    same_function = row.name in ("E", "F") or (
        not row.first_convolution and settings.activation == "relu" and row.step == CURRENT.step
    )
    known = settings.activation in ACTIVATIONS and settings.activation != "keras2_hard_sigmoid"
    return same_function and not settings.pass_mask and known


def is_of_today(reading: TCNReading) -> bool:
    """Whether keras-tcn 3.5.5 to 3.5.7 take the settings, which no more include `use_weight_norm`; all is there."""
    keys = reading.settings.keys
    written_today = "go_backwards" in keys and "use_weight_norm" not in keys and not keys - KNOWN
    return written_today and is_current(reading) and not reading.missing


def with_setting(reading: TCNReading, **changes: Any) -> TCNReading:
    """The same TCN with other settings."""
    return replace(reading, settings=replace(reading.settings, **changes))
