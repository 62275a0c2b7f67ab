"""What is in a file, and what a migration would do: for eyes and for machines, without Keras."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tcn_migrate.budget import DEFAULT_BYTES
from tcn_migrate.errors import DecisionNeeded
from tcn_migrate.migration import plan as plan_of

if TYPE_CHECKING:
    from tcn_migrate.moves import Plan
    from tcn_migrate.recovery.diagnose import Diagnosis

PathLike = str | os.PathLike[str]

ALREADY = "already loads; nothing to do"
"""What is said of a file that unmodified keras-tcn 3.5.5 or later loads, or Keras alone if there is no TCN in it."""


class Inspection(dict[str, Any]):
    """What `inspect` returns: plain values, which a notebook shows as a page."""

    def _repr_html_(self) -> str:
        from tcn_migrate.report.page import inspected

        return inspected(self)._repr_html_()


def inspect(
    path: PathLike,
    *,
    architecture: PathLike | None = None,
    last_step: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
    max_bytes: int = DEFAULT_BYTES,
) -> Inspection:
    """What a checkpoint is.

    Args:
        path: the file or folder.
        architecture: for a file that holds weights alone, as for `migrate`.
        last_step, custom_objects, max_bytes: as for `migrate`.

    Returns:
        Plain values: container, versions, each TCN with its settings and the state of its norms, and what a migration
        would do (`verdict`, `exit_code`).

    Raises:
        MigrationError: it cannot be migrated, and why.
    """
    plan = plan_of(
        path, architecture=architecture, last_step=last_step, custom_objects=custom_objects, max_bytes=max_bytes
    )
    from tcn_migrate.naming.entries import spoken
    from tcn_migrate.recovery.decide import Means, examine, settle

    diagnoses = examine(plan)
    verdict, exit_code = ALREADY if plan.loads_already else "migrates exactly", 0
    try:
        settle(plan, diagnoses, Means())
    except DecisionNeeded as decision:
        verdict, exit_code = str(decision), decision.exit_code
    return Inspection(
        path=str(path),
        container=plan.origin.container,
        keras_version=plan.origin.keras_version,
        sha256=plan.origin.sha256,
        tcns=[_tcn(plan, address, diagnoses.get(address)) for address in plan.tcns],
        variables=plan.grades,
        missing=[spoken(address) for address in plan.missing],
        ignored=len(plan.ignored),
        repairs=[{"layer": r.layer, "repair": r.name, "sentence": r.sentence} for r in plan.repairs],
        warnings=list(plan.warnings),
        verdict=verdict,
        exit_code=exit_code,
        reading=list(plan.reading),
    )


def _tcn(plan: Plan, address: tuple[str, ...], diagnosis: Diagnosis | None) -> dict[str, Any]:
    reading = plan.tcns[address]
    settings = reading.settings
    norms = {}
    for norm in diagnosis.norms if diagnosis else ():
        place = (f"residual_block_{norm.block}", f"norm_{norm.slot}")
        held = [array.name for address, array in reading.found.items() if address[:2] == place]
        norms["/".join(place)] = {
            "state": norm.state,
            "lost": list(norm.lost),
            "stored_at": held[0].rpartition("/")[0] if held else None,
        }
    return {
        "layer": "/".join(address),
        "generation": reading.generation.name,
        "releases": f"keras-tcn {reading.generation.releases}",
        "norm": reading.norm,
        "weight_norm": settings.weight_norm,
        "input_width": reading.input_width,
        "nb_filters": settings.nb_filters,
        "kernel_size": settings.kernel_size,
        "nb_stacks": settings.nb_stacks,
        "dilations": list(settings.stack_dilations),
        "padding": settings.padding,
        "use_skip_connections": settings.use_skip_connections,
        "return_sequences": settings.return_sequences,
        "activation": settings.activation,
        "session_numbered": reading.session_numbered,
        "untrained": bool(diagnosis and diagnosis.untrained),
        "norms": norms,
    }
