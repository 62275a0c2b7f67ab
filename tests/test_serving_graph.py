"""A SavedModel's serving graph computes what the old library recorded, and the new model has to agree with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import tcn_migrate
from tcn_migrate import serving_check
from tcn_migrate.cli.main import main
from tcn_migrate.containers import saved_model
from tcn_migrate.errors import VerificationError
from tcn_migrate.proof import Proof
from tcn_migrate.serving_graph import compare as comparing
from tcn_migrate.serving_graph import messages, serving
from tcn_migrate.serving_graph.compare import compare
from tcn_migrate.serving_graph.limits import NotInterpreted
from tcn_migrate.serving_graph.names import model_inputs, model_outputs
from tcn_migrate.serving_graph.witness import Witness, witness
from tcn_migrate.trial_run import run_once
from tests.cases import Case, case, cases

SMALL = case("serving/sequential-tf24")


def is_traced(one: Case) -> bool:
    try:
        witness(one.source)
    except NotInterpreted:
        return False
    return True


FOLDERS = [one for one in cases() if one.source.is_dir()]
TRACED = [one for one in FOLDERS if is_traced(one)]


def recorded(one: Case, graph: Witness) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recorded inputs and outputs by the names of the signature."""
    golden, config = np.load(one.folder / "golden.npz"), saved_model.read(one.source).config
    inputs = [golden[key] for key in sorted(golden.files) if key.startswith("x")]
    outputs = [golden[key] for key in sorted(golden.files) if key.startswith("y")]
    names = model_inputs(config) or list(graph.serving.inputs)
    return (
        dict(zip(names, inputs, strict=True)),
        dict(zip(model_outputs(config), outputs, strict=True)),
    )


def test_fixtures_have_serving_graphs() -> None:
    assert len(TRACED) >= 8
    assert len(FOLDERS) > len(TRACED)


@pytest.mark.parametrize("single", [False, True], ids=["float64", "float32"])
@pytest.mark.parametrize("one", TRACED, ids=lambda one: one.name)
def test_the_graph_computes_what_the_old_library_recorded(one: Case, single: bool) -> None:
    graph = witness(one.source)
    inputs, wanted = recorded(one, graph)
    got = graph.predict(inputs, single=single)
    assert got.keys() == wanted.keys()
    for name, old in wanted.items():
        assert got[name].shape == old.shape
        assert got[name].dtype == (np.float32 if single else np.float64)
        assert np.abs(got[name] - old).max() <= 1e-5 * old.std()


@pytest.mark.parametrize("name", ["serving/recurrent-tf215", "serving/attention-tf24", "serving/convolutions-tf215"])
def test_a_migrated_model_agrees_with_the_graph_and_says_so(name: str, tmp_path: Path) -> None:
    outcome = tcn_migrate.migrate(case(name).source, tmp_path / "new.keras")
    assert outcome.evidence is not None
    agreement = outcome.evidence.serving_graph
    assert agreement is not None
    assert agreement.not_compared is None
    assert sorted(agreement.outputs) == sorted(witness(case(name).source).serving.outputs)
    assert 0 <= max(agreement.outputs.values()) < 1e-5
    assert outcome.as_json()["evidence"]["serving_graph"]["outputs"] == dict(agreement.outputs)
    assert "The exported serving graph agrees" in outcome.report()


def changed(tmp_path: Path, old: bytes, new: bytes, one: Case = SMALL) -> Path:
    """A copy of a SavedModel in whose graph one word is another of the same length."""
    assert len(old) == len(new)
    folder = tmp_path / "changed"
    shutil.copytree(one.source, folder)
    content = (folder / "saved_model.pb").read_bytes()
    assert old in content
    (folder / "saved_model.pb").write_bytes(content.replace(old, new))
    return folder


def test_a_graph_that_disagrees_with_the_config_ends_in_exit_4_with_both_values(tmp_path: Path) -> None:
    folder, new = changed(tmp_path, b"Softplus", b"Softsign"), tmp_path / "new.keras"
    result = CliRunner().invoke(main, [str(folder), str(new)])
    assert result.exit_code == 4
    assert not new.exists()
    said = " ".join(result.output.split())
    assert "output 'dense'" in said
    assert "(the graph)" in said
    assert "(the new model)" in said


def test_masks_that_were_not_repaired_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcn_migrate.config.masks.repair_masks", lambda config, *others, **more: (config, []))
    monkeypatch.setattr("tcn_migrate.verify.prove", lambda model, *others: Proof(run_on=run_once(model)))
    with pytest.raises(VerificationError, match="output 'head': the new model predicts something else"):
        tcn_migrate.migrate(case("serving/attention-tf24").source, tmp_path / "new.keras")


def test_an_unknown_operation_is_named_and_the_migration_goes_on(tmp_path: Path) -> None:
    folder, new = changed(tmp_path, b"Softplus", b"Softplux"), tmp_path / "new.keras"
    result = CliRunner().invoke(main, [str(folder), str(new)])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "serving graph was not compared: unknown operation 'Softplux' at node 'sequential/dense/Softplux'" in said


def test_a_model_saved_without_traces_is_said_to_have_no_graph(tmp_path: Path) -> None:
    outcome = tcn_migrate.migrate(case("keras2/savedmodel-tf26-340").source, tmp_path / "new.keras", verify=True)
    assert outcome.evidence is not None
    assert outcome.evidence.serving_graph is not None
    assert "saved without traces" in outcome.evidence.serving_graph.sentence


def test_other_containers_have_no_word_about_a_graph(tmp_path: Path) -> None:
    outcome = tcn_migrate.migrate(case("keras2/elu-skip-312").source, tmp_path / "new.keras")
    assert outcome.evidence is not None
    assert outcome.evidence.serving_graph is None
    assert outcome.as_json()["evidence"]["serving_graph"] is None


def test_a_signature_with_other_names_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_check, "model_outputs", lambda config: ["another"])
    outcome = tcn_migrate.migrate(SMALL.source, tmp_path / "new.keras")
    assert outcome.evidence is not None
    assert outcome.evidence.serving_graph is not None
    assert "its outputs 'dense' are not called as those of the model, 'another'" in (
        outcome.evidence.serving_graph.not_compared or ""
    )


def test_recovered_norms_may_differ_from_the_graph_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from tcn_migrate import verify

    real = verify.compare_with_serving_graph

    def recovered(model: Any, plan: Any) -> Any:
        return real(model, replace(plan, moves=(replace(plan.moves[0], sources=()), *plan.moves[1:])))

    monkeypatch.setattr(verify, "compare_with_serving_graph", recovered)
    folder = changed(tmp_path, b"Softplus", b"Softsign")
    outcome = tcn_migrate.migrate(folder, tmp_path / "new.keras")
    assert outcome.evidence is not None
    assert outcome.evidence.serving_graph is not None
    assert "differs in 1 output" in outcome.evidence.serving_graph.sentence
    assert "norms were recovered" in outcome.evidence.serving_graph.sentence


def _compared(factor: float, **more: Any) -> list[Any]:
    graph = witness(SMALL.source)
    inputs, wanted = recorded(SMALL, graph)
    return compare(graph, inputs, {name: old * factor for name, old in wanted.items()}, **more)[1]


def test_a_difference_beyond_rounding_is_too_large_unless_the_model_computes_in_16_bits() -> None:
    assert not _compared(1)
    [found] = _compared(1 + 1e-3)
    assert found.output == "dense"
    assert 1e-4 < found.difference < 5e-2
    assert found.graph != found.model
    assert not _compared(1 + 1e-3, half=True)


def test_outputs_that_hardly_vary_are_not_refused_for_their_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    value = np.array([[1.0], [1.0 + 1e-9]])

    class Constant(Witness):
        def predict(self, inputs: Any, *, single: bool = False) -> dict[str, Any]:
            return {"y": value.astype(np.float32) + np.float32(3e-7) if single else value}

    graph = Constant(None)  # type: ignore[arg-type]
    assert not compare(graph, {}, {"y": value + 6e-7})[1]
    monkeypatch.setattr(comparing, "ROUNDINGS", 0)
    assert compare(graph, {}, {"y": value + 6e-7})[1]
    assert compare(graph, {}, {"y": np.full((2, 1), np.nan)})[1]
    assert compare(graph, {}, {"y": value[:1]})[1]


def test_the_error_is_a_verification_error(tmp_path: Path) -> None:
    with pytest.raises(VerificationError) as caught:
        tcn_migrate.migrate(changed(tmp_path, b"Softplus", b"Softsign"), tmp_path / "new.keras")
    assert "--no-verify" in str(caught.value)


def test_large_files_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, _ = recorded(SMALL, witness(SMALL.source))
    for bound, why in {
        "LARGEST_GRAPH": "MiB",
        "MOST_FUNCTIONS": "functions",
        "MOST_WEIGHTS": "variables of more than 0 values together",
        "LARGEST_VARIABLE": "of more than 0 values",
    }.items():
        with monkeypatch.context() as patched:
            patched.setattr(messages if bound == "MOST_FUNCTIONS" else serving, bound, 0)
            with pytest.raises(NotInterpreted, match=why):
                witness(SMALL.source).predict(inputs)


def test_names_are_those_of_keras_2() -> None:
    ends = [["a", 0, 0], ["a", 1, 0], ["b", 0, 0], ["a", 2, 0]]
    model = {"class_name": "Functional", "config": {"layers": [], "output_layers": ends, "input_layers": ["x", 0, 0]}}
    assert model_outputs(model) == ["a", "a_1", "b", "a_2"]
    assert model_inputs(model) == ["x"]
