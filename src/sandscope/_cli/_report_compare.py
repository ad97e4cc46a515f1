"""Two ranges of time beside each other: what fails more often now, and what has become slower."""

from __future__ import annotations

import json

from sandscope._cli._text_tables import cell, print_table
from sandscope._store import Change
from sandscope._words import seconds

_FAILING = {1: "fails more", -1: "fails less", 0: ""}
_SLOWER = {1: "slower", -1: "faster", 0: ""}


def write(found: list[Change], form: str) -> None:
    """Print a table, or one JSON list; durations are seconds."""
    found = sorted(found, key=lambda change: (-change.failing, -change.slower, -change.after.executions))
    if form == "json":
        print(json.dumps([_object(change) for change in found], indent=2))
        return
    numeric = ["before", "failed before", "p50 before", "after", "failed after", "p50 after"]
    print_table(["runtime", "name", *numeric, "changed"], [_row(change) for change in found], numeric)


def _row(change: Change) -> list[str]:
    sides = [
        text
        for side in (change.before, change.after)
        for text in (f"{side.executions:,}", f"{side.failed:,}", seconds(side.p50))
    ]
    changed = ", ".join(filter(None, (_FAILING[change.failing], _SLOWER[change.slower])))
    return [cell(change.runtime), cell(change.name), *sides, changed]


def _object(change: Change) -> dict[str, object]:
    return {
        "runtime": change.runtime,
        "name": change.name,
        "before": change.before._asdict(),
        "after": change.after._asdict(),
        "failing": change.failing,
        "slower": change.slower,
    }
