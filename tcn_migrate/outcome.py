"""What came of a migration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tcn_migrate.errors import quoted
from tcn_migrate.moves import Grade, Plan
from tcn_migrate.naming.entries import Address, spoken
from tcn_migrate.verify import Evidence, load

if TYPE_CHECKING:
    from tcn_migrate.recovery.recover import Recovery
    from tcn_migrate.report.document import Document


@dataclass
class Outcome:
    """What came of one migration.

    Attributes:
        output: the new file.
        plan: every move, fold and repair that was made.
        evidence: what verification saw, or None if it was not asked for.
        recovery: what came of recovering lost norms, or None if none were lost.
        agreement: how the new model agrees with the recording that was given although nothing is lost, or None.
        custom_objects: the user's classes by name.
    """

    output: Path
    plan: Plan
    evidence: Evidence | None
    recovery: Recovery | None = None
    agreement: str | None = None
    custom_objects: Mapping[str, Any] = field(default_factory=dict)
    _model: Any = field(default=None, repr=False)

    def __repr__(self) -> str:
        """In one line; the plan alone would be pages long."""
        grades = ", ".join(f"{count} {grade}" for grade, count in self.plan.grades.items()) or "none"
        proof = "not verified" if self.evidence is None else "verified"
        return f"<Outcome {quoted(self.output, 200)}: {grades}; {proof}>"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know, in plain sentences."""
        return self.plan.warnings

    @property
    def provenance(self) -> dict[Address, Grade]:
        """How exact each variable is, by its address."""
        return {move.address: move.grade for move in self.plan.moves}

    @property
    def model(self) -> Any:
        """The migrated model, loaded on first use."""
        if self._model is None:
            self._model = load(self.output, self.custom_objects, target=self.plan.target)
        return self._model

    def report(self) -> Document:
        """The page that shows what was done: a string, one HTML document, which a notebook shows as the page.

        The source is read once more, for checksums.

        Raises:
            MigrationError: the source is not there any more, or damaged.
        """
        from tcn_migrate.report.page import migrated

        return migrated(self)

    def _repr_html_(self) -> str:
        """The page, in a notebook."""
        return self.report()._repr_html_()

    def as_json(self) -> dict[str, Any]:
        """The outcome for machines."""
        return {
            "output": str(self.output),
            **plan_as_json(self.plan),
            "evidence": None if self.evidence is None else self.evidence.as_json(),
            "recovery": None if self.recovery is None else list(self.recovery.sentences),
            "agreement": self.agreement,
        }


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """A plan for machines."""
    return {
        "source": {
            "path": plan.origin.path,
            "container": plan.origin.container,
            "keras_version": plan.origin.keras_version,
            "sha256": plan.origin.sha256,
        },
        "target": plan.target,
        "tcns": [
            {
                "layer": spoken(address),
                "generation": reading.generation.name,
                "releases": reading.generation.releases,
                "norm": reading.norm,
                "blocks": reading.settings.blocks,
            }
            for address, reading in plan.tcns.items()
        ],
        "moves": [
            {
                "variable": spoken(move.address),
                "sources": [source.name for source in move.sources],
                "target": move.target,
                "shape": list(move.shape),
                "grade": move.grade,
            }
            for move in plan.moves
        ],
        "missing": [spoken(address) for address in plan.missing],
        "ignored": dict(plan.ignored),
        "repairs": [{"layer": r.layer, "repair": r.name, "sentence": r.sentence} for r in plan.repairs],
        "warnings": list(plan.warnings),
    }
