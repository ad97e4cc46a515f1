"""Measure several cases in turn, so that noise of the machine affects all of them."""

from __future__ import annotations

import random
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

BLOCK = 0.010
"""The approximate duration of a timed block, in seconds."""


def _loop(function: Callable[[], Any], times: int) -> int:
    iterations = repeat(None, times)
    start = time.perf_counter_ns()
    for _ in iterations:
        function()
    return time.perf_counter_ns() - start


@dataclass
class Case:
    """A function to measure.

    Attributes:
        function: called repeatedly, in timed blocks.
        before: called before each block; not timed.
        after: called after each block; not timed.
        most: the maximum number of calls in a block.
    """

    function: Callable[[], Any]
    before: Callable[[], Any] = lambda: None
    after: Callable[[], Any] = lambda: None
    most: int = 1 << 30
    times: int = 1
    nanoseconds: list[float] = field(default_factory=list)
    # Each case has its own copy: the interpreter specialises a code object for one function.
    loop: Callable[..., int] = field(
        default_factory=lambda: types.FunctionType(_loop.__code__.replace(), globals())
    )

    def warm_up(self) -> None:
        """Find the number of calls in a block."""
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
    """Return the minimum time of a call of each case in nanoseconds; each round has a random order."""
    for case in cases.values():
        case.warm_up()
    order = list(cases.values())
    for _ in range(rounds):
        random.shuffle(order)
        for case in order:
            case.run()
    return {name: min(case.nanoseconds) for name, case in cases.items()}
