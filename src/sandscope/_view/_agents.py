"""What agents' tools ran: each tool call with the executions of its code."""

from __future__ import annotations

from typing import Any

from sandscope._store import Database
from sandscope._view._filters import Filters

_ROWS = 50
# By their names, which the semantic conventions define: attributes of a million spans would take seconds.
_CALLS = """
    SELECT start_time, start_ns, duration, name, service, status_code, trace_id, span_id,
        attributes['gen_ai.tool.name'] AS tool, attributes['gen_ai.tool.call.id'] AS call,
        attributes['gen_ai.conversation.id'] AS conversation
    FROM spans WHERE starts_with(name, 'execute_tool ') AND {condition}
    ORDER BY start_ns DESC LIMIT {limit}
"""
_EXECUTIONS = """
    SELECT start_time, duration, runtime, name, status, cause, trace_id, span_id, parent_span_id,
        attributes['gen_ai.tool.call.id'] AS call
    FROM executions WHERE trace_id IN (SELECT unnest(?)) AND start_ns BETWEEN ? AND ? ORDER BY start_ns LIMIT 1000
"""


def ask(database: Database, filters: Filters, _parameters: dict[str, str]) -> dict[str, Any]:
    """Return what the page shows."""
    selection = filters.only_time().selection()
    condition, parameters = selection.condition()
    sql = _CALLS.format(condition=condition, limit=_ROWS)
    calls = database.query(sql, parameters, selection.times).by_name()
    if calls:
        _add_executions(database, calls)
    return {"calls": calls, "most": _ROWS}


def _add_executions(database: Database, calls: list[dict[str, Any]]) -> None:
    traces = list({call["trace_id"] for call in calls})
    first = min(call["start_ns"] for call in calls)
    last = max(call["start_ns"] + int((call["duration"] or 0) * 1e9) for call in calls)
    found = database.query(_EXECUTIONS, [traces, first, last], (first, last)).by_name()
    for call in calls:
        call["executions"] = [
            each
            for each in found
            if each["trace_id"] == call["trace_id"]
            and (each["parent_span_id"] == call["span_id"] or (call["call"] and each["call"] == call["call"]))
        ]
