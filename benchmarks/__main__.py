"""Measures every promise about speed, side by side with what a user would do instead.

    python -m benchmarks                     print the table
    python -m benchmarks --write             write docs/speed.md, docs/speed.svg and the README's table as well
    python -m benchmarks --only inspected    unverified, verified, large, inspected, batches, calibrated, or growth

Needs `pip install '.[benchmark]'`, three gigabytes of disk and an idle machine. Takes half an hour on two cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks import growth, lines
from benchmarks.growth import Growth
from benchmarks.lines import Line

ROOT = Path(__file__).parent.parent
COMMAND = "python -m benchmarks --write"
MARKS = "<!-- speed: begin -->", "<!-- speed: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="how often each command is timed")
    parser.add_argument("--only", choices=[*lines.GROUPS, "growth"], help="one group of lines")
    parser.add_argument("--folder", type=Path, help="where files are made; by default where temporary files go")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=options.folder) as place:
        folder = Path(place, "files")
        folder.mkdir()
        seen: list[Line] = []
        for name, group in lines.GROUPS.items():
            for line in group(folder, options.runs) if options.only in (None, name) else ():
                print(row(line), flush=True)
                seen.append(line)
        grown: list[Growth] = []
        if options.only in (None, "growth"):
            for one in growth.growths(folder, options.runs):
                print(grown_row(one), flush=True)
                grown.append(one)
    if options.write:
        write(seen, grown)


def row(line: Line) -> str:
    cells = (line.what, line.instead, line.ours, line.other, line.seen, line.promised, "yes" if line.kept else "**no**")
    return f"| {' | '.join(cells)} |"


def grown_row(one: Growth) -> str:
    last = one.costs[-1]
    memory = f"{last.peak >> 20} MiB" if last.peak else ""
    slope = f"{one.exponent('peak'):.2f}" if last.peak else ""
    ends = f"{one.counts[0]:,} to {one.counts[-1]:,} {one.axis}".replace(",", " ")
    return f"| {one.what} | {ends} | {last.seconds:.1f} s | {memory} | {one.exponent('seconds'):.2f} | {slope} |"


def machine() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("keras", "tensorflow", "h5py", "numpy"))
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {packages}"


def write(seen: list[Line], grown: list[Growth]) -> None:
    """Writes what the README and docs/speed.md show."""
    table = "\n".join((
        "| this | instead | takes | instead of | which is | promised | kept |",
        "|---|---|---|---|---|---|---|",
        *map(row, seen),
    ))  # fmt: skip
    growths = "\n".join((
        "| this | from, to | the largest took | and | steepest slope of time | of memory |",
        "|---|---|---|---|---|---|",
        *map(grown_row, grown),
    ))  # fmt: skip
    (ROOT / "docs/speed.md").write_text(f"""# How fast it is

Written by `{COMMAND}` on {machine()}. Each line was measured side by side with what a user would do instead, in turn;
the figures are medians. Timings are never asserted in the tests; what can be counted is
([tests/test_counts.py](../tests/test_counts.py)).

{table}

## Growth

A slope of 1 on doubly logarithmic paper is linear: ten times as much takes ten times as long.

![time and memory against parameters, blocks, files and samples](speed.svg)

{growths}
""")
    readme = ROOT / "README.md"
    begin, end = MARKS
    short = "\n".join((
        "| this | instead | which is |",
        "|---|---|---|",
        *(f"| {line.what} | {line.instead or '-'} | {line.seen} |" for line in seen),
    ))  # fmt: skip
    text = readme.read_text()
    readme.write_text(re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{short}\n{end}", text, flags=re.DOTALL))
    draw(grown, ROOT / "docs/speed.svg")


def draw(grown: list[Growth], path: Path) -> None:
    """Time and memory on doubly logarithmic paper, a panel for each axis."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "speed", "font.size": 9})
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(grown), figsize=(3 * len(grown), 3), layout="constrained")
    for panel, one in zip(panels, grown, strict=True):
        seconds = [cost.seconds for cost in one.costs]
        panel.loglog(one.counts, seconds, "o-", color="tab:blue", label="seconds")
        first = one.counts[-1] / one.counts[0]
        panel.loglog(
            [one.counts[0], one.counts[-1]], [seconds[-1] / first, seconds[-1]], ":", color="gray", label="linear"
        )
        panel.set_ylim(min(seconds) / 3, max(seconds) * 3)
        panel.set_title(one.what.replace("`", ""), fontsize=9)
        panel.set_xlabel(one.axis)
        if one.costs[0].peak:
            memory = panel.twinx()
            memory.loglog(one.counts, [cost.peak / 2**20 for cost in one.costs], "s--", color="tab:orange", label="MiB")
            memory.set_ylim(10, 10_000)
        panel.legend(loc="upper left", frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
