"""`check` says in one line and one exit code what a file is, and it is what the other commands find."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tcn_migrate.cli.main import main
from tests.cases import FIXTURES, case, cases
from tests.readme import ROOT


def check(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["check", *map(str, arguments)])


STATES = {
    "keras3/plain-357-k3151": (0, "healthy"),
    "keras3/numbered-from-20-k38": (1, "needs migration"),
    "keras2/elu-skip-312": (1, "needs migration"),
    "keras3/norms-stripped": (3, "decision"),
    "keras2/no-architecture-340": (3, "decision"),
    "formulas/untranslatable-refused": (4, "unsafe"),
    "keras3/subclass-of-tcn": (3, "decision"),
    "keras3/cut-off-keras": (4, "damaged"),
}


@pytest.mark.parametrize("name", STATES)
def test_one_line_and_one_exit_code(name: str) -> None:
    result = check(case(name).source)
    code, state = STATES[name]
    assert result.exit_code == code
    (line,) = result.output.splitlines()
    assert f"{case(name).source.name}: {state}" in line


def test_the_worst_of_all_counts_and_a_folder_is_searched() -> None:
    assert check(*(case(name).source for name in STATES)).exit_code == 4
    assert check(*(case(name).source for name, (code, _) in STATES.items() if code < 3)).exit_code == 1
    rows = json.loads(check(FIXTURES / "keras3", "--json").output)
    assert {"healthy", "needs migration", "decision", "damaged"} <= {row["state"] for row in rows}


def test_what_migrates_exactly_is_never_called_damaged() -> None:
    exact = [one for one in cases() if one.facts["expect"] == "exact" and not one.options]
    assert len(exact) > 50
    result = check(*(one.source for one in exact), "--json")
    wrong = {row["path"]: row["message"] for row in json.loads(result.output) if row["exit_code"] > 1}
    assert not wrong


def test_quiet_prints_nothing_and_what_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    quiet = check("-q", case("keras3/norms-stripped").source)
    assert (quiet.exit_code, quiet.output) == (3, "")
    for missing in ("none.h5", "*.keras"):
        result = check(tmp_path / missing)
        assert result.exit_code == 2
        assert missing in result.output


def test_the_hook_takes_the_files_that_check_reads() -> None:
    text = (ROOT / ".pre-commit-hooks.yaml").read_text()
    (command,) = re.findall(r"entry: tcn-migrate (\w+)", text)
    (pattern,) = re.findall(r"files: (.*)", text)
    assert command == "check"
    assert all(re.search(pattern, name) for name in ("a/old.h5", "b.weights.h5", "c.HDF5", "d.keras"))
    assert not re.search(pattern, "keras.py")
