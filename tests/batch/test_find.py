"""What is found, and what the new files are called."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcn_migrate.batch.find import Source, find
from tcn_migrate.batch.names import targets
from tcn_migrate.errors import MigrationError
from tests.batch import archive
from tests.cases import FIXTURES


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return archive.make(tmp_path / "models")


def names(found: list[Source], folder: Path) -> list[str]:
    return [os.path.relpath(source.path, folder) for source in found]


def test_a_folder_is_searched_for_every_container_and_keeps_its_structure(models: Path) -> None:
    found = find([str(models)])

    assert names(found, models) == list(archive.SOURCES)
    assert targets(found, "/new") == [f"/new/{name}" for name in archive.SOURCES.values()]


def test_content_decides_and_a_name_is_enough_to_be_reported(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "functional/batch-norm-281/old.h5", tmp_path / "hdf5 without suffix")
    shutil.copy(FIXTURES / "keras3/one-block/old.keras", tmp_path / "archive.bin")
    (tmp_path / "empty.h5").touch()
    np.savez(tmp_path / "arrays.npz", x=np.zeros(3))  # a zip archive as well
    (tmp_path / "model.json").write_text("{}")

    assert names(find([str(tmp_path)]), tmp_path) == ["archive.bin", "empty.h5", "hdf5 without suffix"]


def test_a_saved_model_is_one_source_and_what_lies_beside_its_parts_is_another(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "keras2/savedmodel-tf26-340/old", tmp_path / "saved")
    archive.copies(tmp_path / "saved" / "assets", 1)
    archive.copies(tmp_path / "saved", 1, "best.keras")

    found = find([str(tmp_path)])

    assert names(found, tmp_path) == ["saved", "saved/best.keras"]
    assert [source.kind for source in found] == ["savedmodel", "file"]
    assert targets(found, "/new") == ["/new/saved.keras", "/new/saved/best.keras"]


def test_a_saved_model_that_is_named_itself_gets_its_own_name(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "keras2/savedmodel-tf26-340/old", tmp_path / "saved")

    assert targets(find([str(tmp_path / "saved")]), "/new") == ["/new/saved.keras"]
    assert find([str(tmp_path / "saved" / "saved_model.pb")]) == find([str(tmp_path / "saved")])


def test_a_checkpoint_is_one_source_under_each_of_its_names(models: Path) -> None:
    folder = models / "2020"
    prefix = [Source(str(folder / "old-1"), "prefix", str(folder))]

    assert find([str(folder / "old-1")]) == prefix
    assert find([str(folder / "old-1.index")]) == prefix
    assert find([str(folder / "old-1.data-00000-of-00001")]) == prefix
    assert find([str(folder / "old-1*"), str(folder)]) == prefix


def test_a_pattern_is_expanded_here_and_one_that_fits_nothing_is_said(models: Path) -> None:
    found = find([str(models / "**" / "*.h5")])

    assert names(found, models) == ["2021/weights/last.weights.h5", "2023/deep/er/functional.h5"]
    assert targets(found, "/new") == ["/new/2021/weights/last.keras", "/new/2023/deep/er/functional.keras"]
    with pytest.raises(MigrationError, match="nothing fits"):
        find([str(models / "*.hdf5")])


def test_a_file_of_a_name_like_a_pattern_is_the_file(tmp_path: Path) -> None:
    archive.copies(tmp_path, 1, "model[1].keras")

    assert names(find([str(tmp_path / "model[1].keras")]), tmp_path) == ["model[1].keras"]


def test_what_was_named_is_a_source_even_if_it_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a checkpoint")

    assert names(find([str(tmp_path / "notes.txt"), str(tmp_path / "gone")]), tmp_path) == ["gone", "notes.txt"]


def test_links_to_folders_unfinished_files_pipes_and_the_new_files_are_not_searched(tmp_path: Path) -> None:
    archive.copies(tmp_path / "models", 1)
    archive.copies(tmp_path / "models" / "new", 1)
    archive.copies(tmp_path / "models" / ".old.keras.abcd1234.part", 1)
    (tmp_path / "models" / "round").symlink_to(tmp_path / "models")
    os.mkfifo(tmp_path / "models" / "pipe")

    found = find([str(tmp_path / "models")], leave_out=str(tmp_path / "models" / "new"))

    assert names(found, tmp_path) == ["models/model-0000.keras"]


def test_two_sources_that_would_get_one_name_keep_their_suffixes(tmp_path: Path) -> None:
    for name in ("a.h5", "a.keras", "b.weights.h5", "a-1.2"):
        archive.copies(tmp_path, 1, name)

    found = find([str(tmp_path)])

    assert targets(found, "/new") == [
        "/new/a-1.2.keras",
        "/new/a.h5.keras",
        "/new/a.keras.keras",
        "/new/b.keras",
    ]


def test_folders_that_were_asked_for_together_stay_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        archive.copies(tmp_path / folder, 1, "a.keras")

    found = find([str(tmp_path / "one"), str(tmp_path / "two")])

    assert targets(found, "/new") == ["/new/one/a.keras", "/new/two/a.keras"]


def test_a_key_that_leads_out_of_the_new_folder_is_refused() -> None:
    found = [Source("s3://bucket/models/../../x.h5", "file", "s3://bucket/models")]

    (target,) = targets(found, "/new")

    assert isinstance(target, MigrationError)
    assert "leads out" in str(target)


NAMES = st.lists(
    st.from_regex(r"\A(x/){0,2}[ab]{1,2}(\.keras|\.h5|\.weights|\.ckpt|\.hdf5|\.1){0,3}\Z"), min_size=1, unique=True
)


@given(NAMES)
def test_no_two_sources_get_one_target_and_order_does_not_matter(paths: list[str]) -> None:
    sources = [Source(f"/old/{path}", "file", "/old") for path in paths]

    there = dict(zip(paths, targets(sources, "/new"), strict=True))
    back = dict(zip(reversed(paths), targets(sources[::-1], "/new"), strict=True))

    assert {k: str(v) for k, v in there.items()} == {k: str(v) for k, v in back.items()}
    given_out = [target for target in there.values() if isinstance(target, str)]
    assert len(set(given_out)) == len(given_out)
    assert all(target.startswith("/new/") and target.endswith(".keras") for target in given_out)
