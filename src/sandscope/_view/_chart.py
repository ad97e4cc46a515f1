"""Pictures of executions over time: what a template needs to draw them as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sandscope._view._axis import HEIGHT, WIDTH, Tick, linear, positive, time_ticks

_GAP = 0.15
"""Of a bar's width."""


class Block(NamedTuple):
    """A rectangle: a part of a bar."""

    kind: str
    x: float
    y: float
    width: float
    height: float


class Bar(NamedTuple):
    """A span of time: what happened in it, in words, and where a click leads to."""

    blocks: list[Block]
    hover: Block
    title: str
    address: str


class Line(NamedTuple):
    """A curve: its points as SVG writes them; those that stand alone are dots."""

    kind: str
    points: list[str]


class Dot(NamedTuple):
    """A value that leads somewhere; ``x`` is in percent of the width."""

    x: float
    y: float
    title: str
    address: str


class Chart(NamedTuple):
    """A picture.

    Attributes:
        label: what it shows, for those who do not see it.
        values: the ticks of the upright axis.
        times: those of the other one.
        first: where it begins, in microseconds since 1970.
        last: where it ends.
        bars: of a picture of counts.
        lines: of a picture of values.
        dots: above them.
    """

    label: str
    values: list[Tick]
    times: list[Tick]
    first: int
    last: int
    bars: Sequence[Bar] = ()
    lines: Sequence[Line] = ()
    dots: Sequence[Dot] = ()


class Slot(NamedTuple):
    """One of the equal spans of time of a history: its number, and what is counted in it by kind."""

    number: int
    counts: dict[str, int]
    title: str
    address: str


def bars(label: str, slots: Sequence[Slot], first: int, last: int, *, number: int) -> Chart:
    """Return a picture of stacked bars.

    Args:
        label: what it shows.
        slots: what is in it.
        first: nanoseconds since 1970.
        last: likewise.
        number: the number of slots, with the empty ones.
    """
    scale = linear(max((sum(slot.counts.values()) for slot in slots), default=1), _count, whole=True)
    width = WIDTH / number
    drawn = []
    for slot in slots:
        left, below, blocks = slot.number * width, 0, []
        for kind, count in slot.counts.items():
            top, bottom = scale.at(below + count), scale.at(below)
            if count:
                blocks.append(Block(kind, left + width * _GAP / 2, top, width * (1 - _GAP), bottom - top))
            below += count
        drawn.append(Bar(blocks, Block("hover", left, 0, width, HEIGHT), slot.title, slot.address))
    return Chart(label, scale.ticks, time_ticks(first, last), first // 1000, last // 1000, bars=drawn)


def curves(
    label: str,
    series: dict[str, list[tuple[int, float]]],
    text: Callable[[float], str],
    first: int,
    last: int,
    *,
    dots: Sequence[tuple[int, float, str, str]] = (),
) -> Chart:
    """Return a picture of curves.

    Args:
        label: what it shows.
        series: times and values by kind.
        text: how a value is written.
        first: nanoseconds since 1970.
        last: likewise.
        dots: time, value, title and address of values that lead somewhere.
    """
    values = [value for points in series.values() for _, value in points] + [dot[1] for dot in dots]
    scale = positive(values, text)
    span = max(1, last - first)

    def share(when: int) -> float:
        return (when - first) / span

    lines = [
        Line(kind, [f"{WIDTH * share(when):.1f},{scale.at(value):.1f}" for when, value in points])
        for kind, points in series.items()
    ]
    placed = [Dot(100 * share(when), scale.at(value), title, to) for when, value, title, to in dots]
    times = time_ticks(first, last)
    return Chart(label, scale.ticks, times, first // 1000, last // 1000, lines=lines, dots=placed)


def _count(value: Any) -> str:
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g} {unit}"
    return f"{value:g}"
