"""Old files opened in place: a model out of one, or its weights into a model that is built in code.

Nothing stays on the disk. Whoever loads a file often should migrate it once.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tcn_migrate.budget import DEFAULT_BYTES
from tcn_migrate.checkpoint import Json
from tcn_migrate.containers import open_checkpoint
from tcn_migrate.containers.subclassed import HINT
from tcn_migrate.errors import NamingError, VerificationError, quoted, reason
from tcn_migrate.migration import migrate
from tcn_migrate.moves import Plan
from tcn_migrate.naming.pairing import paired, renamed

PathLike = str | os.PathLike[str]


def load_model(
    path: PathLike,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    *,
    architecture: PathLike | None = None,
    last_step: bool = False,
    max_bytes: int = DEFAULT_BYTES,
) -> Any:
    """Loads the model in an old file, in the place of `keras.models.load_model`.

    The file is migrated and verified as `migrate` does it. What the user should know comes as Python warnings.

    Args:
        path: the old file or folder; it is opened for reading only.
        custom_objects: classes of your own by name.
        compile: with the optimizer, its state, the loss and the metrics.
        architecture, last_step, max_bytes: as for `migrate`.

    Returns:
        The model, a `keras.Model`.

    Raises:
        MigrationError: as `migrate`.
    """
    with tempfile.TemporaryDirectory(prefix="tcn-migrate-") as folder:
        outcome = migrate(
            path,
            Path(folder) / "model.keras",
            architecture=architecture,
            last_step=last_step,
            custom_objects=custom_objects,
            drop_optimizer=not compile,
            max_bytes=max_bytes,
        )
    _warn(outcome.warnings)
    return outcome.model


def load_weights(model: Any, path: PathLike, *, last_step: bool = False, max_bytes: int = DEFAULT_BYTES) -> None:
    """Loads the weights in an old file into a model of today's Keras.

    What the model computes is the model's own; of the file only the variables are taken. HDF5 other than `.weights.h5`
    has them by the layers' names. Where these are others than the model's, as after another session, and as many,
    layers are paired in their order, as Keras does it (keras/src/legacy/saving/legacy_h5_format.py); a warning says so.

    Args:
        model: a functional or sequential model that is built. It is changed only if every variable is found.
        path: the old file or folder, of weights or of a whole model; it is opened for reading only.
        last_step, max_bytes: as for `migrate`.

    Raises:
        MigrationError: as `migrate`; or the model is not built, or its variables are not those of the file.
    """
    if not getattr(model, "built", False):
        raise NamingError(
            "the model has no variables yet", address=f"model {quoted(model.name)}", hint="Call it once, or build it"
        )
    with tempfile.TemporaryDirectory(prefix="tcn-migrate-") as folder:
        architecture, new = Path(folder) / "architecture.json", Path(folder) / "model.keras"
        config, names = _config(model), {}
        with open_checkpoint(Path(path), config) as checkpoint:
            if checkpoint.layout == "names":
                names = paired([layer.name for layer in model.layers if layer.weights], list(checkpoint.root.names()))
        architecture.write_text(json.dumps(renamed(config, names)), encoding="utf-8")
        outcome = migrate(
            path,
            new,
            architecture=architecture,
            last_step=last_step,
            custom_objects=_own_classes(model),
            drop_optimizer=True,
            verify=False,
            max_bytes=max_bytes,
        )
        weights = Path(folder) / "migrated.weights.h5"
        with zipfile.ZipFile(new) as archive:
            weights.write_bytes(archive.read("model.weights.h5"))
        _assign(model, outcome.plan, weights)
    pairs = ", ".join(f"{quoted(own)} from {quoted(stored)}" for own, stored in names.items())
    _warn((f"layers were paired in their order, since their names differ: {pairs}",) if names else ())
    _warn(outcome.warnings)


def _config(model: Any) -> Json:
    """The model as `to_json` writes it; a subclassed model has no layers there."""
    try:
        config: Json = json.loads(model.to_json())
    except (NotImplementedError, TypeError):  # its constructor takes what Keras cannot write
        config = {}
    if not isinstance(config.get("config"), dict) or "layers" not in config["config"]:
        raise NamingError(
            "is a subclass of keras.Model, and only its code says how its layers are connected",
            address=f"model {quoted(model.name)}",
            hint=HINT,
        )
    return config


def _assign(model: Any, plan: Plan, weights: Path) -> None:
    """Gives a model the variables of a weight store; the model keeps its own unless all fit.

    Raises:
        VerificationError: the model is not that of the plan.
    """
    before, now = weights.with_name("before.weights.h5"), weights.with_name("now.weights.h5")
    model.save_weights(before)
    missing = {move.target for move in plan.moves} ^ _variables(before).keys()
    if missing:
        raise VerificationError(
            "the model keeps its variables elsewhere than its config says",
            address=f"model {quoted(model.name)}",
            found=quoted(min(missing)),
        )
    problem = None
    try:
        model.load_weights(weights)
        model.save_weights(now)
        wanted, got = _variables(weights), _variables(now)
        differing = [name for name in wanted if wanted[name] != got[name]]
        if differing:
            problem = f"{quoted(differing[0])} did not get the file's values"
    except Exception as error:  # whatever Keras says of a variable that does not fit
        problem = f"{type(error).__name__}: {reason(error)}"
    if problem is not None:
        model.load_weights(before)
        raise VerificationError(f"Keras cannot load the weights ({problem})", address=f"model {quoted(model.name)}")


def _variables(store: Path) -> dict[str, bytes]:
    """Type, shape and bytes of each variable of a weight store of our own making; no seeds, no optimizer."""
    import h5py

    found: dict[str, bytes] = {}

    def visit(name: str, place: Any) -> None:
        if isinstance(place, h5py.Dataset) and not name.startswith("optimizer/") and "seed_generator/" not in name:
            values = place[()]
            found[name] = f"{values.dtype}{values.shape}".encode() + values.tobytes()

    with h5py.File(store) as file:
        file.visititems(visit)
    return found


def _own_classes(model: Any) -> dict[str, Any]:
    """The classes of layers in a model that are neither Keras's nor a TCN."""
    layers = {type(layer) for layer in model._flatten_layers(include_self=False)}
    return {
        kind.__name__: kind for kind in layers if kind.__module__.split(".")[0] not in ("keras", "tcn", "tcn_migrate")
    }


def _warn(sentences: tuple[str, ...]) -> None:
    for sentence in sentences:
        warnings.warn(sentence, stacklevel=3)
