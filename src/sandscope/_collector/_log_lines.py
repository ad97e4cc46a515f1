"""What the Collector's own log says about telemetry that it could not deliver."""

from __future__ import annotations

import json
from pathlib import Path

_ERRORS = {"error", "dpanic", "panic", "fatal"}


def problems(log: Path, *, errors_only: bool = False) -> list[str]:
    """Return what the lines of a log report, each once; none if it cannot be read."""
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            found = [problem(line, errors_only=errors_only) for line in lines]
    except OSError:
        return []
    return [text for text in dict.fromkeys(found) if text]


def problem(line: str, *, errors_only: bool = False) -> str | None:
    """Return what a line of the log reports, as one sentence, or None if it reports no problem.

    Args:
        line: a line such as ``TIME<tab>LEVEL<tab>PLACE<tab>MESSAGE<tab>{JSON}``.
        errors_only: leave out what the Collector may still put right, by trying again for example.
    """
    _time, level, _place, message, fields = (*line.rstrip("\n").split("\t"), "", "", "", "")[:5]
    # The Collector reports a destination that is down, and that it tries again, at level info.
    passing = level == "warn" or (level == "info" and message.startswith("Exporting failed"))
    if level not in _ERRORS and (errors_only or not passing):
        return None
    try:
        details = json.loads(fields)
    except ValueError:
        details = {}
    error = details.get("error")
    if str(error).startswith("interrupted due to shutdown"):
        # It says that it drops them. A queue on disk keeps them nevertheless.
        count, error = details.get("dropped_items"), None
        message = f"records that were not sent: {count}. If its queue is on disk, the next start sends them"
    said = (details.get("otelcol.component.id"), message, error)
    return ": ".join(str(part).rstrip(".") for part in said if part)
