"""The local store: the Collector's files in the data folder, as tables that SQL can query.

What is read of a file becomes a part, a Parquet file whose name says from where to where it was read. Nothing else is
kept: a process may be killed at any moment, and the next one continues where the last part ends.
"""

from __future__ import annotations

from sandscope._store._changes import Change, Side, changes
from sandscope._store._database import Database, Table, Times
from sandscope._store._executions import (
    BARS,
    FUNCTION_ORDERS,
    ORDERS,
    Counts,
    Totals,
    counts,
    executions,
    functions,
    history,
    totals,
    verdicts,
)
from sandscope._store._ingest import ingest
from sandscope._store._lock import reading, writing
from sandscope._store._running import running
from sandscope._store._security_records import security_records, security_types
from sandscope._store._selection import FAILED, SECURITY, Selection
from sandscope._store._summary import Summary, summarize
from sandscope._store._trace import SpanNode, find_traces, trace_range, trace_tree

__all__ = [
    "BARS",
    "FAILED",
    "FUNCTION_ORDERS",
    "ORDERS",
    "SECURITY",
    "Change",
    "Counts",
    "Database",
    "Selection",
    "Side",
    "SpanNode",
    "Summary",
    "Table",
    "Times",
    "Totals",
    "changes",
    "counts",
    "executions",
    "find_traces",
    "functions",
    "history",
    "ingest",
    "reading",
    "running",
    "security_records",
    "security_types",
    "summarize",
    "totals",
    "trace_range",
    "trace_tree",
    "verdicts",
    "writing",
]
