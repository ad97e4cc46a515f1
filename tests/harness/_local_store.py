"""Files as the Collector writes them, and the store that is made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sandscope._store import Database, ingest, reading, writing

START = 1_790_000_000_000_000_000
"""Nanoseconds since 1970."""


def attributes(**values: Any) -> list[dict[str, Any]]:
    """Return attributes of strings; two underscores stand for a dot."""
    return [
        {"key": name.replace("__", "."), "value": {"stringValue": value}} for name, value in values.items()
    ]


def span(number: int, **changes: Any) -> dict[str, Any]:
    """Return a span that is an execution."""
    verdict = {"sandbox__verdict__status": "OK", "sandbox__verdict__actor": "guest"}
    return {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": f"run {number}",
        "kind": 1,
        "startTimeUnixNano": str(START + number * 1_000_000),
        "endTimeUnixNano": str(START + number * 1_000_000 + 500),
        "attributes": attributes(
            sandbox__runtime="wasmtime", sandbox__verdict__cause="normal_exit", **verdict
        ),
        "status": {},
        **changes,
    }


def request(*spans: dict[str, Any]) -> str:
    """Return a line of traces.jsonl."""
    scopes = [{"scope": {"name": "scope"}, "spans": list(spans)}]
    resource = {"attributes": attributes(service__name="app")}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": scopes}]}) + "\n"


def security_event(seconds: int, kind: str, **changes: Any) -> dict[str, Any]:
    """Return a log record that reports something."""
    return {
        "timeUnixNano": str(START + seconds * 10**9),
        "severityText": "ERROR",
        "severityNumber": 17,
        "eventName": "security.event",
        "body": {"stringValue": f"{kind}: what happened"},
        "attributes": attributes(security__event__type=kind),
        **changes,
    }


def log_request(*records: dict[str, Any]) -> str:
    """Return a line of logs.jsonl."""
    scopes = [{"scope": {"name": "scope"}, "logRecords": list(records)}]
    resource = {"attributes": attributes(service__name="shop")}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": scopes}]}) + "\n"


class Store:
    """A data folder, and what can be asked of it.

    Attributes:
        data: the folder.
        folder: that of the store.
    """

    def __init__(self, data: Path) -> None:
        self.data, self.folder = data, data / "store"

    def add(self, text: str, name: str = "traces.jsonl") -> None:
        """Append to a file of the Collector."""
        with (self.data / name).open("a") as file:
            file.write(text)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Read what is new, and return the rows of a query."""
        with writing(self.folder):
            ingest(self.data, self.folder)
        with reading(self.folder), Database(self.folder) as database:
            return database.query(sql).rows

    def names(self) -> list[str]:
        """Return the names of all spans."""
        return [row[0] for row in self.query("SELECT name FROM spans ORDER BY start_ns, name")]

    def parts(self) -> list[str]:
        """Return the file names of its parts."""
        return sorted(path.name for path in self.folder.iterdir() if path.name != "lock")
