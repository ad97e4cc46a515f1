"""Spans of OTLP/JSON as columns: one list for each, which costs a third of one dictionary for each span."""

from __future__ import annotations

from typing import Any

from sandscope._store._values import Item, attributes, integer, items, json_list, named, real, time, times

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_CODES = ("unset", "ok", "error")
_OF_AN_EXECUTION = {
    "runtime": "sandbox.runtime",
    "operation": "sandbox.operation",
    "status": "sandbox.verdict.status",
    "actor": "sandbox.verdict.actor",
    "cause": "sandbox.verdict.cause",
    "limit": "sandbox.limit",
}
_NO_STATUS: Item = {}
_EXIT, _PEAK = "process.exit.code", "sandbox.process.memory.peak"
_CPU, _USER, _SYSTEM = "wasm.cpu.time", "sandbox.process.cpu.user", "sandbox.process.cpu.system"


def span_columns(spans: list[Item]) -> dict[str, list[Any]]:
    """Return the columns of spans, by name."""
    start = times([span.get("startTimeUnixNano") for span in spans])
    end = times([span.get("endTimeUnixNano") for span in spans])
    statuses = [span.get("status") or _NO_STATUS for span in spans]
    given = [attributes(span) for span in spans]
    return {
        "start_ns": start,
        "duration_ns": [
            None if since is None or until is None else until - since
            for since, until in zip(start, end, strict=True)
        ],
        "name": [span.get("name") for span in spans],
        "kind": [named(_KINDS, span.get("kind")) for span in spans],
        **{column: [each.get(name) for each in given] for column, name in _OF_AN_EXECUTION.items()},
        "exit_code": [integer(each.get(_EXIT, each.get("wasm.exit_code"))) for each in given],
        "memory_peak": [real(each.get(_PEAK, each.get("wasm.memory.peak"))) for each in given],
        "cpu_time": [_cpu_time(each) if _USER in each or _CPU in each else None for each in given],
        "trace_id": [span.get("traceId") for span in spans],
        "span_id": [span.get("spanId") for span in spans],
        "parent_span_id": [span.get("parentSpanId") or None for span in spans],
        "status_code": [named(_CODES, status.get("code")) for status in statuses],
        "status_message": [status.get("message") for status in statuses],
        "attributes": given,
        "events": [_events(span) if span.get("events") else None for span in spans],
        "links": [_links(span) if span.get("links") else None for span in spans],
    }


def _cpu_time(found: dict[str, str]) -> float | None:
    """Return seconds."""
    user, system = real(found.get(_USER)), real(found.get(_SYSTEM))
    return real(found.get(_CPU)) if user is None or system is None else user + system


def _events(span: Item) -> str | None:
    return json_list(
        {
            "time_ns": time(event.get("timeUnixNano")),
            "name": event.get("name"),
            "attributes": attributes(event),
        }
        for event in items(span, "events")
    )


def _links(span: Item) -> str | None:
    return json_list(
        {"trace_id": link.get("traceId"), "span_id": link.get("spanId"), "attributes": attributes(link)}
        for link in items(span, "links")
    )
