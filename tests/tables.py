"""Tables of the documentation that are made from the code and the fixtures (`python -m tests.tables` writes them)."""

from __future__ import annotations

from pathlib import Path

from tcn_migrate.config.lambdas.functions import OPS
from tcn_migrate.config.lambdas.names import MODULES
from tcn_migrate.config.operators.backend import BACKEND
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


def anymodel() -> str:
    """docs/anymodel.md: what migrates of a model without a TCN."""
    of_keras = sorted({*BACKEND, "random_normal"})
    of_tensorflow = sorted({*FUNCTIONS, "random.normal"} - {"getitem"})
    aliases = "\n".join(row(f"`{name}`", f"`{module}`") for name, module in sorted(MODULES.items()))
    functions = row(*(", ".join(names) for names in (of_keras, of_tensorflow, sorted(OPS))))
    return ANY_MODEL.format(aliases=aliases, functions=functions, applications=APPLICATIONS.read_text().strip())


APPLICATIONS = Path(__file__).parent / "data" / "applications.md"
"""What `tests.applications` saw last."""

ANY_MODEL = """# Any Keras 2 model

A model needs no TCN to migrate. This page is generated: `python -m tests.tables`.

| part | what migrates |
| --- | --- |
| layers | every class of [layers.md](layers.md) |
| operators on tensors between layers | every function of [operators.md](operators.md) |
| Lambdas | formulas of the functions below |
| layers of your own | with their classes: `--custom-objects package.module` |
| subclassed models | their weights, into `keras.Model(x, model.call(x))` by `tcn_migrate.load_weights` |
| training configuration | losses, metrics, optimizers and schedules of Keras, and the optimizer's state |

## Lambdas

A Lambda's function is Python bytecode in the file. It is never run: its instructions are read as data, of Python 3.5
to 3.13, and followed on formulas. The formula is drawn as operations of Keras 3, and printed, so that you can compare
it with your code. The fixtures `formulas/expressions-*` compare formulas with Keras 2.3.1, TensorFlow 2.4 and 2.15.

A formula may have: the layer's input, one tensor or several; numbers, strings and tuples out of the code, its defaults,
its closure and the layer's `arguments`; arithmetic, comparisons, `&`, `|`, `^`, `~` and `@`; indices and slices; local
variables; several results; imports of TensorFlow, Keras, NumPy and math; `abs`, `float`, `int`, `len`, `pow` and
`sum`; numbers and arrays of NumPy; and calls of the functions below.

**What is assumed.** Bytecode holds the names of global variables, not what they stood for. These are taken for what
nearly every model means by them, and each repair names those that it relied on:

| name | is taken for |
| --- | --- |
{aliases}

`K.epsilon()` is taken for 1e-7 and `K.floatx()` for float32. If your code meant something else by one of these, write
the Lambda as a layer class of your own.

**What is refused**, with the instruction and the formula read so far: branches, loops, comprehensions and inner
functions; any other global name, for its value is not in the file; a `mask` or `training` argument that is used, and a
Lambda with a mask of its own; sizes of a tensor in arithmetic; `==` of tensors in files of TensorFlow 1, which compared
objects; in a `TimeDistributed` all but arithmetic, reductions along given axes and indices. `K.random_normal` and
`tf.random.normal` become a `GaussianNoise` that is always on, which `--target plain` cannot say; their numbers are
others than the old library's.

| functions of `K` | functions of `tf`, `tf.math`, `tf.nn`, `tf.linalg` | functions of `keras.ops` |
| --- | --- | --- |
{functions}

And `keras.layers.add`, `average`, `concatenate`, `maximum`, `minimum`, `multiply` and `subtract`, and the functions of
`keras.activations`.

## Applications

`python -m tests.applications OLD_PYTHON` makes models of `keras.applications` with TensorFlow 2.15 (weights drawn, not
downloaded) as `.h5`, `.keras` and SavedModel, and with a new head on a frozen base; migrates them; and compares the
predictions. *Exact* is to 1e-4 of their deviation. What it saw:

{applications}
"""

PAGES = {
    ROOT / "docs" / "anymodel.md": anymodel,
    FIXTURES / "README.md": fixtures,
    ROOT / "docs" / "generations.md": generations,
    ROOT / "docs" / "operators.md": operators,
}


def main() -> None:
    for path, table in PAGES.items():
        path.write_text(table())


if __name__ == "__main__":
    main()
