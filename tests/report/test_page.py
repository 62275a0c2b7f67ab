"""The page says everything, runs nothing of a file's, and needs nothing from elsewhere."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st

import tcn_migrate
from tcn_migrate.checkpoint import Content, Origin, StoredArray
from tcn_migrate.cli.main import main
from tcn_migrate.config.repair import Repair
from tcn_migrate.errors import MigrationError
from tcn_migrate.moves import Move, Plan, copied
from tcn_migrate.naming.entries import spoken
from tcn_migrate.outcome import Outcome
from tcn_migrate.recovery.recover import Recovery
from tcn_migrate.report import page, picture
from tcn_migrate.verify import Evidence
from tests.cases import case
from tests.report.browser import dumped, needs_browser, tried

EVIL = "<script>alert(1)</script><img src=http://evil.example onerror='x'>\x1b[31m\u202e\"'}}{{7*7}}"
NUMBERED = case("keras3/numbers-cross-10-k333").source
STRIPPED = case("keras3/norms-stripped").source


class Seen(HTMLParser):
    """The tags of a document, with their attributes."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return tcn_migrate.migrate(NUMBERED, tmp_path_factory.mktemp("new") / "new.keras", verify=False)


def hostile_outcome(tmp_path: Path) -> Outcome:
    """A migration of which every string that a file can choose is hostile."""
    array = StoredArray(EVIL, (2,), "float32", lambda: np.ones(2, np.float32))
    layer = {"module": EVIL, "class_name": EVIL, "config": {"name": EVIL}, "name": EVIL, "inbound_nodes": []}
    plan = Plan(
        origin=Origin(EVIL, EVIL, EVIL, Content(()), EVIL),
        target="layer",
        config={"class_name": "Functional", "config": {"layers": [layer]}},
        moves=(
            copied((EVIL, EVIL), EVIL, array),
            Move((EVIL, "gamma"), EVIL, (2,), (), "measured", lambda: np.ones(2, np.float32)),
        ),
        missing={(EVIL, "beta"): (EVIL, (2,))},
        ignored={EVIL: EVIL},
        repairs=(Repair(EVIL, EVIL, EVIL),),
        tcns={},
        warnings=(EVIL,),
    )
    nan = float("nan")
    recovery = Recovery(
        "measured", ((EVIL,),), (EVIL,), 0.1, (1.0, 0.1), {(EVIL,): 0.1}, ((1.0, 1.0), (2.0, 2.5), (nan, 1.0))
    )
    return Outcome(tmp_path / EVIL.replace("/", "|"), plan, Evidence(1, 1, 0, {(EVIL,): 0.0}), recovery)


def pages(tmp_path: Path, outcome: Outcome) -> dict[str, str]:
    hostile = hostile_outcome(tmp_path)
    return {
        "migrated": outcome.report(),
        "planned": page.planned(outcome.plan),
        "inspected": page.inspected(tcn_migrate.inspect(STRIPPED)),
        "hostile": hostile.report(),
        "hostile plan": page.planned(hostile.plan),
        "refused": page.refused(EVIL, MigrationError(EVIL, address=EVIL, expected=EVIL, found=EVIL, hint=EVIL)),
    }


def test_a_page_refers_to_nothing_outside_of_itself(tmp_path: Path, outcome: Outcome) -> None:
    for name, document in pages(tmp_path, outcome).items():
        seen = Seen(document)
        for tag, attributes in seen.tags:
            assert not {"src", "href", "srcset", "action", "data", "poster", "xlink:href"} & attributes.keys(), name
            assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form", "a"}, name
            assert not any(key.startswith("on") for key in attributes), name
        styles = re.findall(r"<style>(.*?)</style>", document, re.DOTALL)
        assert len(styles) == 1
        assert "url(" not in styles[0]
        assert "@import" not in styles[0]
        policy = next(m["content"] for m in seen.named("meta") if m.get("http-equiv") == "Content-Security-Policy")
        assert "default-src 'none'" in str(policy)


def test_a_name_in_a_file_is_text_and_never_markup(tmp_path: Path, outcome: Outcome) -> None:
    for name, document in pages(tmp_path, outcome).items():
        assert len(Seen(document).named("script")) == 1, name
        assert "<script>alert" not in document
        if "hostile" in name or name == "refused":
            assert "&lt;script&gt;alert(1)" in document
            assert "{{7*7}}" in document  # escaped once, and never taken for a template
        if "hostile" in name:
            assert not {"\x1b", "\u202e"} & set(document)


def test_every_variable_is_on_the_page_with_where_it_was_and_where_it_is(outcome: Outcome) -> None:
    document = outcome.report()
    rows = [a for tag, a in Seen(document).tags if tag == "tr" and "data-address" in a]

    assert [row["data-address"] for row in rows] == [spoken(move.address) for move in outcome.plan.moves]
    for move in outcome.plan.moves:
        assert f"<code>{move.sources[0].name}</code>" in document
        assert f"<code>{move.target}</code>" in document


def test_a_checksum_is_of_the_bytes_in_the_new_file(outcome: Outcome) -> None:
    import hashlib

    from tcn_migrate.containers import read_checkpoint

    document, arrays = outcome.report(), read_checkpoint(outcome.output).arrays
    for move in outcome.plan.moves:
        assert hashlib.sha256(arrays[move.target].read().tobytes()).hexdigest()[:16] in document


def test_the_picture_shows_each_layer_and_each_block(outcome: Outcome) -> None:
    selects = {a.get("data-select") for a in Seen(outcome.report()).named("g")}

    assert {"tcn", "dense", "tcn / residual_block_0", "tcn / residual_block_1"} <= selects


def test_recovered_norms_are_plotted_and_warned_of(tmp_path: Path) -> None:
    document = hostile_outcome(tmp_path).report()

    assert document.count("<polyline") == 2  # the fit's curve, and where old and new predictions are equal
    assert "new model&#39;s prediction over recorded prediction" in document
    assert 'class="after"' in document
    assert document.index('id="warnings"') < document.index('id="file"')


def test_every_table_has_headers_with_a_scope_and_headings_go_down_by_one(tmp_path: Path, outcome: Outcome) -> None:
    for document in pages(tmp_path, outcome).values():
        seen = Seen(document)
        assert all(attributes.get("scope") in ("row", "col") for attributes in seen.named("th"))
        assert len(seen.named("h1")) == 1
        assert not seen.named("h3")
        labels = {a["aria-labelledby"] for tag, a in seen.tags if tag == "section"}
        assert labels == {a["id"] for a in seen.named("h2")}


def test_results_show_as_a_framed_page_in_a_notebook(outcome: Outcome) -> None:
    for shown in (outcome, outcome.report(), outcome.plan, tcn_migrate.inspect(NUMBERED)):
        tags = Seen(shown._repr_html_()).tags
        assert [tag for tag, _ in tags] == ["iframe"]
        assert tags[0][1]["sandbox"] == "allow-scripts"
        assert str(tags[0][1]["srcdoc"]).startswith("<!doctype html>")


def test_the_suffix_of_a_report_says_what_it_is(tmp_path: Path) -> None:
    def run(*arguments: Any) -> int:
        return CliRunner().invoke(main, ["migrate", *map(str, arguments), "--no-verify"]).exit_code

    assert run(NUMBERED, tmp_path / "new.keras", "--report", tmp_path / "new.html") == 0
    assert "<!doctype html>" in (tmp_path / "new.html").read_text()
    assert run(STRIPPED, tmp_path / "lost.keras", "--report", tmp_path / "lost.html") == 3
    lost = (tmp_path / "lost.html").read_text()
    assert "--reinitialize</code>" in lost
    assert 'id="norms"' in lost  # what is in the file is on the page also where it was not migrated
    assert run(STRIPPED, tmp_path / "lost.keras", "--report", tmp_path / "lost.json") == 3
    assert json.loads((tmp_path / "lost.json").read_text())["error"] == "decision"


@pytest.mark.parametrize(
    ("interrupted", "message"),
    [
        ("tcn_migrate.write.write_keras", "stopped; nothing was written"),
        ("tcn_migrate.cli.show.write_report", "new.keras was written"),
    ],
)
def test_ctrl_c_says_whether_the_new_file_is_there(
    interrupted: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(interrupted, stop)
    new = tmp_path / "new.keras"

    result = CliRunner().invoke(
        main, ["migrate", str(NUMBERED), str(new), "--report", str(tmp_path / "page.html"), "--no-verify"]
    )

    assert result.exit_code == 130
    assert message in " ".join(result.output.split())
    assert new.exists() == interrupted.endswith("write_report")


def test_a_report_is_never_written_over_a_checkpoint(tmp_path: Path) -> None:
    old, new = tmp_path / "old.keras", tmp_path / "new.keras"
    shutil.copy(NUMBERED, old)
    for report in (old, new):
        result = CliRunner().invoke(main, ["migrate", str(old), str(new), "--report", str(report), "--no-verify"])
        assert result.exit_code == 1, result.output
    assert old.read_bytes() == NUMBERED.read_bytes()
    assert not new.exists()


TRIAL = """
<script>
addEventListener("load", () => {
  const every = [...document.querySelectorAll("#table tbody tr")];
  const rows = () => every.filter((row) => row.offsetParent !== null).length;
  const block = document.querySelector('[data-select="tcn / residual_block_0"]');
  const key = (name) => block.dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true}));
  const found = [rows()];
  block.dispatchEvent(new MouseEvent("click", {bubbles: true}));
  found.push(rows());
  key("Enter");
  found.push(rows());
  document.getElementById("search").value = "gamma";
  document.getElementById("search").dispatchEvent(new Event("input"));
  found.push(rows());
  key(" ");
  found.push(rows());
  document.getElementById("all").click();
  found.push(rows(), document.documentElement.scrollWidth <= innerWidth ? 1 : 0);
  document.body.setAttribute("data-found", found.join(" "));
});
</script>
"""


@needs_browser
@pytest.mark.parametrize("width", [420, 1200])
def test_in_a_browser_variables_are_filtered_by_click_and_by_key(tmp_path: Path, outcome: Outcome, width: int) -> None:
    found = tried(tmp_path, outcome.report(), TRIAL, width)

    everything, block, again, gammas, gamma_of_block, all_again, fits = found
    moves = outcome.plan.moves
    assert everything == again == all_again == len(moves)
    assert block == sum(move.address[:2] == ("tcn", "residual_block_0") for move in moves)
    assert (gammas, gamma_of_block) == (4, 2)
    assert fits, "the page is wider than its window"


@needs_browser
def test_in_a_browser_the_pages_own_script_runs_under_its_policy_and_a_strangers_does_not(
    tmp_path: Path, outcome: Outcome
) -> None:
    document = outcome.report().replace("</body>", "<script>document.body.setAttribute('data-bad', '')</script></body>")
    (tmp_path / "page.html").write_text(document)

    found = dumped(tmp_path, 1200)

    assert f"{len(outcome.plan.moves)} of {len(outcome.plan.moves)}" in found
    assert "<body data-bad" not in found


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12))
def test_ticks_are_few_round_and_between_the_ends(low: float, span: float) -> None:
    high = low + span
    assume(high > low and span > 1e-6 * abs(low))
    found = picture.ticks(low, high)
    assert 3 <= len(found) <= 8
    assert all(low - 1e-6 * span <= at <= high + 1e-6 * span for at in found)
    assert found == sorted(set(found))


def test_ticks_of_channels_are_channels() -> None:
    for last in (1, 2, 3, 7, 63, 400):
        assert all(at == int(at) and 0 <= at <= last for at in picture.ticks(0, last, whole=True))
    assert picture.ticks(2.5, 2.5) == [2.5]


def test_a_dot_lies_where_the_ticks_say() -> None:
    drawn = picture.channel_plot("gamma", [0.0, 10.0], [0.0, 10.0])
    at = {label: y for y, label in drawn.up.ticks}
    assert [y for _, y in drawn.after] == [at["0"], at["10"]]
    assert [x for x, _ in drawn.after] == [x for x, label in drawn.across.ticks if label in ("0", "1")]
    curve = picture.curve_plot("error", [1.0, 0.1, 0.01], "deviations")
    at = {label: y for y, label in curve.up.ticks}
    assert [float(point.split(",")[1]) for point in curve.line.split()] == pytest.approx(
        [at["1e+00"], at["1e-01"], at["1e-02"]]
    )


def test_each_axis_says_what_it_shows_and_in_which_unit(tmp_path: Path) -> None:
    document = hostile_outcome(tmp_path).report()
    plots = re.findall(r'<figure class="plot">.*?</figure>', document, re.DOTALL)
    assert len(plots) >= 3
    for plot in plots:
        assert plot.count('class="tick"') >= 2
    labels = ("channel", "value", "step", "standard deviations, logarithmic", "recorded prediction")
    assert all(f">{label}</text>" in document for label in labels)


def test_an_outcome_is_one_line_in_a_terminal(outcome: Outcome) -> None:
    assert len(repr(outcome)) < 300
    assert "28 copied; not verified" in repr(outcome)


def test_a_repair_is_marked_in_the_picture_and_shown_as_was_and_is(tmp_path: Path) -> None:
    old = case("functional/hard-sigmoid-lstm-gru-267").source
    made = tcn_migrate.migrate(old, tmp_path / "new.keras", verify=False)
    document = made.report()
    repaired = {repair.layer for repair in made.plan.repairs}
    marked = re.findall(r"<title>(\w+),[^<]*; repaired: ", document)
    assert set(marked) <= repaired
    assert len(marked) == document.count('class="mark"') >= 2
    section = document.partition('<h2 id="repairs">')[2].partition("</section>")[0]
    shown = set(re.findall(r'<tr><th scope="row">(\w+)</th>', section))
    assert shown
    assert shown <= repaired
    assert made.plan.stored is not None
    for row in re.findall(r'<tr><th scope="row".*?</tr>', section):
        layer, name, was, now = (html.unescape(text) for text in re.findall(r">([^<>]+)</", row))
        stored, written = _setting(made.plan.stored.config, layer, name), _setting(made.plan.config, layer, name)
        assert (was, now) == (stored, written)
        assert was != now


def _setting(config: Any, layer: str, name: str) -> str:
    (entry,) = [one for one in config["config"]["layers"] if one["config"]["name"] == layer]
    value = {**entry["config"], "class_name": entry["class_name"]}
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            return "not set"
        value = value[part]
    return json.dumps(value)


def test_evidence_is_ranked_and_drawn_with_the_largest_difference_first(outcome: Outcome) -> None:
    found = {("a",): 1e-9, ("b",): 3e-6, ("c",): 2e-4, ("d",): 0.0}
    document = dataclasses.replace(outcome, evidence=Evidence(4, 4, 0, found)).report()
    table = document.partition('aria-labelledby="differences"')[2].partition("</table>")[0]
    assert re.findall(r'scope="row">(\w)<', table) == ["c", "b", "a", "d"]
    lengths = [float(width) for width in re.findall(r'<rect width="([\d.]+)"', table)]
    assert lengths == sorted(lengths, reverse=True)
    assert (lengths[0], lengths[-1]) == (120.0, 0.0)
