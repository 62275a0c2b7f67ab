"""The README is true: every command in it was run, and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.batch import archive
from tests.readme import ROOT, console_blocks, played, python_blocks, stage

PAGES = [path for path in (ROOT / "README.md", ROOT / "docs" / "cookbook.md") if path.exists()]


def steady(text: str) -> str:
    """What does not differ from machine to machine.

    Seconds do, and so do the last bits of what Keras computes: differences below 1e-4, of which none may be left, and
    so how many predictions are equal bit for bit. Variables are equal bit for bit everywhere.
    """
    text = re.sub(r"in \d+ s\b", "in ~ s", text)
    text = re.sub(r"\b\d(\.\d+)?e-(0[5-9]|[1-9]\d)\b", "~", text)
    predictions = re.search(r"^outputs\n(?:  .*\n)+.*\n?", text, re.MULTILINE)
    if predictions is None:
        return text
    table = re.sub(r"(?<=\t)0(?=\t)", "~", predictions[0])
    table = re.sub(r"\d+ of (\d+) outputs are equal", r"~ of \1 outputs are equal", table)
    return text.replace(predictions[0], re.sub(r"difference is 0 standard", "difference is ~ standard", table))


def test_nothing_that_is_expected_depends_on_the_processor() -> None:
    here = "outputs\n  output\tnote\n  dense\t0\t0\t\n1 of 1 outputs are equal bit for bit; "
    here += "the largest difference is 0 standard deviations\n"
    there = here.replace("\t0\t0\t", "\t6e-08\t1.5e-07\t").replace("1 of 1", "0 of 1").replace("is 0 s", "is 1.5e-07 s")
    wrong = there.replace("6e-08", "0.3")
    variables = "28 of 28 variables are equal bit for bit; the largest difference is 0 standard deviations\n"

    assert steady(here) == steady(there) != steady(wrong)
    assert steady(variables) == variables != steady(variables.replace("28 of", "27 of"))
    assert steady("agree to 1e-07") == steady("agree to 3e-06") != steady("agree to 2e-03")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_page_shows_is_what_the_commands_print(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page.read_text()
    stage(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    for block in console_blocks(text):
        assert steady(played(block, tmp_path)) == steady(block)
    for block in python_blocks(text):
        exec(compile(block, str(page), "exec"), {})


def test_the_commands_that_are_shown_without_their_output_work(tmp_path: Path) -> None:
    stage(tmp_path, "")
    archive.copies(tmp_path / "models", 1)
    blocks = re.findall(r"^```sh\n(.*?)^```$", "".join(page.read_text() for page in PAGES), re.MULTILINE | re.DOTALL)
    parts = [part.partition(" #")[0].strip() for line in "".join(blocks).splitlines() for part in line.split("&&")]
    commands = [part for part in parts if part.startswith("tcn-migrate ")]

    assert len(commands) >= 5
    assert {part for part in parts if part not in commands} <= {"pip install .", "pip install '.[test]'", "pytest"}
    printed = played("".join(f"$ {command}\n" for command in commands), tmp_path)
    assert "(exit code" not in printed, printed
    assert "1 migrated" in (tmp_path / "index.html").read_text()


def test_the_page_leads_nowhere_wrong() -> None:
    for page in PAGES:
        # The README's links are absolute, so that they lead somewhere from a package index, too.
        text = re.sub(
            r"https://(github|raw\.githubusercontent)\.com/tcn-migrate/tcn-migrate/(blob/)?main/", "", page.read_text()
        )
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text) + re.findall(r'src="([^"]+)"', text):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_readme_leads_somewhere_from_a_package_index() -> None:
    text = (ROOT / "README.md").read_text()
    assert not re.findall(r"\]\((?!https?:|#)", text) + re.findall(r'src="(?!https:)', text)


def test_ten_lines_record_what_a_model_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras
    import numpy as np

    from tcn_migrate import TCN
    from tcn_migrate.recovery.files import read_recorded

    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in python_blocks((ROOT / "docs" / "cookbook.md").read_text()) if "savez" in block]
    space: dict[str, Any] = {}
    exec(compile(block, "cookbook.md", "exec"), space)
    one, two = keras.Input((8, 3)), keras.Input((5,))
    end = TCN(4, dilations=(1, 2))(one)
    x, z = np.ones((6, 8, 3), np.float32), np.zeros((6, 5), np.float32)

    for inputs, outputs, given in ([one], [end], x), ([one, two], [end, keras.layers.Dense(2)(two)], [x, z]):
        model = keras.Model(inputs, outputs)
        space["record"](model, given)
        names, shapes = [i.name for i in inputs], [tuple(i.shape) for i in inputs]
        read_x, read_y = read_recorded("recorded.npz", names, shapes, len(outputs))
        assert [array.shape for array in read_x] == [(6, *shape[1:]) for shape in shapes]
        wanted = model.predict(given, verbose=0)
        for found, expected in zip(read_y, wanted if len(outputs) > 1 else [wanted], strict=True):
            np.testing.assert_array_equal(found, expected)


MESSAGES = """
A total of 20 objects could not be loaded. Example error message for object <BatchNormalization name=batch_normalization_20, built=True>: Layer 'batch_normalization_20' expected 4 variables, but received 0 variables during loading. Expected: ['gamma', 'beta', 'moving_mean', 'moving_variance']
How can I load the weight file?
compiled_tcn(use_weight_norm=True)
the new layer tcn expects 24 weights, but the saved weights have 40 elements
Mismatch in model structure between keras-tcn versions
ValueError: Unknown layer: TCN
Unknown layer: 'TCN'. Please ensure you are using a keras.utils.custom_object_scope
Unrecognized keyword arguments passed to TCN: {'use_weight_norm': False}
IndexError: tuple index out of range
tcn.tcn is not loaded, but a Lambda layer uses it
has the same name 'Conv1D' as a built-in Keras object
Unrecognized keyword arguments passed to GRU: {'time_major': False}
Unrecognized keyword arguments passed to LSTM: {'batch_input_shape'
Unrecognized keyword arguments passed to DepthwiseConv2D: {'groups': 1}
Unrecognized keyword arguments: ['batch_shape']
Could not deserialize class 'Functional' because its parent module keras.src.engine.functional cannot be imported
File format not supported: filepath=
Keras 3 only supports V3 .keras and .weights.h5 files
Note that the legacy SavedModel format is not supported
TFSMLayer
Layer 'lstm_cell' expected 3 variables, but received 0 variables during loading
'list' object has no attribute 'items'
Unknown layer: 'TFOpLambda'
Unknown layer: 'SlicingOpLambda'
Unknown layer: Functional
Could not interpret initializer identifier
Could not locate class 'TCN'. Make sure custom classes are decorated with @keras.saving.register_keras_serializable()
convert them in bulk
go on training
"""  # noqa: E501


@pytest.mark.parametrize("message", MESSAGES.strip().splitlines())
def test_who_searches_for_a_message_finds_the_page(message: str) -> None:
    text = " ".join(" ".join(page.read_text() for page in PAGES).split())

    assert message in text
