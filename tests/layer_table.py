"""The table of layers (`python -m tests.layer_table` writes docs/layers.md): what becomes of each class of Keras 2.

Every row comes from a fixture below legacy_fixtures/layers, written by Keras 2.15 (`legacy_fixtures/recipes/layers.py`)
and migrated and compared with the old library's predictions by `tests/test_fixtures.py`.
"""

from __future__ import annotations

from pathlib import Path

from tcn_migrate import plan
from tcn_migrate.errors import MigrationError
from tests.cases import cases

PAGE = Path(__file__).parent.parent / "docs" / "layers.md"

_HEAD = """# Layers around a TCN

What becomes of every built-in layer class of Keras 2.15. *Exact*: a model with the layer predicts in Keras 3 what it
predicted in Keras 2, to 1e-4 of its deviation; the settings are those of the fixtures. This page is written from the
fixtures by `python -m tests.layer_table`, and the tests migrate each of them.

"""

_LAMBDA = (
    "Not in the table: a `Lambda` migrates if its formula can be read ([anymodel.md](anymodel.md)); `TFOpLambda`, "
    "`SlicingOpLambda` and `TensorFlowOpLayer` (arithmetic and slicing on tensors) become operations. "
    "A class of your own is refused by name unless you give it.\n"
)


def rows() -> dict[str, tuple[list[str], str | None]]:
    """Layer class -> its settings in the fixtures, and why it is refused, if it is."""
    found: dict[str, tuple[list[str], str | None]] = {}
    for case in cases():
        if case.folder.parent.name != "layers":
            continue
        reason = None
        if case.facts["expect"] == "refused":
            try:
                plan(case.source)
            except MigrationError as error:
                reason = error.problem
        for kind, settings in case.facts["layers"]:
            seen, _ = found.setdefault(kind, ([], reason))
            if settings not in seen:
                seen.append(settings)
    return found


def page() -> str:
    exact = [f"| `{kind}` | {'; '.join(seen)} |" for kind, (seen, reason) in sorted(rows().items()) if reason is None]
    refused = [f"| `{kind}` | {reason} |" for kind, (_, reason) in sorted(rows().items()) if reason is not None]
    return "\n".join(
        [
            _HEAD + "## Exact\n",
            "| class | settings |",
            "|---|---|",
            *exact,
            "\n## Refused, by name and with the reason\n",
            "| class | reason |",
            "|---|---|",
            *refused,
            "",
            _LAMBDA,
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page())
