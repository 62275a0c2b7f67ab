"""A healthy file of today's keras-tcn is recognised, from the file alone, and still migrated if that is wanted."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import tcn_migrate
from tcn_migrate.cli.main import main
from tcn_migrate.inspection import ALREADY, inspect
from tests.cases import case

HEALTHY = ["keras3/plain-357-k3151", "keras3/among-other-layers", "training/adam-zip-k315-357"]
"""Unmodified keras-tcn 3.5.7 loads these in Keras 3.15.1, as was tried with every `.keras` fixture of Keras 3."""

BROKEN = [
    "keras3/numbered-from-20-k38",  # norms under numbers of the session
    "keras3/layer-norm-354-k310",  # a setting that 3.5.5 does not take any more
    "keras3/bidirectional",
    "keras3/one-norm-stripped-357",
    "keras2/zip-batch-norm-tf215-354",
]


@pytest.mark.parametrize("name", HEALTHY)
def test_inspect_says_of_a_healthy_file_that_it_already_loads(name: str) -> None:
    assert inspect(case(name).source)["verdict"] == ALREADY


@pytest.mark.parametrize("name", BROKEN)
def test_inspect_never_says_so_of_a_file_that_does_not_load(name: str) -> None:
    assert inspect(case(name).source)["verdict"] != ALREADY


@pytest.mark.parametrize("target", ["layer", "plain"])
def test_a_healthy_file_is_still_emitted_in_the_wanted_target(target: str, tmp_path: Path) -> None:
    new = tmp_path / "new.keras"

    done = CliRunner().invoke(main, [str(case(HEALTHY[0]).source), str(new), "--target", target])

    assert done.exit_code == 0
    assert ALREADY not in done.output  # while something is being done
    assert new.exists()


def test_plan_says_of_a_healthy_file_that_it_already_loads() -> None:
    assert ALREADY in CliRunner().invoke(main, ["plan", str(case(HEALTHY[0]).source)]).output


@pytest.mark.parametrize(
    "loss",
    [
        {"class_name": "__lambda__", "config": {"value": ["4wEAAAA=", None, None]}},
        "a_loss_of_my_own",
        {"module": "my_module", "class_name": "MyLoss", "config": {}, "registered_name": "MyLoss"},
    ],
    ids=["code", "a function", "a class"],
)
def test_a_file_is_not_called_healthy_for_a_loss_that_keras_does_not_load(loss: Any, tmp_path: Path) -> None:
    """Keras refuses the code of a lambda, and cannot find what is not its own."""
    source = case("training/adam-zip-k315-357").source
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(tmp_path / "old.keras", "w") as changed:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["compile_config"]["loss"] = loss
                content = json.dumps(config).encode()
            changed.writestr(name, content)

    assert inspect(tmp_path / "old.keras")["verdict"] != ALREADY
    assert not tcn_migrate.plan(tmp_path / "old.keras", drop_optimizer=True).loads_already


def test_a_broken_file_is_not_called_healthy_when_it_is_migrated(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [str(case(BROKEN[0]).source), str(tmp_path / "new.keras")])

    assert done.exit_code == 0
    assert ALREADY not in done.output
