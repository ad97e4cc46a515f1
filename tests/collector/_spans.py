"""Send spans to a Collector as it would get them from any program, and read them back from its files."""

from __future__ import annotations

import json
import secrets
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from harness import PATIENCE, complete_lines

BEGIN = 1_764_324_000_000_000_000
"""When the spans begin, in ns."""


def span(
    name: str,
    trace: str,
    *,
    seconds: float = 0.001,
    error: bool = False,
    events: tuple[dict[str, Any], ...] = (),
    **attributes: str,
) -> dict[str, Any]:
    """Return a span. A `__` in the name of an attribute is a dot."""
    return {
        "traceId": trace,
        "spanId": secrets.token_hex(8),
        "name": name,
        "startTimeUnixNano": str(BEGIN),
        "endTimeUnixNano": str(BEGIN + int(seconds * 1e9)),
        "status": {"code": 2} if error else {},
        "attributes": attributes_for(attributes),
        "events": [{"timeUnixNano": str(BEGIN), **event} for event in events],
    }


def execution(name: str, trace: str, status: str = "OK", **more: Any) -> dict[str, Any]:
    """Return the span of an execution."""
    return span(
        name, trace, error=status != "OK", sandbox__runtime="judge", sandbox__verdict__status=status, **more
    )


def event(name: str, **attributes: str) -> dict[str, Any]:
    """Return an event of a span."""
    return {"name": name, "attributes": attributes_for(attributes)}


def attributes_for(given: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"key": name.replace("__", "."), "value": {"stringValue": value}} for name, value in given.items()
    ]


def send_spans(port: int, *spans: dict[str, Any], service: str = "judge") -> int:
    """Send spans in one request, and return the status of the answer."""
    resource = {"attributes": attributes_for({"service.name": service})}
    body = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]})
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def spans_in(file: Path) -> list[dict[str, Any]]:
    """Return the spans in a file of overlay `local`."""
    groups = [group for line in complete_lines(file) for group in json.loads(line)["resourceSpans"]]
    return [each for group in groups for scope in group["scopeSpans"] for each in scope["spans"]]


def names_in(file: Path) -> list[str]:
    """Return the sorted names of the spans in a file of overlay `local`."""
    return sorted(each["name"] for each in spans_in(file))
