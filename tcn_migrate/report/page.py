"""What the page says, gathered from a migration, a plan, an inspection or a refusal."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tcn_migrate.config.changes import STORAGE, Change, changes
from tcn_migrate.errors import DecisionNeeded, MigrationError, as_file
from tcn_migrate.moves import Move, Plan
from tcn_migrate.naming.entries import spoken
from tcn_migrate.recovery.diagnose import INITIAL
from tcn_migrate.report.differences import Setting, setting
from tcn_migrate.report.document import Document, command, rendered, safe, ways
from tcn_migrate.report.picture import (
    GRADES,
    Picture,
    Plot,
    agreement_plot,
    channel_plot,
    counted,
    curve_plot,
    model_picture,
    tcn_picture,
)

if TYPE_CHECKING:
    from tcn_migrate.outcome import Outcome
    from tcn_migrate.recovery.recover import Recovery

MOST_TCNS = 16
MOST_PLOTS = 64
MOST_CHANGES = 200

MEANINGS = {
    "copied": "bit for bit what the old file holds",
    "folded": "weight norm's product of two stored arrays",
    "reordered": "the stored numbers in another order, since today's Keras computes the same with another layer",
    "rescaled": "a repair multiplies some columns, so that today's Keras computes the same",
    "refitted": "found from recorded predictions",
    "measured": "measured from data like the training data",
    "initialized": "started afresh; has to be trained",
    "missing": "not in the old file, and not recovered",
}


_RECOVERED = ("refitted", "measured", "initialized")


@dataclass(frozen=True)
class Row:
    """One variable in the table."""

    address: str
    sources: str
    target: str
    shape: str
    checksum: str
    grade: str


@dataclass(frozen=True)
class Page:
    """Everything on one page, ready to print.

    Attributes:
        title: of the page.
        verdict: what came of it, in one sentence.
        state: "good", "doubtful" or "bad", which colours the verdict.
        warnings: what the user should know.
        commands: what to do next: a description and what to type.
        facts: what the file was: a name and a value.
        pictures: of the model and of each TCN.
        rows: every variable.
        counts: how many variables are of each grade, with what the grade means.
        evidence: what verification saw, in sentences.
        differences: for each TCN its largest difference and the length of its bar in hundredths, the largest first.
        recovery: what was recovered, and what it is worth.
        plots: of recovered norms.
        norms: for an inspection, each norm and its state.
        repairs: what was changed in the config.
        changed: the same setting by setting, of layers that are in both configs.
        ignored: arrays that are not used, with the reason.
    """

    title: str
    verdict: str
    state: str
    warnings: Sequence[str] = ()
    commands: Sequence[tuple[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()
    pictures: Sequence[Picture] = ()
    rows: Sequence[Row] = ()
    counts: Sequence[tuple[str, int, str]] = ()
    evidence: Sequence[str] = ()
    differences: Sequence[tuple[str, str, int]] = ()
    recovery: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    plots_left_out: int = 0
    norms: Sequence[tuple[str, str, str]] = ()
    repairs: Sequence[str] = ()
    changed: Sequence[Setting] = ()
    changed_left_out: int = 0
    ignored: Sequence[tuple[str, str]] = ()


def migrated(outcome: Outcome) -> Document:
    """The page of a migration.

    Args:
        outcome: of `tcn_migrate.migrate`. The arrays are read once more, for their checksums.

    Returns:
        One HTML document.

    Raises:
        MigrationError: the source is not there any more, or damaged.
    """
    plan, evidence, recovery = outcome.plan, outcome.evidence, outcome.recovery
    output = safe(outcome.output)
    if recovery is not None:
        verdict, state = f"Migrated to {output}; {len(recovery.norms)} norms were {recovery.grade}", "doubtful"
    elif evidence is None:
        verdict, state = f"Migrated to {output}, not verified", "doubtful"
    else:
        verdict, state = f"Migrated exactly to {output}, and verified", "good"
    proof = ["The new file was not loaded to verify it (--no-verify)."]
    if recovery is None and any(reading.session_numbered for reading in plan.tcns.values()):
        verdict += "; every norm was in the file, under names that its session counted, and nothing is lost"
    differences: list[tuple[str, str, int]] = []
    if evidence is not None:
        proof = [
            f"{evidence.bit_exact} of {evidence.variables} variables of the loaded model are bit for bit the source's."
        ]
        if evidence.recomputed:
            proof.append(
                f"{evidence.recomputed} are bit for bit the values computed for them: folded, rescaled, reordered "
                "or recovered."
            )
        proof.append("The whole model was run once, on drawn inputs.")
        if evidence.proof.sentence is not None:
            proof.append(f"{evidence.proof.sentence[0].upper()}{evidence.proof.sentence[1:]}.")
        proof += [f"{remark[0].upper()}{remark[1:]}." for remark in evidence.proof.remarks]
        compared = {spoken(address): (value, "") for address, value in evidence.tcn_differences.items()}
        for one in (*evidence.proof.outputs, *evidence.proof.inner):
            compared[one.name] = (one.difference, f", rounding explains {one.explained:.2g}")
        ranked = sorted(compared.items(), key=lambda item: -item[1][0])
        differences = [(name, f"{value:.2g}{explained}", _bar(value)) for name, (value, explained) in ranked]
        if evidence.serving_graph is not None:
            proof.append(f"{evidence.serving_graph.sentence[0].upper()}{evidence.serving_graph.sentence[1:]}.")
    if recovery is not None and recovery.held_back is not None:
        proof.append(f"Predictions held back from the fit differ by {recovery.held_back:.1e} standard deviations.")
    if outcome.agreement is not None:
        proof.append(f"{outcome.agreement}.")
    plots, left_out = _plots(plan, recovery)
    return rendered(
        "page.html",
        Page(
            title=f"{safe(Path(plan.origin.path).name)}: migrated",
            verdict=verdict,
            state=state,
            warnings=(*(recovery.sentences if recovery else ()), *outcome.warnings),
            commands=_after(outcome),
            evidence=proof,
            differences=differences,
            recovery=_disagreements(recovery),
            plots=plots,
            plots_left_out=left_out,
            **_of_plan(plan, checksums=True),
        ),
    )


def planned(plan: Plan) -> Document:
    """The page of a plan; as planning itself, it reads no array."""
    missing = f"; {len(plan.missing)} variables are missing" if plan.missing else ""
    return rendered(
        "page.html",
        Page(
            title=f"{safe(Path(plan.origin.path).name)}: plan",
            verdict=f"Would be migrated: {len(plan.moves)} variables{missing}",
            state="doubtful" if plan.missing else "good",
            warnings=plan.warnings,
            commands=[("Migrate it", command("migrate", as_file(plan.origin.path), *_target(plan), *plan.reading))],
            **_of_plan(plan, checksums=False),
        ),
    )


def inspected(seen: Mapping[str, Any]) -> Document:
    """The page of an inspection, of what `tcn_migrate.inspect` returns."""
    return rendered(
        "page.html",
        Page(
            title=f"{safe(Path(seen['path']).name)}: inspection",
            verdict=seen["verdict"],
            state="good" if seen["exit_code"] == 0 else "doubtful",
            warnings=seen["warnings"],
            commands=[("Migrate it", command("migrate", as_file(seen["path"]), *seen["reading"]))],
            **_of_inspection(seen),
        ),
    )


def refused(
    source: str | Path,
    error: MigrationError,
    seen: Mapping[str, Any] | None = None,
    given: Mapping[str, Sequence[str]] | None = None,
) -> Document:
    """The page of a file that was not migrated, and why.

    Args:
        source: the file.
        error: what stopped.
        seen: what `tcn_migrate.inspect` returned for it, where it can be inspected.
        given: the words of the command, by the names of its parameters; the source alone by default.
    """
    typed = given or {"old": [as_file(source)]}
    known = {"facts": [("File", safe(source))]} if seen is None else _of_inspection(seen)
    reason = [("Kind of failure", error.kind), ("Exit code", str(error.exit_code))]
    for name, value in (("Where", error.address), ("Expected", error.expected), ("Found", error.found)):
        if value is not None:
            reason.append((name, str(value)))
    known["facts"] += reason
    decide = isinstance(error, DecisionNeeded)
    problem = f"{error.address}: {error.problem}" if error.address else error.problem
    return rendered(
        "page.html",
        Page(
            title=f"{safe(Path(source).name)}: {'a decision is needed' if decide else 'not migrated'}",
            verdict=f"{'A decision is needed' if decide else 'Not migrated'}: {problem}",
            state="doubtful" if decide else "bad",
            warnings=[error.hint] if error.hint else [],
            commands=[
                *((what, _again(typed, words)) for what, words in ways(error.hint or "")),
                *([] if seen is None else [("See what is in the file", _inspect(typed))]),
            ],
            **known,
        ),
    )


def _again(typed: Mapping[str, Sequence[str]], way: Sequence[str]) -> str:
    """The command that was typed, with one more option, which takes the place of the same one in it."""
    kept = {name: words for name, words in typed.items() if not words or words[0] != way[0]}
    return command("migrate", *(word for words in kept.values() for word in words), *way)


def _inspect(typed: Mapping[str, Sequence[str]]) -> str:
    names = ("old", "architecture", "last_step", "custom_objects", "max_bytes")
    return command("inspect", *(word for name in names for word in typed.get(name, ())))


def _target(plan: Plan) -> tuple[str, ...]:
    return () if plan.target == "layer" else ("--target", plan.target)


def _after(outcome: Outcome) -> list[tuple[str, str]]:
    """What to do with a new file; no comparison that this file would not pass."""
    plan, new, old = outcome.plan, as_file(outcome.output), as_file(outcome.plan.origin.path)
    commands = [("Load it in Python", _loading(outcome))]
    if outcome.custom_objects and "--custom-objects" not in plan.reading:
        return commands  # classes that no command can be given
    stored = {(*tcn, *below) for tcn, reading in plan.tcns.items() for below in reading.found}
    if all(move.address not in stored for move in plan.moves if move.grade in _RECOVERED):
        commands.append(("Compare it with the old file", command("verify", new, "--against", old, *plan.reading)))
    if outcome.recovery is None:
        pairs = list(zip(plan.reading, plan.reading[1:], strict=False))
        of_the_new = [word for pair in pairs if pair[0] in ("--custom-objects", "--max-bytes") for word in pair]
        commands.append(
            (
                "Compare it with recorded predictions",
                command("verify", new, "--golden", "recorded.npz", *of_the_new),
            )
        )
    return commands


def _loading(outcome: Outcome) -> str:
    """Python code that loads a new file, with what registers its layers."""
    plan = outcome.plan
    used = set(_strings([plan.config, plan.compile_config]))
    own = {name: thing for name, thing in outcome.custom_objects.items() if name in used}
    modules = sorted({thing.__module__ for thing in own.values()} - {"__main__"})
    lines = [f"import {', '.join(['keras', *modules])}"]
    if plan.target == "layer":
        lines.append("from tcn_migrate import TCN")
    classes = ", ".join(f"{name!r}: {_spelled(thing)}" for name, thing in own.items())
    given = f", custom_objects={{{classes}}}" if own else ""
    lines.append(f"model = keras.saving.load_model({str(outcome.output)!r}{given})")
    return "; ".join(lines)


def _spelled(thing: Any) -> str:
    """A class or function, as code names it behind the import of its module."""
    module, name = thing.__module__, thing.__qualname__.rpartition("<locals>.")[2]
    return str(name) if module == "__main__" else f"{module}.{name}"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(item)


def _of_inspection(seen: Mapping[str, Any]) -> dict[str, Any]:
    facts = [
        ("File", safe(seen["path"])),
        ("Container", safe(seen["container"])),
        ("Written by Keras", safe(seen["keras_version"] or "not said")),
        ("SHA-256", seen["sha256"]),
        ("Variables", ", ".join(f"{count} {grade}" for grade, count in seen["variables"].items()) or "none"),
    ]
    norms = []
    for tcn in seen["tcns"]:
        facts.append(
            (
                f"TCN {safe(tcn['layer'])}",
                f"{tcn['releases']}, filters {tcn['nb_filters']}, kernel size {tcn['kernel_size']}, "
                f"stacks {tcn['nb_stacks']}, dilations {safe(tcn['dilations'])}, {tcn['padding']}, "
                f"{tcn['norm'] or 'no'} norm{', weight norm' if tcn['weight_norm'] else ''}",
            )
        )
        for name, norm in tcn["norms"].items():
            lost = f" ({', '.join(norm['lost'])})" if norm["lost"] else ""
            spelled = f"{safe(tcn['layer'])} / {name.replace('/', ' / ')}"
            norms.append((spelled, f"{norm['state']}{lost}", safe(norm["stored_at"] or "")))
    repairs = [f"{safe(repair['layer'])}: {repair['sentence']}" for repair in seen["repairs"]]
    return {"facts": facts, "norms": norms, "repairs": repairs}


def _of_plan(plan: Plan, *, checksums: bool) -> dict[str, Any]:
    rows = [_row(move, checksums) for move in plan.moves]
    rows += [
        Row(spoken(address), "", safe(target), _shape(shape), "", "missing")
        for address, (target, shape) in plan.missing.items()
    ]
    tally = {grade: sum(row.grade == grade for row in rows) for grade in GRADES}
    origin = plan.origin
    facts = [
        ("File", safe(origin.path)),
        ("Container", safe(origin.container)),
        ("Written by Keras", safe(origin.keras_version or "not said")),
        *([("Backend", safe(origin.backend))] if origin.backend else []),
        ("SHA-256", safe(origin.sha256)),
        ("Target", "plain: Keras's own layers only" if plan.target == "plain" else "layer: with tcn_migrate.TCN"),
    ]
    for address, reading in plan.tcns.items():
        norm = f"{reading.norm} norm" if reading.norm else "no norm"
        session = "; its norms lay under names that the session counted" if reading.session_numbered else ""
        facts.append(
            (
                f"TCN {spoken(address)}",
                f"generation {reading.generation.name}, as keras-tcn {reading.generation.releases}; "
                f"{counted(reading.settings.blocks)}, {norm}{session}",
            )
        )
    drawn = list(plan.tcns.values())[:MOST_TCNS]
    changed = _changed(plan)
    return {
        "facts": facts,
        "pictures": [model_picture(plan), *(tcn_picture(plan, reading) for reading in drawn)],
        "rows": rows,
        "counts": [(grade, count, MEANINGS[grade]) for grade, count in tally.items() if count],
        "repairs": [f"{safe(r.layer)}: {r.sentence}" for r in plan.repairs],
        "changed": [setting(one) for one in changed[:MOST_CHANGES]],
        "changed_left_out": max(0, len(changed) - MOST_CHANGES),
        "ignored": [(safe(name), reason) for name, reason in plan.ignored.items()],
    }


def _changed(plan: Plan) -> list[Change]:
    """The settings that repairs changed, of layers that have one; a TCN became another layer as a whole."""
    if plan.stored is None or not plan.repairs:
        return []
    repaired = {repair.layer for repair in plan.repairs}
    found = changes(plan.stored.config, plan.config, without=STORAGE)
    return [one for one in found if one.layer and one.layer[-1] in repaired and one.layer not in plan.tcns]


def _bar(difference: float) -> int:
    """Hundredths of a bar that is empty at 1e-9 and full at 1e-4."""
    return 0 if difference <= 1e-9 else min(100, round(20 * (math.log10(difference) + 9)))


def _row(move: Move, checksums: bool) -> Row:
    digest = ""
    if checksums:
        digest = hashlib.sha256(np.ascontiguousarray(move.values()).tobytes()).hexdigest()[:16]
    sources = ", ".join(safe(source.name) for source in move.sources)
    return Row(spoken(move.address), sources, safe(move.target), _shape(move.shape), digest, move.grade)


def _plots(plan: Plan, recovery: Recovery | None) -> tuple[list[Plot], int]:
    """Predictions old and new, the fit's curve, and each recovered variable before and after."""
    if recovery is None:
        return [], 0
    found: list[Plot] = []
    if recovery.predictions:
        found.append(agreement_plot("Recorded predictions against those of the new model", recovery.predictions))
    if len(recovery.curve) > 1:
        found.append(curve_plot("Error on recordings that were held back", recovery.curve, "standard deviations"))
    held = {(*tcn, *below): array for tcn, reading in plan.tcns.items() for below, array in reading.found.items()}
    recovered = [move for move in plan.moves if move.grade in ("refitted", "measured") and len(move.shape) == 1]
    for move in recovered[:MOST_PLOTS]:
        after = move.values().astype(np.float64).tolist()
        stored = held.get(move.address)
        before = [INITIAL.get(move.address[-1], 0.0)] * len(after)
        if stored is not None and stored.shape == move.shape and stored.flaw is None:
            before = stored.read().astype(np.float64).tolist()
        found.append(channel_plot(spoken(move.address), before, after))
    return found, max(0, len(recovered) - MOST_PLOTS)


def _disagreements(recovery: Recovery | None) -> list[str]:
    if recovery is None:
        return []
    return [
        f"{spoken(norm)}: half of the data disagrees with all of it by {value:.2g} standard deviations"
        for norm, value in (recovery.disagreement or {}).items()
    ]


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape) or "scalar"
