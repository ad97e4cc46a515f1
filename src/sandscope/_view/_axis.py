"""Axes of a picture: where a value stands, and which values are written at it."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

HEIGHT = 150
"""Of the plot, in its units; what is written below it comes on top."""
WIDTH = 1000
_STEPS = (1, 2, 5)
_TIMES = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_LOGARITHMIC = 30
"""Values that differ by this factor are shown by their logarithms."""


class Tick(NamedTuple):
    """A value that is written at an axis.

    Attributes:
        at: where, in units of the plot, or in percent of its width.
        text: the value.
    """

    at: float
    text: str


class Scale(NamedTuple):
    """Where the values of an upright axis stand.

    Attributes:
        at: returns where a value stands, from the top.
        ticks: the values that are written.
    """

    at: Callable[[float], float]
    ticks: list[Tick]


def linear(highest: float, text: Callable[[float], str], *, whole: bool = False) -> Scale:
    """Return an axis from 0 on.

    Args:
        highest: the highest value.
        text: how a value is written.
        whole: only whole numbers are written.
    """
    step = _nice(highest / 3 or 1)
    step = max(1, step) if whole else step
    top = step * max(1, math.ceil(highest / step))
    numbers = range(round(top / step) + 1)
    return Scale(
        lambda value: HEIGHT * (1 - value / top),
        [Tick(HEIGHT * (1 - step * number / top), text(step * number)) for number in numbers],
    )


def positive(values: list[float], text: Callable[[float], str]) -> Scale:
    """Return an axis for values greater than 0: of their logarithms if they differ much."""
    above = [value for value in values if value > 0]
    if not above or max(above) < _LOGARITHMIC * min(above):
        return linear(max(above, default=1), text)
    low, high = math.floor(math.log10(min(above))), math.ceil(math.log10(max(above)))
    step = max(1, math.ceil((high - low) / 4))

    def at(value: float) -> float:
        share = (math.log10(max(value, 10.0**low)) - low) / (high - low)
        return HEIGHT * (1 - share)

    return Scale(at, [Tick(at(10.0**power), text(10.0**power)) for power in range(low, high + 1, step)])


def time_ticks(first: int, last: int, most: int = 6) -> list[Tick]:
    """Return times of day, in percent of the width.

    Args:
        first: nanoseconds since 1970.
        last: likewise.
        most: the number of ticks.
    """
    span = max(1, last - first)
    seconds = span / 1e9
    step = next((each for each in _TIMES if seconds / each <= most), None)
    if step is None:
        step = 86_400 * math.ceil(seconds / 86_400 / most)
    style = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86_400 else "%b %d"
    start = -(-first // (step * 10**9)) * step
    times = range(start, last // 10**9 + 1, step)
    return [Tick(100 * (when * 10**9 - first) / span, _utc(when).strftime(style)) for when in times]


def _nice(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next((each * power for each in _STEPS if each * power >= value * 0.999), 10 * power)


def _utc(seconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
