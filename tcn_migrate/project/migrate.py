"""What becomes of a project: every model that it needs, migrated beside the old one, and a patch of its code."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tcn_migrate.errors import MigrationError
from tcn_migrate.migration import default_output, migrate, plan
from tcn_migrate.project import requirements
from tcn_migrate.project.code import Change, imports_keras_tcn, parse
from tcn_migrate.project.patch import unified
from tcn_migrate.project.survey import Place, Project, applied_code, patched, places, read_code, read_text, survey


@dataclass(frozen=True)
class Model:
    """One model of a project.

    Attributes:
        path: in the project.
        new: the new file in the project; None where there is none.
        verdict: "loads already", "can be migrated", "migrated", "decision needed" or "refused".
        exit_code: what the single command ends with.
        message: why not; empty if all went well.
        container, keras_version, releases: what it is.
        needs_tcn: its new file holds a TCN of `tcn_migrate`.
        warnings: as of the single command.
    """

    path: str
    new: str | None
    verdict: str
    exit_code: int = 0
    message: str = ""
    container: str | None = None
    keras_version: str | None = None
    releases: tuple[str, ...] = ()
    needs_tcn: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What was found in a project and done with it.

    Attributes:
        project: its files.
        models: what became of each model.
        places: the code that loads.
        patch: a unified diff; empty if nothing has to change.
        changed: the new texts of the files in the patch, by path.
    """

    project: Project
    models: tuple[Model, ...]
    places: tuple[Place, ...]
    patch: str
    changed: Mapping[str, str] = field(repr=False)

    @property
    def exit_code(self) -> int:
        return max((model.exit_code for model in self.models), default=0)

    def as_json(self) -> dict[str, Any]:
        return {
            "project": str(self.project.root),
            "models": [vars(model) for model in self.models],
            "code": [
                {
                    "file": place.code,
                    "cell": place.cell,
                    "line": place.load.line,
                    "call": place.load.kind,
                    "path": place.load.path,
                    "model": place.model,
                }
                for place in self.places
            ],
            "pickles": list(self.project.pickles),
            "others": {path: {"what": what, "next": step} for path, (what, step) in self.project.others.items()},
            "patch": self.patch,
        }


def migrate_project(
    folder: Path,
    *,
    write: bool = False,
    load_in_place: bool = False,
    target: str = "layer",
    custom_objects: Mapping[str, Any] | None = None,
    verify: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> Result:
    """Migrates every model of a checkout beside the old one, and makes the patch of the code; no code is changed.

    Args:
        folder: the checkout.
        write: write the new files. Without it they are only planned.
        load_in_place: the code is to open the old files with `tcn_migrate.load_model`, and no file is written.
        target, custom_objects, verify: as for `migrate`.
        progress: called with a phase, the number of files that are done, and of all.

    Raises:
        MigrationError: no folder, or too many files.
    """
    project = survey(folder)
    said = progress or (lambda phase, done, total: None)
    models = []
    for number, path in enumerate(project.models):
        said("migrating" if write else "looking", number, len(project.models))
        models.append(_model(project, path, write and not load_in_place, load_in_place, target, custom_objects, verify))
    changes = {
        model.path: Change(None if load_in_place else posixpath.basename(model.new or ""), model.needs_tcn)
        for model in models
        if model.new is not None or (load_in_place and model.verdict == "can be migrated")
    }
    found: list[Place] = []
    changed: list[tuple[str, str, str]] = []
    uses, keeps = False, False
    for module in read_code(project):
        here = places(project, module)
        found += here
        if not changes or not (here or imports_keras_tcn(module.source)):
            continue
        new = patched(module, here, changes)
        after = parse(applied_code(module, here, changes))
        uses = uses or "tcn_migrate" in new
        keeps = keeps or (after is not None and imports_keras_tcn(after))
        changed.append((module.path, module.text, new))
    for path in project.requirements if changed else ():
        text = read_text(project.root / path)
        if text is not None:
            new = requirements.updated(text, needs_tcn_migrate=uses, keeps_keras_tcn=keeps)
            changed.append((path, text, new))
    changed = [(path, old, new) for path, old, new in changed if old != new]
    return Result(
        project=project,
        models=tuple(models),
        places=tuple(found),
        patch=unified(changed),
        changed={path: new for path, _, new in changed},
    )


def _model(
    project: Project,
    path: str,
    write: bool,
    load_in_place: bool,
    target: str,
    custom_objects: Mapping[str, Any] | None,
    verify: bool,
) -> Model:
    source = project.root / path
    output = default_output(source)
    new = posixpath.join(posixpath.dirname(path), output.name)
    try:
        decided = plan(source, target=target, custom_objects=custom_objects)
    except MigrationError as error:
        verdict = "decision needed" if error.exit_code == 3 else "refused"
        return Model(path, None, verdict, error.exit_code, str(error))
    facts: dict[str, Any] = {
        "container": decided.origin.container,
        "keras_version": decided.origin.keras_version,
        "releases": tuple(dict.fromkeys(f"keras-tcn {r.generation.releases}" for r in decided.tcns.values())),
        "needs_tcn": bool(decided.tcns) and target == "layer",
        "warnings": decided.warnings,
    }
    if decided.loads_already:
        return Model(path, None, "loads already", **facts)
    try:
        if write:
            outcome = migrate(source, output, target=target, custom_objects=custom_objects, verify=verify)
            return Model(path, new, "migrated", **{**facts, "warnings": outcome.warnings})
        from tcn_migrate.inputs import inputs
        from tcn_migrate.migration import check_target
        from tcn_migrate.recovery.decide import Means, examine, settle

        settle(decided, examine(decided), Means())
        if not load_in_place:
            check_target(output, source, inputs([source]), overwrite=False)
    except MigrationError as error:
        verdict = "decision needed" if error.exit_code == 3 else "refused"
        return Model(path, None, verdict, error.exit_code, str(error), **facts)
    return Model(path, None if load_in_place else new, "can be migrated", **facts)


def apply(result: Result) -> None:
    """Writes the changed code and requirements.

    Raises:
        MigrationError: a file cannot be written.
    """
    import os
    import tempfile

    for path, text in result.changed.items():
        place = result.project.root / path
        try:
            mode = place.stat().st_mode
            descriptor, temporary = tempfile.mkstemp(prefix=f".{place.name[:100]}.", suffix=".part", dir=place.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(text.encode())
                os.chmod(temporary, mode)
                os.replace(temporary, place)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            raise MigrationError(f"cannot be written ({error.strerror})", address=path) from None
