"""The arrays of one TCN, in every layout that keras-tcn and Keras ever gave them.

A function for each layout takes the place where the layer's arrays are and returns them by address below the layer:
`("residual_block_0", "conv1D_0", "kernel")`, `("residual_block_0", "norm_1", "moving_mean")`,
`("residual_block_0", "matching_conv1D", "bias")`, `("main_conv1D", "kernel")`, for weight norm `g`, `v`, `initialized`
beside a convolution's `bias`, and for a PReLU `SLOPES`, or `("residual_block_0", "activation_1", "alpha")`. An array of
the layer that is not used is `ignored`, with the reason.

To add a layout: a function here, a line in `LAYOUTS`, and a fixture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tcn_migrate.checkpoint import Node, StoredArray
from tcn_migrate.errors import NamingError, quoted
from tcn_migrate.naming.entries import Address
from tcn_migrate.naming.names import Named

NORM_VARIABLES = {"batch": ("gamma", "beta", "moving_mean", "moving_variance"), "layer": ("gamma", "beta")}
SLOPES = ("activation", "alpha")
"""The address of the slopes of a PReLU that all activations of a TCN share."""
PLACES = ("activation_0", "activation_1", "branch_activation", "sum_activation")
"""A block's activations in the order of calls: behind each convolution, on the branch again, on the residual sum."""
_SCOPES = {"Act_Conv1D_0": 0, "Act_Conv1D_1": 1, "Act_Conv_Blocks": 2, "Act_Res_Block": 3}
"""Names of a block's activations from keras-tcn 3.5.0 on, by their place."""
_LISTED = ("activation", "activation_1", "activation_2")
"""A block's activations in the list of its layers, as Keras 2.15's weight store names them."""
_IDLE = "weight norm's copy for the first call, never used afterwards"
_NUMBERED_NORM = re.compile(r"(batch|layer)_normalization(?:_(\d+))?")


@dataclass
class TCNArrays:
    """What was found of one TCN.

    Attributes:
        arrays: by address below the layer.
        ignored: reasons by stored name.
        numbered: for norms that a session numbered, the numbers found in each block.
        style: what the names tell of the release: "norm scopes", "residual_layers" or "layers".
    """

    arrays: dict[Address, StoredArray] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    numbered: dict[int, list[int]] = field(default_factory=dict)
    style: set[str] = field(default_factory=set)

    def put(self, address: Address, array: StoredArray | None) -> None:
        if array is None:
            return
        if address in self.arrays:
            raise NamingError(
                f"two arrays could be it: {quoted(self.arrays[address].name)} and {quoted(array.name)}",
                address=" / ".join(address),
            )
        self.arrays[address] = array

    def put_slopes(self, slopes: Mapping[Address, StoredArray]) -> None:
        """The slopes of PReLUs by block and activation; one array in all of them, or alone, is one that they share."""
        if len({array.name for array in slopes.values()}) == 1:
            self.put(SLOPES, next(iter(slopes.values())))
            return
        for address, array in slopes.items():
            self.put((*address, SLOPES[-1]), array)


def _number(name: str) -> int:
    """The number at the end of a name; none counts as 0."""
    found = re.search(r"_(\d+)$", name)
    return int(found[1]) if found else 0


def _numbered_variables(place: Node | None) -> Mapping[str, StoredArray]:
    held = None if place is None else place.child("vars")
    return {} if held is None else held.arrays()


def _put_numbered(found: TCNArrays, address: Address, place: Node | None, names: Iterable[str]) -> None:
    arrays = _numbered_variables(place)
    for number, name in enumerate(names):
        found.put((*address, name), arrays.get(str(number)))


def from_store(place: Node | None, blocks: int) -> TCNArrays:
    """In Keras's weight store: `residual_block_<k>/conv1D_0/vars/0`.

    Keras 2.15 walks attributes from z to a, so that lists win: `residual_blocks/residual_block_1/layers/conv1d_1`.
    keras-tcn up to 3.5.2 keeps norms under their session's names, 3.5.3 (batch) and 3.5.4 (layer) under a list.
    """
    found = TCNArrays()
    if place is None:
        return found
    _put_numbered(found, ("main_conv1D",), place.child("main_conv1D"), ("kernel", "bias"))
    slopes: dict[Address, StoredArray] = {}
    for name in ("activation", "activation_name"):
        slopes |= {SLOPES[:-1]: array for array in _numbered_variables(place.child(name)).values()}
    listed = place.child("residual_blocks")
    for k in range(blocks):
        block, name = place.child(f"residual_block_{k}"), f"residual_block_{k}"
        if block is None and listed is not None:
            block = listed.child(f"residual_block_{k}" if k else "residual_block")
        if block is None:
            continue
        inner = block.child("layers") or block.child("residual_layers")
        if inner is not None and block.child("residual_layers"):
            found.style.add("residual_layers")
        # Keras 2.15 writes a shared activation where it meets it first, in the first block.
        activations = [*(inner.child(key) if inner else None for key in _LISTED), block.child("final_activation")]
        for activation, activated in zip(PLACES, activations, strict=True):
            holder = block.child(activation) or (activated.child("activation") if activated else None)
            for array in _numbered_variables(holder).values():
                slopes[name, activation] = array
        for slot in (0, 1):
            convolution = block.child(f"conv1D_{slot}")
            if convolution is None and inner is not None:
                convolution = inner.child("conv1d_1" if slot else "conv1d")
            _put_numbered(found, (name, f"conv1D_{slot}"), convolution, ("kernel", "bias"))
        _put_weight_norms(found, name, block, inner)
        _put_norms_of_store(found, k, block, inner)
        matching = block.child("matching_conv1D") or block.child("shape_match_conv")
        _put_numbered(found, (name, "matching_conv1D"), matching, ("kernel", "bias"))
    found.put_slopes(slopes)
    return found


def _put_weight_norms(found: TCNArrays, name: str, block: Node, inner: Node | None) -> None:
    wrappers = [
        (n, child)
        for holder in (block, inner)
        if holder is not None
        for n in holder.names()
        if re.fullmatch(r"weight_normalization(_\d+)?", n) and (child := holder.child(n)) is not None
    ]
    for slot, (_, wrapper) in enumerate(sorted(wrappers, key=lambda pair: _number(pair[0]))):
        _put_numbered(found, (name, f"conv1D_{slot}"), wrapper, ("g", "v", "initialized"))
        _put_numbered(found, (name, f"conv1D_{slot}"), wrapper.child("layer"), ("bias",))
        for array in _numbered_variables(wrapper.child("_naked_clone_layer")).values():
            found.ignored[array.name] = _IDLE


def _put_norms_of_store(found: TCNArrays, k: int, block: Node, inner: Node | None) -> None:
    name = f"residual_block_{k}"
    for holder in (block.child("batch_norm_layers"), block.child("layer_norm_layers"), inner):
        listed = _norms_in(holder)
        for number, kind, child in listed:
            # These names count within the list and not within a session, so a missing one leaves a gap.
            _expect_slot(number, name)
            _put_numbered(found, (name, f"norm_{number}"), child, NORM_VARIABLES[kind])
        if listed:
            return
    numbered = _norms_in(block)
    if numbered:
        found.numbered[k] = [number for number, _, _ in numbered]
    for slot, (_, kind, child) in enumerate(numbered):
        _expect_slot(slot, name)
        _put_numbered(found, (name, f"norm_{slot}"), child, NORM_VARIABLES[kind])


def _expect_slot(slot: int, block: str) -> None:
    if slot > 1:
        raise NamingError("more than two norms in a block; which belong to it cannot be told", address=block)


def _norms_in(holder: Node | None) -> list[tuple[int, str, Node]]:
    """Norms by the number in their name, as numbers: 9 comes before 10. A group without arrays is no norm."""
    norms = []
    for name in () if holder is None else holder.names():
        match = _NUMBERED_NORM.fullmatch(name)
        child = holder.child(name) if holder is not None and match else None
        if match and child is not None and _numbered_variables(child):
            norms.append((int(match[2] or 0), match[1], child))
    return sorted(norms, key=lambda norm: norm[:2])


def from_names(place: tuple[Named, ...], blocks: int) -> TCNArrays:
    """By variable names: `residual_block_0/conv1D_0/kernel`.

    2.9.0 to 3.0.1 give a block's norms and matching convolution no scope of their own (TensorFlow 1 then counts:
    `gamma`, `gamma_1`); from 3.0.2 on there are `norm_0`, `norm_1`; Keras 3 has the norms' session names.
    """
    found = TCNArrays()
    session_norms: dict[int, dict[str, list[Named]]] = {}
    slopes: list[Named] = []
    for named in place:
        scopes = named.scopes
        depth = next((i for i, s in enumerate(scopes) if re.fullmatch(r"residual_block_\d+", s)), None)
        if "data_dep_init" in scopes:
            found.ignored[named.array.name] = _IDLE
            continue
        if named.variable == "alpha":  # of a shared one the first activation's call gives the scopes
            slopes.append(named)
            continue
        if depth is None:
            if named.variable in ("kernel", "bias"):
                found.put(("main_conv1D", named.variable), named.array)
            continue
        block, rest = scopes[depth], scopes[depth + 1 :]
        scope = rest[0] if rest else ""
        variable, counted = re.sub(r"_\d+$", "", named.variable), _number(named.variable)
        if convolution := re.fullmatch(r"conv1D_([01])(_\d+)?", scope):
            found.put((block, f"conv1D_{convolution[1]}", named.variable), named.array)
        elif norm := re.fullmatch(r"norm_([01])(_\d+)?", scope):
            found.style.add("norm scopes")
            found.put((block, f"norm_{norm[1]}", named.variable), named.array)
        elif re.fullmatch(r"matching_conv1D(_\d+)?", scope) or (not scope and variable in ("kernel", "bias")):
            found.put((block, "matching_conv1D", variable), named.array)
        elif _NUMBERED_NORM.fullmatch(scope):
            session_norms.setdefault(_number(block), {}).setdefault(scope, []).append(named)
        elif not scope and variable in NORM_VARIABLES["batch"]:
            _expect_slot(counted, block)
            found.put((block, f"norm_{counted}", variable), named.array)
    for k, norms in session_norms.items():
        ordered = sorted(norms, key=_number)
        found.numbered[k] = [_number(name) for name in ordered]
        for slot, name in enumerate(ordered):
            _expect_slot(slot, f"residual_block_{k}")
            for named in norms[name]:
                found.put((f"residual_block_{k}", f"norm_{slot}", named.variable), named.array)
    _weight_norm_names(found)
    found.put_slopes(_slopes_by_scope(slopes))
    return found


def _slopes_by_scope(slopes: Iterable[Named]) -> dict[Address, StoredArray]:
    """The slopes of PReLUs by block and activation. Up to keras-tcn 3.4.4 a session numbers a block's activations."""
    found: dict[Address, StoredArray] = {}
    numbered: dict[str, list[tuple[int, Named]]] = {}
    for named in slopes:
        block = next((scope for scope in named.scopes if re.fullmatch(r"residual_block_\d+", scope)), "")
        place = next((_SCOPES[scope] for scope in named.scopes if scope in _SCOPES), None)
        if place is None:
            numbered.setdefault(block, []).append((_number(named.scopes[-1] if named.scopes else ""), named))
        else:
            found[block, PLACES[place]] = named.array
    for block, several in numbered.items():
        ordered = sorted(several, key=lambda pair: pair[0])
        found |= {(block, place): named.array for place, (_, named) in zip(PLACES, ordered, strict=False)}
    return found


def _weight_norm_names(found: TCNArrays) -> None:
    """Weight norm keeps its direction under the name `kernel`; beside `g` that is `v`."""
    for address in [a for a in found.arrays if a[-1] == "g"]:
        kernel = found.arrays.pop((*address[:-1], "kernel"), None)
        found.put((*address[:-1], "v"), kernel)


def from_graph(place: Node | None, blocks: int) -> TCNArrays:
    """By the edges of TensorFlow's object graph.

    A block lists its layers in the order of calls (`layers`, up to 2.9.3 `residual_layers`): a kernel makes a
    convolution, a gamma a norm, a g a weight norm. Variable names may be equal for two arrays; edges are not.
    """
    found = TCNArrays()
    if place is None:
        return found
    main = place.child("main_conv1D")
    for variable, array in ({} if main is None else main.arrays()).items():
        found.put(("main_conv1D", variable), array)
    # 3.4 keeps the configured activation as `activation`, 3.5 as `activation_name`.
    slopes: dict[Address, StoredArray] = {}
    shared = place.child("activation") or place.child("activation_name")
    if shared is not None and "alpha" in shared.arrays():
        slopes[SLOPES[:-1]] = shared.arrays()["alpha"]
    listed = place.child("residual_blocks")
    for k in range(blocks):
        name = f"residual_block_{k}"
        block = place.child(name) or (None if listed is None else listed.child(str(k)))
        if block is None:
            continue
        inner = block.child("layers")
        if inner is None:
            inner = block.child("residual_layers")
            found.style.add("residual_layers")
        elif block.child("residual_layers") is None:
            found.style.add("layers")
        convolutions = norms = activations = 0
        for step in sorted((n for n in ([] if inner is None else inner.names()) if n.isdecimal()), key=int):
            layer = inner.child(step) if inner is not None else None
            arrays = {} if layer is None else layer.arrays()
            if "g" in arrays and layer is not None:
                address = (name, f"conv1D_{convolutions}")
                for edge, variable in (("g", "g"), ("v", "v"), ("_initialized", "initialized")):
                    found.put((*address, variable), arrays.get(edge))
                wrapped = layer.child("layer")
                found.put((*address, "bias"), None if wrapped is None else wrapped.arrays().get("bias"))
                clone = layer.child("_naked_clone_layer")
                for array in ({} if clone is None else clone.arrays()).values():
                    found.ignored[array.name] = _IDLE
                convolutions += 1
            elif "kernel" in arrays:
                for variable in ("kernel", "bias"):
                    found.put((name, f"conv1D_{convolutions}", variable), arrays.get(variable))
                convolutions += 1
            elif set(arrays) & {"gamma", "beta", "moving_mean", "moving_variance"}:
                _expect_slot(norms, name)
                for variable in NORM_VARIABLES["batch"]:
                    found.put((name, f"norm_{norms}", variable), arrays.get(variable))
                norms += 1
            elif (alpha := _slope_of(layer)) is not None and activations < len(_LISTED):
                slopes[name, PLACES[activations]] = alpha
                activations += 1
        if (alpha := _slope_of(block.child("final_activation"))) is not None:
            slopes[name, PLACES[-1]] = alpha
        matching = block.child("shape_match_conv") or block.child("matching_conv1D")
        for variable, array in ({} if matching is None else matching.arrays()).items():
            found.put((name, "matching_conv1D", variable), array)
    found.put_slopes(slopes)
    return found


def _slope_of(activation: Node | None) -> StoredArray | None:
    """The slopes of an `Activation` whose function is a PReLU."""
    prelu = None if activation is None else activation.child("activation")
    return None if prelu is None else prelu.arrays().get("alpha")


LAYOUTS: dict[str, Callable[[Any, int], TCNArrays]] = {
    "store": from_store,
    "names": from_names,
    "saver": from_names,
    "graph": from_graph,
}
