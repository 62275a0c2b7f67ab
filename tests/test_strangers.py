"""Files that people hold and that are no checkpoints are recognized by their content, with the next step."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tcn_migrate
from tcn_migrate.containers import strangers
from tcn_migrate.errors import ContainerError, MigrationError


def zipped(*names: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return memory.getvalue()


def npz() -> bytes:
    memory = io.BytesIO()
    np.savez(memory, x=np.zeros(3))
    return memory.getvalue()


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


FILES = {
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2097152\n",
        r"a Git LFS pointer.*2\.0 MiB.*git lfs pull",
    ),
    "web page": (
        b"\n<!DOCTYPE html>\n<html><head><title>Sign in \x1b[31m</title>",
        r"a web page with the title 'Sign in \\x1b\[31m'.*download failed",
    ),
    "answer of a store": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML.*download"),
    "pickle": (pickle.dumps({"scaler": 1}), "a pickle.*never opened.*model.save"),
    "old pickle": (pickle.dumps([1], protocol=0), "pickle"),
    "compressed joblib": (b"\x78\x9c" + bytes(30), "joblib"),
    "torch": (zipped("archive/data.pkl", "archive/data/0"), r"a PyTorch checkpoint.*torch\.load"),
    "old torch": (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "a PyTorch checkpoint"),
    "torchscript": (zipped("m/data.pkl", "m/code/__torch__.py", "m/constants.pkl"), r"a TorchScript model.*torch\.jit"),
    "npz": (npz(), r"a NumPy \.npz archive"),
    "zip of a model": (zipped("models/a.h5"), "a zip archive with checkpoints in it.*Unpack"),
    "zip of a SavedModel": (zipped("m/saved_model.pb", "m/variables/variables.index"), "a SavedModel in a zip.*Unpack"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(64), "a TensorFlow Lite model.*Migrate the .h5"),
    "onnx": (b"\x08\x08" + field(2, b"tf2onnx") + field(3, b"1.16"), "an ONNX model.*Migrate the .h5"),
    "coreml": (b"\x08\x04" + field(2, field(1, field(1, b"input") + field(3, b""))), "a Core ML model"),
    "frozen": (field(1, field(1, b"x") + field(2, b"Placeholder")), "a frozen graph of TensorFlow 1"),
    "graph": (b"\x08\x01" + field(2, field(1, field(4, b"serve"))), "the graph of a SavedModel under another name"),
    "empty": (b"", "an empty file.*download"),
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "gzip.*Unpack"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    content, expected = FILES[name]
    (tmp_path / "model.h5").write_bytes(content)
    with pytest.raises(ContainerError, match=f"(?s){expected}"):
        tcn_migrate.plan(tmp_path / "model.h5")


def test_a_core_ml_package_is_known(tmp_path: Path) -> None:
    (tmp_path / "m.mlpackage" / "Data" / "com.apple.CoreML").mkdir(parents=True)
    (tmp_path / "m.mlpackage" / "Manifest.json").write_text("{}")
    with pytest.raises(ContainerError, match="a Core ML package"):
        tcn_migrate.plan(tmp_path / "m.mlpackage")


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "m.pkl").write_bytes(pickle.dumps(Canary()))
    with pytest.raises(MigrationError):
        tcn_migrate.plan(tmp_path / "m.pkl")
    assert not (tmp_path / "ran").exists()


@given(st.binary(max_size=60), st.sampled_from([content for content, _ in FILES.values()]), st.integers(0, 60))
def test_no_content_ends_in_anything_but_words(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, start: bytes, cut: int
) -> None:
    path = tmp_path_factory.mktemp("f") / "x"
    path.write_bytes(start[:cut] + tail)
    found = strangers.recognize(path)
    assert found is None or all(text and text.isprintable() for text in found)
