"""Code is parsed, never run; what has to change in it changes, and nothing else."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcn_migrate.project.code import Change, applied, edits, parse
from tcn_migrate.project.requirements import updated


def changed(code: str, *, in_place: bool = False, needs_tcn: bool = True) -> str:
    source = parse(code)
    assert source is not None
    new = applied(code, edits(source, lambda load: Change(None if in_place else "new.keras", needs_tcn)))
    ast.parse(new)
    return new


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("import keras\nkeras.models.load_model('a.h5')", "a.h5"),
        ("import tensorflow as t\nt.keras.models.load_model(r'd\\a.h5')", "d/a.h5"),
        ("from tensorflow import keras as k\nk.saving.load_model(filepath='a.h5')", "a.h5"),
        ("from keras import models\nmodels.load_model('a.h5')", "a.h5"),
        ("from tensorflow.keras.models import *\nload_model('a.h5')", "a.h5"),
        ("import os, keras\nD = 'd'\nP = os.path.join(D, 'e', 'a.h5')\nkeras.models.load_model(P)", "d/e/a.h5"),
        ("import keras, pathlib\nkeras.models.load_model(str(pathlib.Path('d') / 'a.h5'))", "d/a.h5"),
        (
            "from pathlib import Path\nimport keras\n"
            "B = Path(__file__).resolve().parent\nkeras.models.load_model(B / 'a.h5')",
            "a.h5",
        ),
        ("from pathlib import Path\nimport keras\nkeras.models.load_model(Path('d').joinpath('a.h5'))", "d/a.h5"),
        ("import keras\nP = 'a.h5'\nP = 'b.h5'\nkeras.models.load_model(P)", None),
        ("import keras\nfor P in 'ab':\n    keras.models.load_model(P)", None),
        ("import keras\ndef f(P):\n    keras.models.load_model(P)\nP = 'a.h5'", None),
        ("import keras\nP = 'a'\nP += '.h5'\nkeras.models.load_model(P)", None),
        ("import keras\nkeras.models.load_model(f())", None),
        ("m.load_weights('w.h5')", "w.h5"),
    ],
)
def test_the_path_is_what_the_code_says_or_unknown(code: str, path: str | None) -> None:
    source = parse(code)
    assert source is not None
    assert [load.path for load in source.loads] == [path]


@pytest.mark.parametrize(
    "code",
    ["load_model('a.h5')", "import joblib\njoblib.load_model('a.h5')", "import mlflow\nmlflow.keras.load_model('a')"],
)
def test_other_functions_of_that_name_are_none(code: str) -> None:
    source = parse(code)
    assert source is not None
    assert source.loads == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("load_model('d/a.h5', custom_objects={'TCN': TCN})", "load_model('d/new.keras')"),
        (
            "load_model('a.h5', custom_objects={'TCN': TCN, 'F1': F1}, compile=False)",
            "load_model('new.keras', custom_objects={'F1': F1}, compile=False)",
        ),
        ("load_model(custom_objects={'TCN': TCN}, filepath='a.h5')", "load_model(filepath='new.keras')"),
        ("load_model('a.h5', custom_objects=MINE)", "load_model('new.keras', custom_objects=MINE)"),
        ('load_model(u"é/a.h5")  # é', 'load_model(u"é/new.keras")  # é'),
    ],
)
def test_a_call_loads_the_new_file(old: str, new: str) -> None:
    head = "from keras.models import load_model\nfrom tcn import TCN\n"
    assert changed(head + old) == head.replace("from tcn import", "from tcn_migrate import") + new


def test_the_file_is_opened_in_place() -> None:
    assert changed(
        "import keras\nm = keras.models.load_model('a.h5')\nm.load_weights('w.h5')\n", in_place=True, needs_tcn=False
    ) == ("import keras\nimport tcn_migrate\nm = tcn_migrate.load_model('a.h5')\ntcn_migrate.load_weights(m, 'w.h5')\n")


def test_the_import_of_the_layer_stands_before_the_call() -> None:
    assert changed(
        '"""Doc."""\nfrom __future__ import annotations\nimport keras\nkeras.models.load_model("a.h5")\nimport os\n'
    ) == (
        '"""Doc."""\nfrom __future__ import annotations\nimport keras\nfrom tcn_migrate import TCN\n'
        'keras.models.load_model("new.keras")\nimport os\n'
    )


def test_more_of_keras_tcn_stays() -> None:
    new = changed("import keras\nfrom tcn import TCN, tcn_full_summary\nkeras.models.load_model('a.h5')\n")
    assert "from tcn import TCN, tcn_full_summary\nfrom tcn_migrate import TCN\n" in new


@given(st.text(alphabet="aé𝒳'\"\\ \n#,()=.", max_size=40))
def test_what_is_not_changed_stays_letter_for_letter(text: str) -> None:
    comment = (text.splitlines() or [""])[0]
    code = f"import keras\nx = {text!r}; keras.models.load_model('a.h5'); y = {text!r} # {comment}\n"
    source = parse(code)
    if source is None:
        return
    assert applied(code, edits(source, lambda load: None)) == code
    assert changed(code, needs_tcn=False) == code.replace("load_model('a.h5')", "load_model('new.keras')")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tensorflow==2.11.0\n", "tensorflow>=2.18\n"),
        ("tensorflow-cpu>=2.4,<2.12\n", "tensorflow-cpu>=2.18\n"),
        ("Keras~=2.4", "keras>=3.8"),
        ("keras-tcn==3.5.0\n", "tcn-migrate\n"),
        ("  - tensorflow=2.4\n", "  - tensorflow>=2.18\n"),
        ('deps = ["tensorflow==2.4", "x"]', 'deps = ["tensorflow>=2.18", "x"]'),
        ("tensorflow-probability==0.11\n", "tensorflow-probability==0.11\n"),
        ("keras-preprocessing\n", "keras-preprocessing\n"),
        ("# tensorflow==2.4 was here\n", "# tensorflow==2.4 was here\n"),
        ("tensorflow @ https://x/y.whl\n", "tensorflow @ https://x/y.whl\n"),
    ],
)
def test_requirements_name_releases_in_which_the_new_files_load(old: str, new: str) -> None:
    assert updated(old, needs_tcn_migrate=True, keeps_keras_tcn=False) == new
