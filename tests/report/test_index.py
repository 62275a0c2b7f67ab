"""The page of a batch has a row for each file, those first that need something, and costs no memory a file."""

from __future__ import annotations

import html
import importlib
import json
import re
import shutil
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tcn_migrate.batch.journal import lines
from tcn_migrate.cli.main import main
from tcn_migrate.report import index
from tcn_migrate.report.index import indexed
from tests.batch import archive
from tests.readme import ROOT
from tests.report.browser import dumped, needs_browser, tried
from tests.report.test_page import EVIL, Seen


def entry(source: str, verdict: str = "migrated", exit_code: int = 0, **more: Any) -> dict[str, Any]:
    return {"source": source, "target": f"/new/{source}", "verdict": verdict, "exit_code": exit_code, **more}


HOSTILE = [
    entry(EVIL, "migrated", warnings=[EVIL], releases=[EVIL], container=EVIL, keras_version=EVIL, target=EVIL),
    entry(f"{EVIL}2", EVIL, 1, message=f"{EVIL} --reference", error=EVIL),
    {"source": "/only"},
    {"source": "/odd", "verdict": 3, "exit_code": "x", "warnings": 7, "releases": {}, "message": ["--reference"]},
]


def page_of(*entries: dict[str, Any]) -> str:
    return "".join(indexed(lambda: iter(entries)))


def rows(document: str) -> list[tuple[str | None, str | None]]:
    return [(a["data-address"], a["data-grade"]) for a in Seen(document).named("tr") if "data-address" in a]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after a batch: models, new, and new/index.html."""
    folder = tmp_path_factory.mktemp("run")
    models = archive.make(folder / "models")
    arguments = ["batch", models, "--to", folder / "new", "--report", folder / "new" / "index.html"]
    result = CliRunner().invoke(main, [*map(str, arguments), "--no-verify", "--workers", "2", "--quiet"])
    assert result.exit_code == 3, result.output
    return folder


def test_each_file_has_a_row_and_what_needs_something_comes_first(run: Path) -> None:
    document = (run / "new" / "index.html").read_text()

    found = rows(document)
    verdicts = [verdict for _, verdict in found]
    assert {source for source, _ in found} == set(archive.SOURCES)
    assert verdicts == ["refused"] * 2 + ["decision needed"] + ["migrated"] * 6
    assert "9 files: 6 migrated, 2 refused, 1 decision needed" in document
    assert "hdf5 model, Keras 2.3.1" in document


def test_a_row_says_what_to_type_next(run: Path) -> None:
    document = (run / "new" / "index.html").read_text()
    source, target = run / "models/2021/stripped.keras", run / "new/2021/stripped.keras"

    assert f"tcn-migrate migrate {source} {target} --reference recorded.npz</code>" in document
    assert f"{run / 'models/2023/cut-off.keras'}</code>" not in document  # an inspection ends as the migration did


def test_a_census_has_a_page_too_and_leaves_nothing_else(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "census.html"

    result = CliRunner().invoke(
        main, ["batch", str(run / "models"), "--inspect-only", "--report", str(page), "--workers", "1", "--quiet"]
    )

    assert result.exit_code == 3
    assert "6 can be migrated" in page.read_text()
    assert f"tcn-migrate migrate {run / 'models/2023/plain.keras'}</code>" in page.read_text()
    assert list(tmp_path.iterdir()) == [page]


def test_the_page_of_a_run_that_went_on_has_what_was_done_before(run: Path) -> None:
    before = (run / "new" / "index.html").read_text()
    arguments = ["batch", run / "models", "--to", run / "new", "--report", run / "new" / "index.html", "--resume"]

    CliRunner().invoke(main, [*map(str, arguments), "--no-verify", "--workers", "1", "--quiet"])

    # What failed is tried again, so its rows come in the order in which it ended this time.
    assert sorted(rows((run / "new" / "index.html").read_text())) == sorted(rows(before))


def test_a_page_that_cannot_be_written_is_said_before_the_work(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = ["batch", str(run / "models"), "--to", str(tmp_path / "new"), "--workers", "1", "--no-verify"]

    blocked = CliRunner().invoke(main, [*arguments, "--report", str(tmp_path / "file" / "index.html")])
    no_page = CliRunner().invoke(main, [*arguments, "--report", str(tmp_path / "index.json")])

    assert (blocked.exit_code, no_page.exit_code) == (1, 2)
    assert "cannot be written" in blocked.output
    assert not (tmp_path / "new").exists()


def test_of_several_lines_for_one_file_the_last_counts() -> None:
    document = page_of(entry("/a/x", "crashed", 1, message="died"), entry("/a/y"), entry("/a/x"))

    assert rows(document) == [("y", "migrated"), ("x", "migrated")]
    assert "Nothing is left to do" in document


def test_no_file_at_all_is_a_page_too() -> None:
    assert "0 files" in page_of()


def test_what_a_file_says_is_text_and_never_markup() -> None:
    document = page_of(*HOSTILE)

    seen = Seen(document)
    assert len(seen.named("script")) == 1
    assert not seen.named("img")
    assert not any(key.startswith("on") for _, attributes in seen.tags for key in attributes)
    assert "&lt;script&gt;alert(1)" in document
    assert "{{7*7}}" in document
    assert not {"\x1b", "\u202e"} & set(document)
    assert len(rows(document)) == len(HOSTILE)


def test_of_very_many_files_those_that_need_something_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "MOST_ROWS", 1000)
    count = 3000
    journal = tmp_path / "migration.jsonl"
    with journal.open("w") as file:
        for k in range(count):
            bad = {"message": "it is damaged"} if k == count - 1 else {}
            made = entry(f"/models/{k:06}", *(("refused", 1) if bad else ("migrated", 0)), releases=["3.5.0"], **bad)
            file.write(json.dumps({**made, "repairs": ["x" * 3000]}) + "\n")
    begin, end = "", ""
    tracemalloc.start()
    for piece in indexed(lambda: lines(journal)):
        begin += piece if len(begin) < 20_000 else ""
        end = (end + piece)[-6000:]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert rows(begin)[0] == (f"{count - 1:06}", "refused")
    assert "2000 more files are not shown" in end
    assert peak < 3 << 20  # the journal has 9 MB


TRIAL = """
<script>
addEventListener("load", () => {
  const every = [...document.querySelectorAll("#table tbody tr")];
  const rows = () => every.filter((row) => row.offsetParent !== null).length;
  const found = [rows()];
  document.querySelector('button[data-grade="refused"]').click();
  found.push(rows());
  document.getElementById("search").value = "CUT-OFF";
  document.getElementById("search").dispatchEvent(new Event("input"));
  found.push(rows());
  document.getElementById("all").click();
  found.push(rows(), document.documentElement.scrollWidth <= innerWidth ? 1 : 0);
  document.body.setAttribute("data-found", found.join(" "));
});
</script>
"""


@needs_browser
@pytest.mark.parametrize("width", [420, 1200])
def test_in_a_browser_files_are_filtered_by_verdict_and_by_words(run: Path, tmp_path: Path, width: int) -> None:
    document = (run / "new" / "index.html").read_text()

    assert tried(tmp_path, document, TRIAL, width) == [9, 2, 1, 9, 1]


@needs_browser
def test_in_a_browser_hostile_names_do_nothing(tmp_path: Path) -> None:
    evil = entry("<script>document.body.setAttribute('data-bad', '')</script>", "<b onclick=1>", 1, message=EVIL)
    (tmp_path / "page.html").write_text(page_of(evil, *HOSTILE))

    found = dumped(tmp_path, 1200)

    assert "<body data-bad" not in found
    assert "5 of 5" in found


AGAIN = ("batch", "/models", "--to", "/new", "--resume")


def groups(document: str) -> list[tuple[str, str]]:
    """Of each group of failures how many files it has, and the command that may help them."""
    section = document.partition('<h2 id="causes">')[2].partition("</section>")[0]
    found = re.findall(r'<tr><td class="number">(\d+)</td>(.*?)</tr>', section, re.DOTALL)
    commands = [re.search(r'<code class="copy" tabindex="0">(.*?)</code>', row) for _, row in found]
    return [(count, html.unescape(one[1]) if one else "") for (count, _), one in zip(found, commands, strict=True)]


def test_failures_are_grouped_by_cause_before_the_table_with_the_command_that_may_help_them() -> None:
    lost = "4 variables of 1 norms are not in the file. Say how: --reinitialize (afresh)."
    unknown = "layer 'x{}': its class 'Own' is neither built in nor supplied. Give it: --custom-objects package.module"
    entries = [entry(f"/models/lost{n}.h5", "decision needed", 3, error="decision", message=lost) for n in range(3)]
    entries += [entry(f"/m/c{n}.h5", "refused", 1, error="class", message=unknown.format(n)) for n in range(5)]
    entries += [entry("/m/cut.h5", "refused", 1, error="container", message="it is truncated.")]
    entries += [entry("/m/slow.h5", "timed out", 1, error="timed out", message="took longer than 600 seconds")]
    entries += [entry(f"/m/good{n}.h5", verified=True) for n in range(20)]
    document = "".join(indexed(lambda: iter(entries), AGAIN))
    begun = "tcn-migrate batch /models --to /new --resume"
    assert groups(document) == [
        ("5", f"{begun} --custom-objects package.module"),
        ("3", f"{begun} --reinitialize"),
        ("1", ""),
        ("1", f"{begun} --time-limit 0"),
    ]
    assert document.index('id="causes"') < document.index('id="files"')
    assert "not loaded to verify" not in document
    assert all(command == "" for _, command in groups("".join(indexed(lambda: iter(entries)))))


def test_the_commands_of_groups_are_understood() -> None:
    command = importlib.import_module("tcn_migrate.cli.batch").command
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(index._OF_BATCH) | {words[0] for words in index._HELP.values() if words} <= known


def test_sentences_that_differ_only_in_names_and_numbers_are_one_cause() -> None:
    messages = [f"layer 'a{n}': kernel of {n} numbers cannot be said. Try more." for n in range(9)]
    entries = [entry(f"/{n}", "refused", 1, error="refused", message=m) for n, m in enumerate(messages)]
    entries.append(entry("/other", "refused", 1, error="refused", message="another thing"))
    assert [count for count, _ in groups(page_of(*entries))] == ["9", "1"]


def test_many_causes_are_one_group_in_the_end() -> None:
    letters = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(400)]
    entries = [entry(f"/{w}", "refused", 1, error="refused", message=f"cause {w}") for w in letters]
    found = groups(page_of(*entries))
    assert len(found) == index.MOST_CAUSES + 1
    assert found[0][0] == str(400 - index.MOST_CAUSES)


def test_the_page_says_that_new_files_were_not_verified(run: Path) -> None:
    assert "6 new files were not loaded to verify them (--no-verify)" in (run / "new" / "index.html").read_text()


NODE = shutil.which("node")
STUB = """
class Item {
  constructor(text, more = {}) {
    Object.assign(this, {textContent: text, dataset: {}, hidden: false, events: {}, at: {}, children: []}, more);
  }
  addEventListener(name, does) { this.events[name] = does; }
  getAttribute(name) { return this.at[name] ?? null; }
  setAttribute(name, value) { this.at[name] = value; }
  removeAttribute(name) { delete this.at[name]; }
  replaceChildren(...items) { this.inside = items; }
  append(...items) { this.children = items; }
  after() {}
}
const body = new Item("");
const rows = Array.from({length: 5000}, (_, n) => {
  const name = String((n * 7919) % 5000).padStart(4, "0");
  return new Item(name, {dataset: {address: name, grade: "migrated"}, children: [new Item(name)], parentNode: body});
});
const head = new Item("file"); head.parentNode = {children: [head]};
const ids = {table: new Item("", {dataset: {most: "200"}}), search: new Item("", {value: ""})};
for (const id of ["more", "shown", "all"]) ids[id] = new Item("");
const document = {
  querySelectorAll: (words) => words.includes("tbody tr") ? rows : words.includes("th.sort") ? [head] : [],
  getElementById: (id) => ids[id] ?? null,
  createElement: () => new Item(""),
};
"""
TRIED = """
const seen = () => [rows.filter((row) => !row.hidden).length, ids.shown.textContent, ids.more.hidden];
const found = [seen()];
ids.more.events.click(); found.push(seen());
ids.search.value = "123"; ids.search.events.input(); found.push(seen());
ids.all.events.click();
for (const _ of [1, 2]) {
  head.inside[0].events.click();
  const first = body.children.filter((row) => !row.hidden)[0];
  found.push([body.children[0].textContent, first.textContent, head.at["aria-sort"]]);
}
console.log(JSON.stringify(found));
"""


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
def test_five_thousand_rows_are_shown_in_parts_filtered_and_sorted() -> None:
    """The page's script, on as much of a document as it asks for."""
    script = (ROOT / "tcn_migrate" / "report" / "page.js").read_text()
    done = subprocess.run([str(NODE), "-"], input=STUB + script + TRIED, capture_output=True, text=True, check=True)
    matching = sum("123" in f"{n:04}" for n in range(5000))
    assert json.loads(done.stdout) == [
        [200, "the first 200; 5000 of 5000 fit", False],
        [400, "the first 400; 5000 of 5000 fit", False],
        [matching, f"{matching} of 5000", True],
        ["0000", "0000", "ascending"],
        ["4999", "4999", "descending"],
    ]
