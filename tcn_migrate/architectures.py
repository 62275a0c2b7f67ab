"""The architecture for weights alone, from wherever it is: a JSON, another model's file, or code of the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tcn_migrate.budget import source_bytes
from tcn_migrate.checkpoint import Checkpoint, Json
from tcn_migrate.config import normalize
from tcn_migrate.containers import read_checkpoint
from tcn_migrate.containers.architecture import read_architecture
from tcn_migrate.containers.bounds import LARGEST_JSON
from tcn_migrate.errors import ArchitectureNeeded, ContainerError, MigrationError, foreseen, quoted
from tcn_migrate.naming.entries import layers_of, name_of
from tcn_migrate.naming.locate import owns_arrays
from tcn_migrate.naming.pairing import paired, renamed
from tcn_migrate.planning import Choices, keras_version, make_plan

MOST_JSON = 100
MOST_SIBLINGS = 20
"""How many JSON files and models beside a file are looked at."""
LARGEST_SIBLING = 256 << 20
"""The size of all models together, in bytes, whose configs are looked for unasked."""
_MODELS = (".h5", ".hdf5", ".keras")


def architecture_of(text: str | os.PathLike[str]) -> Json:
    """A model's config.

    Args:
        text: a JSON that `model.to_json()` wrote; a model of any container that is read, of which only the config is
            taken; or `module:function`, which is run.

    Raises:
        ContainerError: none of these, or without a config.
    """
    from tcn_migrate.model_code import config_of, names_code

    if names_code(os.fspath(text)):
        return config_of(os.fspath(text))
    path = Path(text)
    if path.is_dir() or (path.is_file() and not _is_text(path)):
        try:
            return read_checkpoint(path).config
        except ArchitectureNeeded:
            raise ContainerError(
                "holds weights alone, too, and no architecture",
                address=f"architecture {quoted(path.name)}",
                hint="Give a JSON that model.to_json() wrote, or a file that model.save() wrote",
            ) from None
        except MigrationError as error:
            raise ContainerError(f"cannot be read: {error}", address=f"architecture {quoted(path.name)}") from None
    return read_architecture(path)


def _is_text(path: Path) -> bool:
    """Whether a file is no model of a binary container: JSON, or what `read_architecture` refuses with the reason."""
    from tcn_migrate.containers import h5, keras_zip, tensorflowjs

    try:
        return not (keras_zip.matches(path) or h5.matches(path) or path.suffix == ".pb" or tensorflowjs.matches(path))
    except OSError:
        return True


def fitted(checkpoint: Checkpoint, custom_classes: frozenset[str] = frozenset()) -> Checkpoint:
    """The checkpoint with an architecture whose layers have the names of the file's groups.

    Where they are others, and as many, layers are paired in their order; planning then compares every shape.

    Args:
        custom_classes: names of classes that the user supplies.
    """
    if checkpoint.layout != "names":
        return checkpoint
    stored = normalize(checkpoint.config, keras_version=keras_version(checkpoint), custom_classes=custom_classes)
    own = [name_of(entry) for entry in layers_of(stored) if owns_arrays(entry)]
    names = paired(own, list(checkpoint.root.names()))
    if not names:
        return checkpoint
    return replace(
        checkpoint,
        config=renamed(checkpoint.config, names),
        hints={**checkpoint.hints, "architecture_pairs": names},
    )


@dataclass(frozen=True)
class Beside:
    """An architecture that was found unasked.

    Attributes:
        path: the file that it is in.
        config: the model's config.
        proven: whether every array of the weights has a place in it and no variable is missing, and whether no other
            architecture beside the file does the same.
    """

    path: Path
    config: Json
    proven: bool


def beside(path: Path, choices: Choices) -> Beside | None:
    """The one architecture in the folder of `path` that fits; a lone JSON is taken even if it does not.

    Args:
        path: weights alone.
        choices: as for the migration.

    Raises:
        ArchitectureNeeded: several fit that are different models.
    """
    fitting: list[tuple[Beside, Json]] = []
    lone: list[Beside] = []
    for candidate in _candidates(path):
        try:
            with foreseen():
                config = architecture_of(candidate)
                found = Beside(candidate, config, proven=True)
                if candidate.suffix == ".json" and candidate.is_file():
                    lone.append(replace(found, proven=False))
                plan = make_plan(read_checkpoint(path, config), choices)
        except (MigrationError, OSError):
            continue
        if not plan.missing:
            fitting.append((found, _without_name(plan.config)))
    if fitting:
        others = [found for found, model in fitting if model != fitting[0][1]]
        if others:
            raise ArchitectureNeeded(
                f"holds weights alone, and different architectures beside it fit: {quoted(fitting[0][0].path.name)} "
                f"and {quoted(others[0].path.name)}",
                source=path,
            )
        return fitting[0][0]
    return lone[0] if len(lone) == 1 else None


def _without_name(model: Json) -> Json:
    """A model's config without the model's own name, which says nothing."""
    config = model.get("config")
    return {**model, "config": {**config, "name": ""}} if isinstance(config, dict) else model


def _candidates(path: Path) -> Iterator[Path]:
    """The JSON files beside a file, then the models, in the order of their names; no link that leads elsewhere.

    Files that are too large together are left out: a user who has such a folder names the one that it is.
    """
    try:
        with os.scandir(path.parent) as entries:
            names = sorted(entry.name for entry in entries if not entry.is_symlink())
        files = [path.parent / name for name in names if name != path.name]
        texts = [file for file in files if file.suffix == ".json" and file.is_file()][:MOST_JSON]
        models = [file for file in files if file.suffix.lower() in _MODELS or (file / "saved_model.pb").is_file()]
        for some, most in ((texts, LARGEST_JSON), (models[:MOST_SIBLINGS], LARGEST_SIBLING)):
            if sum(source_bytes(file) for file in some) <= most:
                yield from some
    except OSError:
        return
