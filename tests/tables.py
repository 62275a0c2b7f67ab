"""Tables of the documentation that are made from the code and the fixtures (`python -m tests.tables` writes them)."""

from __future__ import annotations

from pathlib import Path

from tcn_migrate.config.operators.functions import FUNCTIONS
from tcn_migrate.config.operators.nodes import NODES
from tcn_migrate.tcn.generations import GENERATIONS
from tests.cases import FIXTURES, cases

ROOT = Path(__file__).parent.parent


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def fixtures() -> str:
    """legacy_fixtures/README.md: what was made with which versions, and which peculiarity each shows."""
    lines = [
        "# Old files, by the old library",
        "",
        "Each folder holds a checkpoint that a real old release wrote (`made with`), the predictions of that release",
        "(`golden.npz`: inputs x0, x1, ...; outputs y0, y1, ...) and what must come of it (`case.json`). Weights were",
        "drawn so that every variable matters to the output. The scripts that made them are in `recipes/`, with what",
        "each environment needs at its head. This table is generated: `python -m tests.tables`.",
        "",
        row("fixture", "file", "made with", "must be", "shows"),
        row(*["---"] * 5),
    ]
    for case in cases():
        made = case.facts.get("made_with", {})
        versions = ", ".join(
            f"{name} {made[key]}"
            for key, name in (
                ("keras_tcn", "keras-tcn"),
                ("keras", "Keras"),
                ("tensorflow", "TF"),
                ("python", "Python"),
            )
            if made.get(key)
        )
        facts = case.facts
        lines.append(row(case.name, facts["source"], versions, facts["expect"], facts.get("peculiarity", "")))
    return "\n".join(lines) + "\n"


def generations() -> str:
    """docs/generations.md: the functions that releases computed."""
    fixture = {case.facts.get("made_with", {}).get("keras_tcn"): case.name for case in cases()}
    lines = [
        "# What releases computed",
        "",
        "One config means another function in another release of keras-tcn, and no file says which release wrote it.",
        "`tcn_migrate/tcn/generations.py` is this table; `tests/test_generations.py` shows, on a file of each, that",
        "the prediction changes if another one is assumed. Generated: `python -m tests.tables`.",
        "",
        row("row", "releases", "first convolution", "1x1 shortcut", "inside", "before the sum", "step with `same`"),
        row(*["---"] * 7),
    ]
    for g in GENERATIONS.values():
        lines.append(
            row(
                g.name,
                g.releases,
                "yes" if g.first_convolution else "no",
                g.matching,
                g.inside or "the activation",
                "the activation" if g.before_sum else "-",
                g.step,
            )
        )
    lines += [
        "",
        "Before 2.9 there is no TCN class in the file: layers of Keras, and Lambdas, which are replaced by operations.",
        "The first convolution is 1x1. After the residual sum every row applies the activation; with skip connections",
        "the output is the sum of all blocks' branches, and the last block's residual sum feeds nothing.",
        "",
        f"Releases with a fixture: {', '.join(sorted(k for k in fixture if k and k[0].isdigit()))}.",
    ]
    return "\n".join(lines) + "\n"


def operators() -> str:
    """docs/operators.md: functions on tensors between layers that are translated."""
    nodes: dict[str, list[str]] = {}
    for name, node in NODES.items():
        nodes.setdefault(node.function, []).append(name)
    lines = [
        "# Operators on tensors",
        "",
        "`x * 2.0`, `x[:, -1]` or `tf.concat([a, b], -1)` on the tensors between layers are layers in an old file:",
        "`TFOpLambda` and `SlicingOpLambda` (TensorFlow 2.4 to 2.15) name a function, `TensorFlowOpLayer` (1.15 to",
        "2.3) holds a node of TensorFlow's graph. These become operations of Keras 3; the fixtures `operators/`",
        "compare their values. Any other function is refused by its name and its layer's.",
        "",
        "A slice with a range, such as `x[:, 2:]`, is read by Keras 3.2 and later, and a function of the same name",
        "as a layer (`tf.reshape` beside a layer `reshape`) by Keras 3.11 and later; all else by every Keras 3.",
        "`tf.einsum` and `==` are refused in files of TensorFlow 2.4 to 2.15, which do not hold their operands.",
        "Generated: `python -m tests.tables`.",
        "",
        row("function", "graph nodes"),
        row(*["---"] * 2),
    ]
    lines += [row(name, ", ".join(sorted(nodes.get(name, [])))) for name in sorted(FUNCTIONS)]
    return "\n".join(lines) + "\n"


PAGES = {
    FIXTURES / "README.md": fixtures,
    ROOT / "docs" / "generations.md": generations,
    ROOT / "docs" / "operators.md": operators,
}


def main() -> None:
    for path, table in PAGES.items():
        path.write_text(table())


if __name__ == "__main__":
    main()
