"""Counts what happens to the records of requests that could not be delivered at once."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Literal

from sandscope._locks import new_lock

Signal = Literal["span", "log", "metric"]
Outcome = Literal["kept", "not_kept", "delivered", "rejected", "dropped", "unreadable"]

_lock = new_lock()
_counts: dict[tuple[Signal, Outcome], int] = defaultdict(int)


def add(signal: Signal, outcome: Outcome, records: int) -> None:
    """Count records of an outcome."""
    if records:
        with _lock:
            _counts[signal, outcome] += records


def counts() -> dict[tuple[Signal, Outcome], int]:
    """Return the number of records, by signal and outcome."""
    with _lock:
        return dict(_counts)


os.register_at_fork(after_in_child=_counts.clear)
