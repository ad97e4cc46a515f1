"""A report for programs."""

from __future__ import annotations

import json

from sandscope._store import SpanNode, Summary, Table


def write_summary(summary: Summary) -> None:
    """Write one object. Times are UTC, durations seconds, memory bytes."""
    values = {
        name: value.by_name() if isinstance(value, Table) else value
        for name, value in summary._asdict().items()
    }
    print(json.dumps(values, indent=2, default=str))


def write_trace(nodes: list[SpanNode]) -> None:
    """Write one list of spans, in the order of a tree."""
    print(json.dumps([{"depth": node.depth, **node.span} for node in nodes], indent=2, default=str))
