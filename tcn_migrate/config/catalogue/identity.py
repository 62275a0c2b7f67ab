"""Which class an entry of a config is of, decided by a fixed table.

A name out of a file is never imported nor looked up. Keras itself does so: a registered name goes before the class name
in every release up to 3.14 (GHSA for `registered_name`, fixed in 3.15.0), and a module is imported below 3.9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.classes import FORMER_NAMES, facts
from tcn_migrate.config.catalogue.operations import is_operation, module_of
from tcn_migrate.errors import ContainerError, UnknownLayerError, UnsafeError, quoted

FIXED_TRAINING = "FixedTraining"
"""The class of this package that calls another layer with one value of `training`."""

_KERAS = frozenset({"keras", "tf_keras", "tensorflow", "tensorflow_core"})
"""First words of the modules under which Keras's own classes were ever stored."""


@dataclass(frozen=True)
class Identity:
    """What a class is.

    Attributes:
        class_name: without the package under which it was registered, and by its newest name.
        module, registered_name: as Keras 3 has to find them.
        kind: "model", "layer" (built in), "operation", "tcn", "raw", or "custom" (the user's).
    """

    class_name: str
    module: str | None
    registered_name: str | None
    kind: str


def identify(stored: Json, custom_classes: frozenset[str], where: str, *, keras_2: bool = True) -> Identity:
    """The class of an entry.

    Args:
        stored: a model's or layer's entry.
        keras_2: whether Keras 2 wrote it, which has no operations.
        custom_classes: names of classes that the user supplies, with or without their package.
        where: the entry's place, safe to print.

    Raises:
        UnsafeError: a class that holds code or points out of the file.
        UnknownLayerError: a class that is neither Keras's own nor supplied, or that Keras 3 no longer has.
    """
    stated, module, registered = stored.get("class_name"), stored.get("module"), stored.get("registered_name")
    if not isinstance(stated, str):
        raise ContainerError("a layer's entry has no class name", address=where)
    plain_name = stated.rpartition(">")[2]
    supplied = _supplied(stated, plain_name, registered, custom_classes)
    if plain_name in ("TCN", "LegacyTCN"):  # the second is of files that this package wrote
        return Identity(plain_name, "tcn.tcn", None, "tcn")
    if supplied is not None:
        return Identity(plain_name, module if isinstance(module, str) else None, supplied, "custom")
    if (unsafe := facts(stated).unsafe) is not None:
        raise UnsafeError(f"its class is {quoted(stated)}, and {unsafe}", address=where)
    if plain_name == FIXED_TRAINING and registered == f"tcn_migrate>{FIXED_TRAINING}":
        return Identity(FIXED_TRAINING, "tcn_migrate", registered, "layer")
    class_name = FORMER_NAMES.get(stated, stated)
    if module is None and not keras_2:
        module = module_of(stated, stored.get("config"))
    if is_operation(module, stated) and registered in (None, stated):
        return Identity(stated, module, None, "operation")
    own = _is_keras(module) and registered in (None, stated, class_name, f"keras>{stated}", f"Keras>{stated}")
    row = facts(class_name)
    if own and row.gone is not None:
        raise UnknownLayerError(f"its class {quoted(stated)} cannot be migrated: {row.gone}", address=where)
    if own and row.is_known:
        kind = "model" if row.model is not None else "raw" if row.raw else "layer"
        return Identity(class_name, row.model or "keras.layers", None, kind)
    raise UnknownLayerError(
        f"its class {quoted(_shown(stated, module, registered))} is neither built into Keras nor supplied",
        address=where,
        hint="If it is yours, give the module that registers it: --custom-objects package.module",
    )


def _supplied(stated: str, plain_name: str, registered: Any, custom_classes: frozenset[str]) -> str | None:
    """The name under which Keras 3 finds a class of the user's, if this is one."""
    for name in (registered, stated, *sorted(custom_classes)):
        if isinstance(name, str) and name in custom_classes and name.rpartition(">")[2] == plain_name:
            return next((full for full in sorted(custom_classes) if full.endswith(f">{plain_name}")), name)
    return None


def _is_keras(module: Any) -> bool:
    return module is None or (isinstance(module, str) and module.partition(".")[0] in _KERAS)


def _shown(stated: str, module: Any, registered: Any) -> str:
    if isinstance(registered, str) and registered != stated:
        return f"{stated}, registered as {registered}"
    if not _is_keras(module):
        return f"{module}.{stated}"
    return stated
