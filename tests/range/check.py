"""What a migrated file does in an environment that has little else: run by noxfile.py, not by pytest.

    check.py write FILES             migrate every fixture, both targets, into the folder FILES
    check.py read FILES WHAT [SET]   load and predict; WHAT is plain, keras-tcn or tcn_migrate; SET limits the fixtures
    check.py train FILES WHAT        fit, save, load again, predict, with some files of every kind
    check.py migrate FOLDER          migrate some fixtures and verify them, with the Keras that is here

The last line that is printed is JSON: how many passed, what failed, and how many this Keras cannot read, by reason.
WHAT also says what must not be imported.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
TRAINED = (
    "keras3-numbered-from-20-k38.", "keras3-layer-norms-353-k38.", "keras3-bidirectional.", "keras3-time-distributed.",
    "keras3-same-dynamic-time.", "keras3-go-backwards-sequence.", "keras3-two-tcns", "keras3-nested-functional.",
    "keras2-weight-norm-321.", "keras2-elu-skip-312.", "keras2-zip-first-convolution", "keras2-same-last-step-290.",
)  # fmt: skip
"""What is trained: each kind of norm, of step and of place once, and the functions of earlier releases."""
FIXTURES = Path(__file__).parent.parent.parent / "legacy_fixtures"


def write(files: Path) -> Iterator[str | None]:
    """Migrates every fixture that comes out exactly."""
    from tcn_migrate.errors import MigrationError
    from tcn_migrate.migration import migrate

    files.mkdir(parents=True)
    for spec in sorted(FIXTURES.rglob("case.json")):
        case, name = json.loads(spec.read_text()), f"{spec.parent.parent.name}-{spec.parent.name}"
        if case["expect"] != "exact" or not (spec.parent / "golden.npz").exists():
            continue
        options = [option.replace("{case}", str(spec.parent)) for option in case.get("options", [])]
        named = dict(zip(options[::2], options[1::2], strict=False))
        settings = {"architecture": named.get("--architecture"), "last_step": "--last-step" in options}
        (files / f"{name}.npz").write_bytes((spec.parent / "golden.npz").read_bytes())
        (files / f"{name}.json").write_text(json.dumps({"tolerance": case.get("tolerance", 1e-4)}))
        for target in ("layer",) if case.get("plain") == "refuse" else ("plain", "layer"):
            try:
                migrate(
                    spec.parent / case["source"],
                    files / f"{name}.{target}.keras",
                    target=target,
                    verify=False,
                    **settings,
                )
            except MigrationError as error:
                yield f"{name} {target}: {error}"
            else:
                yield None


def prepared(what: str) -> None:
    """Makes sure that nothing else is imported than what the user would have."""
    for module in {"plain": ("tcn_migrate", "tcn"), "keras-tcn": ("tcn_migrate",), "tcn_migrate": ("tcn",)}[what]:
        sys.modules[module] = None  # type: ignore[assignment]
    if what == "keras-tcn":
        import tcn  # noqa: F401
    elif what == "tcn_migrate":
        from tcn_migrate import TCN  # noqa: F401


def version() -> tuple[int, ...]:
    import keras

    return tuple(int(part) for part in keras.__version__.split(".")[:2])


def limit(model: Any) -> str | None:
    """Why this release of Keras cannot read or run a model, whoever wrote it; None if it can."""
    text = json.dumps(model)
    if version() < (3, 2) and "__slice__" in text:
        return "a range of a slice needs Keras 3.2"  # 3.0 and 3.1 cannot read one that they wrote themselves
    if version() < (3, 10) and '"activation": {' in text:
        return "an activation that is a layer needs Keras 3.10"  # 3.8 cannot read one that it wrote itself
    if version() < (3, 5) and '"CategoryEncoding"' in text:
        return "CategoryEncoding needs Keras 3.5"  # those before take no floating-point numbers
    if version() < (3, 5) and any(
        layer["class_name"] == "TimeDistributed" and "layers" in layer["config"]["layer"]["config"]
        for layer in model["config"]["layers"]
    ):
        return "a model in a TimeDistributed needs Keras 3.5"  # those before know the shape of no such output
    if version() < (3, 8) and is_called_behind_itself(model):
        # Up to 3.6 it ends in "Layer node index out of bounds".
        return "a layer that is called again behind its own output needs Keras 3.8"
    return None


def is_called_behind_itself(model: Any) -> bool:
    """Whether a shared layer takes the output of a layer that stands behind it, such as the one PReLU of a TCN."""
    layers = model["config"]["layers"]
    places = {layer["config"].get("name"): number for number, layer in enumerate(layers)}
    for number, layer in enumerate(layers):
        if "layers" in layer["config"] and is_called_behind_itself(layer):
            return True
        calls = layer.get("inbound_nodes") or []
        sources = re.findall(r'"keras_history": \["([^"]+)"', json.dumps(calls)) if len(calls) > 1 else []
        if any(places.get(source, -1) > number for source in sources):
            return True
    return False


def files_for(files: Path, what: str, command: str, sets: tuple[str, ...]) -> Iterator[tuple[Path, str | None]]:
    """The files that a check is about, and why one cannot be read here."""
    for file in sorted(files.glob("*.plain.keras" if what == "plain" else "*.layer.keras")):
        config = zipfile.ZipFile(file).read("config.json").decode()
        if what != "plain" and not any(name in config for name in ("Custom>TCN", "LegacyTCN", "FixedTraining")):
            continue  # it is the plain file
        if what == "keras-tcn" and ("LegacyTCN" in config or "FixedTraining" in config):
            continue  # of a function that keras-tcn does not have any more, or of a layer that it never had
        if not file.name.startswith(TRAINED if command == "train" else sets):
            continue
        yield file, limit(json.loads(config))


def golden(file: Path) -> tuple[Any, list[Any], float]:
    """Inputs as the model takes them, the old predictions, and how far off one may be."""
    import numpy as np

    stem = file.with_name(file.name.rsplit(".", 2)[0])
    held = np.load(f"{stem}.npz")
    inputs = [held[key] for key in sorted(held.files) if key.startswith("x")]
    wanted = [held[key] for key in sorted(held.files) if key.startswith("y")]
    return inputs if len(inputs) > 1 else inputs[0], wanted, json.loads(Path(f"{stem}.json").read_text())["tolerance"]


def listed(outputs: Any) -> list[Any]:
    outputs = list(outputs.values()) if isinstance(outputs, dict) else outputs
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def difference(got: list[Any], wanted: list[Any]) -> float:
    import numpy as np

    return max(
        float(np.abs(np.asarray(g, "float64") - w).max()) / max(float(w.std()), 1e-6)
        for g, w in zip(got, wanted, strict=True)
    )


def read(file: Path) -> str | None:
    import keras

    inputs, wanted, tolerance = golden(file)
    error = difference(listed(keras.saving.load_model(file).predict_on_batch(inputs)), wanted)
    return None if error <= tolerance else f"off by {error:.3g}"


def train(file: Path) -> str | None:
    import keras
    import numpy as np

    inputs, wanted, _ = golden(file)
    model = keras.saving.load_model(file, compile=False)
    if any(np.asarray(one).dtype.kind not in "fiu" for one in listed(inputs)):
        return None
    targets = [np.zeros(w.shape, "float32") for w in wanted]
    model.compile("adam", "mse" if len(wanted) == 1 else ["mse"] * len(wanted))
    before = [np.asarray(variable).copy() for variable in model.trainable_variables]
    model.fit(inputs, targets if len(targets) > 1 else targets[0], epochs=1, verbose=0)
    if before and all(np.array_equal(a, np.asarray(b)) for a, b in zip(before, model.trainable_variables, strict=True)):
        return "nothing was learned"
    saved = file.with_name(f"trained-{os.getpid()}.keras")
    model.save(saved)
    again = keras.saving.load_model(saved, compile=False)
    saved.unlink()
    before, after = (
        [keras.ops.convert_to_numpy(y) for y in listed(one(inputs, training=False))] for one in (model, again)
    )
    error = difference(after, before)
    return None if error <= 1e-4 else f"saved and loaded, it is off by {error:.3g}"


def migrate_here(folder: Path) -> Iterator[str | None]:
    """Migrates with verification a handful of fixtures of every kind."""
    from tcn_migrate.migration import migrate

    folder.mkdir(parents=True, exist_ok=True)

    def migrated(source: Path, target: str) -> None:
        migrate(source, folder / "new.keras", target=target, overwrite=True)

    for name in ("keras2/weight-norm-321", "keras2/zip-batch-norm-tf215-354", "keras3/numbered-from-20-k38",
                 "keras3/bidirectional", "keras2/same-middle-step-292", "training/adam-h5-tf215-350"):  # fmt: skip
        source = json.loads((FIXTURES / name / "case.json").read_text())["source"]
        for target in ("layer", "plain"):
            yield attempt(partial(migrated, FIXTURES / name / source, target), f"{name} {target}")


def attempt(what: Callable[[], str | None], name: str) -> str | None:
    try:
        problem = what()
    except Exception as error:  # whatever a user would meet
        problem = f"{type(error).__name__}: {' '.join(str(error).split())[-300:]}"
    return None if problem is None else f"{name}: {problem}"


def main() -> int:
    warnings.filterwarnings("ignore")
    command, folder = sys.argv[1], Path(sys.argv[2])
    limits: Counter[str] = Counter()
    if command == "write":
        results = list(write(folder))
    elif command == "migrate":
        results = list(migrate_here(folder))
    else:
        prepared(sys.argv[3])
        run, results = {"read": read, "train": train}[command], []
        for file, reason in files_for(folder, sys.argv[3], command, tuple(sys.argv[4:]) or ("",)):
            if reason is None:
                results.append(attempt(partial(run, file), file.name))
            else:
                limits[reason] += 1
    failed = [result for result in results if result is not None]
    print(json.dumps({"passed": len(results) - len(failed), "failed": failed, "limits": limits}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
