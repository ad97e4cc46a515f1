"""The sections of a report, as text in tables: the same for the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sandscope._store import Summary
from sandscope._words import ACTORS, STATUSES, seconds, size, verdict

NOTHING = "No execution has been recorded here. Record some with: sandscope run -- python app.py"


class Section(NamedTuple):
    """A table with a title.

    Attributes:
        title: what it shows.
        columns: the headers of its columns; those of numbers begin with ``#``.
        rows: the cells.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]


def headline(summary: Summary) -> str:
    """Return the most important figures."""
    if not summary.executions or summary.first is None or summary.last is None:
        return NOTHING
    failed = summary.executions - summary.succeeded
    share = 100 * summary.succeeded / summary.executions
    noun = "execution" if summary.executions == 1 else "executions"
    times = f"{summary.first:%Y-%m-%d %H:%M:%S} and {summary.last:%H:%M:%S} UTC"
    return (
        f"{summary.executions:,} {noun} between {times}: {summary.succeeded:,} succeeded ({share:.1f} %), "
        f"{failed:,} did not"
    )


def sections(summary: Summary) -> Iterator[Section]:
    """Return the sections that have something to show."""
    candidates = (
        Section(
            "How they ended",
            ["runtime", "status", "ended", "cause", "#executions"],
            [
                [row["runtime"], _status(row["status"]), _ended(row["actor"]), row["cause"],
                 f"{row['executions']:,}"]
                for row in summary.verdicts.by_name()
            ],
        ),
        Section(
            "What ran: failing first, then the slowest",
            ["runtime", "name", "#executions", "#failed", "#p50", "#p95", "#p99", "#slowest", "#peak memory", "#CPU"],
            [
                [row["runtime"], row["name"], f"{row['executions']:,}", f"{row['failed']:,}",
                 *(seconds(row[name]) for name in ("p50", "p95", "p99", "slowest")),
                 size(row["memory_peak"]), seconds(row["cpu_time"])]
                for row in summary.functions.by_name()
            ],
        ),
        Section(
            "What ran when its host was killed",
            ["time", "service", "runtime", "name", "#for at least", "trace"],
            [
                [f"{row['start_time']:%H:%M:%S}", row["service"], row["runtime"], row["name"],
                 seconds(row["duration"]), row["trace_id"]]
                for row in summary.killed.by_name()
            ],
        ),
        Section(
            "The last that failed",
            ["time", "runtime", "name", "verdict", "#after", "trace"],
            [
                [f"{row['start_time']:%H:%M:%S}", row["runtime"], row["name"],
                 verdict(row["status"], row["actor"], row["cause"], row["limit"]), seconds(row["duration"]),
                 row["trace_id"]]
                for row in summary.failures.by_name()
            ],
        ),
        Section(
            "The slowest",
            ["time", "runtime", "name", "#duration", "status", "trace"],
            [
                [f"{row['start_time']:%H:%M:%S}", row["runtime"], row["name"], seconds(row["duration"]),
                 _status(row["status"]), row["trace_id"]]
                for row in summary.slowest.by_name()
            ],
        ),
        Section(
            "Ended for what they tried",
            ["time", "runtime", "name", "status", "cause", "trace"],
            [
                [f"{row['start_time']:%H:%M:%S}", row["runtime"], row["name"], _status(row["status"]), row["cause"],
                 row["trace_id"]]
                for row in summary.security.by_name()
            ],
        ),
        Section(
            "Security events by type",
            ["type", "#events"],
            [[row["type"] or "", f"{row['records']:,}"] for row in summary.security_types.by_name()],
        ),
        Section(
            "The last security events",
            ["time", "service", "severity", "type", "what was reported", "trace"],
            [
                [f"{row['time']:%H:%M:%S}", *(row[name] or "" for name in ("service", "severity", "type", "body",
                 "trace_id"))]
                for row in summary.security_events.by_name()
            ],
        ),
    )  # fmt: skip
    return (section for section in candidates if section.rows)


def _ended(actor: str) -> str:
    return ACTORS.get(actor, actor).removeprefix("ended ")


def _status(status: str) -> str:
    return f"{STATUSES.get(status, status)} ({status})"
