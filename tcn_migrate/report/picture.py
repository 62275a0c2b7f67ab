"""Pictures as plain numbers: where each box, line and dot lies. The template draws them as SVG."""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.errors import quoted
from tcn_migrate.moves import Plan
from tcn_migrate.naming.entries import Address, class_of, is_model, layers_of, name_of, spoken
from tcn_migrate.tcn.reading import TCNReading

MOST_LAYERS = 60
MOST_BLOCKS = 48
MOST_POINTS = 400
"""What one picture shows at most; beyond it nobody could read it."""

GRADES = ("copied", "folded", "rescaled", "reordered", "refitted", "measured", "initialized", "missing")
"""From the most exact to what is not there."""

Grades = Mapping[Address, str]


@dataclass(frozen=True)
class Box:
    """One box of a picture.

    Attributes:
        x, y, width, height: in SVG's user units.
        lines: what stands in it, safe to print.
        grade: the least exact grade of its variables, or None if it has none.
        select: the address that it stands for, as the table of variables spells it.
        repaired: what was repaired in the layer's config, in sentences.
    """

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    grade: str | None = None
    select: str = ""
    repaired: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """Boxes and the lines between them.

    Attributes:
        title: what it shows, for those who do not see it too.
        paths: lines, as SVG path data made of numbers alone.
        left_out: how many boxes there was no room for.
    """

    title: str
    width: float
    height: float
    boxes: tuple[Box, ...]
    paths: tuple[str, ...]
    left_out: int = 0


@dataclass(frozen=True)
class Axis:
    """One axis of a plot.

    Attributes:
        label: what it shows, and in which unit.
        ticks: where each tick lies, in user units, and the number at it.
    """

    label: str
    ticks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Plot:
    """Values over channels or steps, or over other values.

    Attributes:
        title: what it shows.
        across, up: its axes.
        before, after: dots, (x, y) in user units.
        line: points of a line, as SVG writes them.
        height: in user units.
    """

    title: str
    across: Axis
    up: Axis
    before: tuple[tuple[float, float], ...] = ()
    after: tuple[tuple[float, float], ...] = ()
    line: str = ""
    height: float = 170.0


PLOT_WIDTH = 300.0
PLOT_LEFT, PLOT_RIGHT, PLOT_TOP, PLOT_BOTTOM = 52.0, 12.0, 10.0, 38.0
"""Room around what is plotted, for the ticks and the labels."""


def counted(blocks: int) -> str:
    return f"{blocks} block" if blocks == 1 else f"{blocks} blocks"


def grades_of(plan: Plan) -> dict[Address, str]:
    """The grade of each variable, the missing ones included."""
    return {**{move.address: move.grade for move in plan.moves}, **dict.fromkeys(plan.missing, "missing")}


def worst(grades: Grades, prefix: Address) -> str | None:
    """The least exact grade below an address."""
    found = {grade for address, grade in grades.items() if address[: len(prefix)] == prefix}
    return max(found, key=GRADES.index, default=None)


def model_picture(plan: Plan) -> Picture:
    """The layers of the new model from top to bottom, each joined with those that feed it."""
    grades = grades_of(plan)
    entries = list(_entries(plan.config, (), closed=plan.tcns))
    shown = entries[:MOST_LAYERS]
    places = {address: index for index, (address, _, _) in enumerate(shown)}
    jumps = any(places.get(a, index) < index - 1 for index, (_, _, feeding) in enumerate(shown) for a in feeding)
    row, left, boxes = 40.0, 96.0 if jumps else 8.0, []
    repairs: dict[str, list[str]] = {}
    for repair in plan.repairs:
        repairs.setdefault(repair.layer, []).append(repair.sentence)
    for index, (address, entry, _) in enumerate(shown):
        indent = 22.0 * min(len(address) - 1, 6)
        tcn = plan.tcns.get(address)
        kind = quoted(class_of(entry), 26)[1:-1] + (f", {counted(tcn.settings.blocks)}" if tcn else "")
        grade = worst(grades, address)
        lines = (quoted(address[-1], 34)[1:-1], kind)
        boxes.append(
            Box(
                left + indent,
                8 + index * row,
                420 - indent,
                30,
                lines,
                grade,
                spoken(address),
                tuple(repairs.get(address[-1], ())),
            )
        )
    paths = []
    for index, (_, _, feeding) in enumerate(shown):
        for source in feeding:
            start = places.get(source)
            if start is None or start >= index:
                continue
            top, bottom = 8 + start * row, 8 + index * row
            indent = max(boxes[start].x, boxes[index].x)
            if start == index - 1:
                paths.append(f"M{indent + 24:g} {top + 30:g}V{bottom:g}")
            else:
                reach = min(80.0, 18 + 7 * (index - start))
                a, b, up, down = boxes[start].x, boxes[index].x, top + 15, bottom + 15
                paths.append(f"M{a:g} {up:g}C{a - reach:g} {up:g} {b - reach:g} {down:g} {b:g} {down:g}")
    height = 16 + row * len(shown)
    title = f"The model's {len(entries)} layers"
    return Picture(title, left + 428, height, tuple(boxes), tuple(paths), len(entries) - len(shown))


def _entries(
    model: Json, address: Address, closed: Container[Address]
) -> Iterator[tuple[Address, Json, tuple[Address, ...]]]:
    """Each layer, the layers of nested models after their model: address, entry, and the layers that feed it.

    A TCN is one layer here also where it became a model of plain layers; its blocks have a picture of their own.
    """
    before: Address | None = None
    for entry in layers_of(model):
        here = (*address, name_of(entry))
        if class_of(model) == "Sequential":
            feeding: tuple[Address, ...] = () if before is None else (before,)
        else:
            feeding = tuple((*address, name) for name in dict.fromkeys(_fed_by(entry.get("inbound_nodes"))))
        yield here, entry, feeding
        if is_model(entry) and here not in closed:
            yield from _entries(entry, here, closed)
        before = here


def _fed_by(nodes: Any) -> Iterator[str]:
    if isinstance(nodes, Mapping):
        tensor = nodes.get("config") if nodes.get("class_name") == "__keras_tensor__" else None
        history = tensor.get("keras_history") if isinstance(tensor, Mapping) else None
        if isinstance(history, list | tuple) and history:
            yield str(history[0])
        else:
            yield from _fed_by(list(nodes.values()))
    elif isinstance(nodes, list | tuple):
        for node in nodes:
            yield from _fed_by(node)


def tcn_picture(plan: Plan, reading: TCNReading) -> Picture:
    """The blocks of one TCN in the order of computation, in rows."""
    grades, settings = grades_of(plan), reading.settings
    shown = min(settings.blocks, MOST_BLOCKS)
    width, height, gap, across = 150.0, 62.0, 20.0, 5
    boxes: list[Box] = []

    def put(lines: Iterable[str], below: Address | None) -> None:
        row, column = divmod(len(boxes), across)
        x, y = 8 + column * (width + gap), 8 + row * (height + gap)
        address = None if below is None else (*reading.address, *below)
        grade = None if address is None else worst(grades, address)
        boxes.append(Box(x, y, width, height, tuple(lines), grade, "" if address is None else spoken(address)))

    put(("input", f"{reading.input_width} features"), None)
    if reading.generation.first_convolution:
        put(("main_conv1D", "1×1 convolution"), ("main_conv1D",))
    for k in range(shown):
        name = f"residual_block_{k}"
        norm = "weight norm" if settings.weight_norm else f"{reading.norm} norm" if reading.norm else "no norm"
        kernel = f"{settings.filters[k]} × {settings.kernel_size}, dilation {settings.dilations[k]}"
        shortcut = any(a[:2] == (name, "matching_conv1D") for a in reading.found)
        put((f"block {k}", kernel, f"{norm}, 1×1 shortcut" if shortcut else norm), (name,))
    step = "every step" if settings.return_sequences else "one step"
    put(("sum of all blocks" if settings.use_skip_connections else "last block", step), None)
    paths = []
    for one, other in itertools.pairwise(boxes):
        if one.y == other.y:
            paths.append(f"M{one.x + width:g} {one.y + height / 2:g}H{other.x:g}")
        else:
            middle = one.y + height + gap / 2
            paths.append(f"M{one.x + width / 2:g} {one.y + height:g}V{middle:g}H{other.x + width / 2:g}V{other.y:g}")
    rows = -(-len(boxes) // across)
    columns = min(across, len(boxes))
    title = f"TCN {spoken(reading.address)}: {counted(settings.blocks)}, as keras-tcn {reading.generation.releases}"
    size = 16 + columns * (width + gap) - gap, 16 + rows * (height + gap) - gap
    return Picture(title, *size, tuple(boxes), tuple(paths), settings.blocks - shown)


def channel_plot(title: str, before: Sequence[float], after: Sequence[float]) -> Plot:
    """One variable of a norm, channel by channel, before and after."""
    stride = -(-len(after) // MOST_POINTS)
    old, new = list(before)[::stride], list(after)[::stride]
    low, high = _ends([*old, *new])
    last = max(len(after) - 1, 0)

    def dots(values: Sequence[float]) -> tuple[tuple[float, float], ...]:
        return tuple(
            (_across(i * stride, 0, last), _up(value, low, high))
            for i, value in enumerate(values)
            if math.isfinite(value)
        )

    across = Axis("channel", tuple((_across(at, 0, last), f"{at:g}") for at in ticks(0, last, whole=True)))
    up = Axis("value", tuple((_up(at, low, high), f"{at:.4g}") for at in ticks(low, high)))
    return Plot(title, across, up, dots(old), dots(new))


def curve_plot(title: str, values: Sequence[float], unit: str) -> Plot:
    """An error step by step, on a logarithmic scale."""
    positive = [(step, math.log10(value)) for step, value in enumerate(values) if math.isfinite(value) and value > 0]
    stride = -(-len(positive) // MOST_POINTS) or 1
    shown = positive[::stride]
    if positive and shown[-1] != positive[-1]:
        shown.append(positive[-1])
    low, high = _ends([value for _, value in shown])
    last = max(len(values) - 1, 0)
    line = " ".join(f"{_across(step, 0, last):.1f},{_up(value, low, high):.1f}" for step, value in shown)
    across = Axis("step", tuple((_across(at, 0, last), f"{at:g}") for at in ticks(0, last, whole=True)))
    up = Axis(f"{unit}, logarithmic", tuple((_up(at, low, high), _power(at)) for at in ticks(low, high)))
    return Plot(title, across, up, line=line)


def agreement_plot(title: str, pairs: Sequence[tuple[float, float]]) -> Plot:
    """Old values across and new ones up, on the same scale, with the line on which they are equal."""
    shown = [pair for pair in pairs[:: -(-len(pairs) // MOST_POINTS) or 1] if all(map(math.isfinite, pair))]
    low, high = _ends([value for pair in shown for value in pair])
    height = 260.0
    dots = tuple((_across(old, low, high), _up(new, low, high, height)) for old, new in shown)
    ends = ((_across(value, low, high), _up(value, low, high, height)) for value in (low, high))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in ends)
    at = ticks(low, high)
    across = Axis("recorded prediction", tuple((_across(value, low, high), f"{value:.4g}") for value in at))
    up = Axis("new model's prediction", tuple((_up(value, low, high, height), f"{value:.4g}") for value in at))
    return Plot(title, across, up, after=dots, line=line, height=height)


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Three to seven round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten.

    Args:
        whole: only whole numbers, as of channels.
    """
    if not high > low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step *= next(factor for factor in (5, 2, 1) if (high - low) / (step * factor) >= 3 or factor == 1)
    if whole:
        step = max(1.0, step)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) if abs(step) > 1e-9 else number * step for number in range(first, last + 1)]


def _power(exponent: float) -> str:
    return f"{10**exponent:.0e}" if exponent == round(exponent) else f"{10**exponent:.1e}"


def _ends(values: Sequence[float]) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)]
    return min(finite, default=0.0), max(finite, default=0.0)


def _across(value: float, low: float, high: float) -> float:
    width = PLOT_WIDTH - PLOT_LEFT - PLOT_RIGHT
    return PLOT_LEFT + (width * (value - low) / (high - low) if high > low else width / 2)


def _up(value: float, low: float, high: float, height: float = Plot.height) -> float:
    room = height - PLOT_TOP - PLOT_BOTTOM
    return PLOT_TOP + (room * (high - value) / (high - low) if high > low else room / 2)
