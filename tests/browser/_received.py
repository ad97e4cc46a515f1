"""What a Collector has written to its files, as plain values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import complete_lines


class Received:
    """The spans, log records and metrics in a data folder.

    Attributes:
        page: what Prometheus scraped in the end.
    """

    page = ""

    def __init__(self, data: Path) -> None:
        self._data = data

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(file.read_text() for file in sorted(self._data.glob("*.jsonl")))

    def resources(self) -> list[dict[str, Any]]:
        """The attributes of all resources."""
        files = {"traces": "resourceSpans", "logs": "resourceLogs", "metrics": "resourceMetrics"}
        return [
            plain(group["resource"].get("attributes", []))
            for name, groups in files.items()
            for line in self._lines(name)
            for group in line[groups]
        ]

    def spans(self, name: str | None = None) -> list[dict[str, Any]]:
        """The spans of a name, or all; with plain attributes."""
        found = self._records("traces", "resourceSpans", "scopeSpans", "spans")
        return [span for span in found if name in {None, span["name"]}]

    def logs(self, name: str | None = None) -> list[dict[str, Any]]:
        """The log records of an event, or all."""
        found = self._records("logs", "resourceLogs", "scopeLogs", "logRecords")
        return [record for record in found if name in {None, record.get("eventName")}]

    def security(self) -> list[dict[str, Any]]:
        """The records in the security log."""
        return list(self._records("security", "resourceLogs", "scopeLogs", "logRecords"))

    def metrics(self) -> dict[str, dict[str, Any]]:
        """The last state of each metric, with plain attributes of its points."""
        found: dict[str, dict[str, Any]] = {}
        for metric in self._records("metrics", "resourceMetrics", "scopeMetrics", "metrics"):
            kind = next(key for key in ("sum", "histogram", "gauge") if key in metric)
            points = [
                {**point, "attributes": plain(point.get("attributes", []))}
                for point in metric[kind]["dataPoints"]
            ]
            found[metric["name"]] = {**metric, "kind": kind, "points": points}
        return found

    def _records(self, name: str, *path: str) -> Iterator[dict[str, Any]]:
        for line in self._lines(name):
            groups = [line]
            for key in path:
                groups = [each for group in groups for each in group.get(key, [])]
            for record in groups:
                yield {**record, "attributes": plain(record.get("attributes", []))}

    def _lines(self, name: str) -> Iterator[dict[str, Any]]:
        for line in complete_lines(self._data / f"{name}.jsonl"):
            yield json.loads(line)


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return attributes as a dictionary."""
    return {each["key"]: _value(each["value"]) for each in attributes}


def _value(value: dict[str, Any]) -> Any:
    kind, content = next(iter(value.items()))
    return int(content) if kind == "intValue" else content
