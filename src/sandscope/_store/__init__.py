"""The local store: the Collector's files in the data folder, as tables that SQL can query.

What is read of a file becomes a part, a Parquet file whose name says from where to where it was read. Nothing else is
kept: a process may be killed at any moment, and the next one goes on where the last part ends.
"""

from __future__ import annotations

from sandscope._store._database import Database, Table
from sandscope._store._ingest import ingest
from sandscope._store._lock import reading, writing
from sandscope._store._summary import BARS, SpanNode, Summary, find_traces, summarize, trace_tree

__all__ = [
    "BARS",
    "Database",
    "SpanNode",
    "Summary",
    "Table",
    "find_traces",
    "ingest",
    "reading",
    "summarize",
    "trace_tree",
    "writing",
]
