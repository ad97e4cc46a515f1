"""Measure several cases in turn, so that all share the machine's moods."""

from __future__ import annotations

import random
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

BLOCK = 0.010
"""Seconds that a timed block takes, about."""


def _loop(function: Callable[[], Any], times: int) -> int:
    iterations = repeat(None, times)
    start = time.perf_counter_ns()
    for _ in iterations:
        function()
    return time.perf_counter_ns() - start


@dataclass
class Case:
    """One thing to measure.

    Attributes:
        function: is called again and again.
        before: is called, untimed, before each block; `after` likewise.
        most: calls in a block, at most.
    """

    function: Callable[[], Any]
    before: Callable[[], Any] = lambda: None
    after: Callable[[], Any] = lambda: None
    most: int = 1 << 30
    times: int = 1
    nanoseconds: list[float] = field(default_factory=list)
    # A copy of its own: cases that share a code object make the interpreter forget what it has learnt.
    loop: Callable[..., int] = field(
        default_factory=lambda: types.FunctionType(_loop.__code__.replace(), globals())
    )

    def warm_up(self) -> None:
        """Find how many calls fill a block."""
        while True:
            self.before()
            taken = self.loop(self.function, self.times)
            self.after()
            if taken > BLOCK * 2.5e8 or self.times >= self.most:
                break
            self.times *= 2
        self.times = max(1, min(self.most, int(self.times * BLOCK * 1e9 / max(taken, 1))))

    def run(self) -> None:
        """Measure one block."""
        self.before()
        self.nanoseconds.append(self.loop(self.function, self.times) / self.times)
        self.after()


def measure(cases: dict[str, Case], rounds: int) -> dict[str, float]:
    """Return the least nanoseconds a call of each case needs, over shuffled rounds."""
    for case in cases.values():
        case.warm_up()
    order = list(cases.values())
    for _ in range(rounds):
        random.shuffle(order)
        for case in order:
            case.run()
    return {name: min(case.nanoseconds) for name, case in cases.items()}
