"""Looks up executions in each store: how often it has a trace id, and how many executions it counts."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

PAGE = 5000
"""Log records in an answer of Loki."""


@dataclass(frozen=True)
class Lookup:
    """The addresses of the stores.

    Attributes:
        prometheus: URL.
        jaeger: URL.
        loki: URL.
        data: the folder of the Collector, with its local files.
    """

    prometheus: str
    jaeger: str
    loki: str
    data: Path

    def by_id(self) -> dict[str, Callable[[str, Iterable[str]], Counter[str]]]:
        """Return, for each store that knows ids, how to count those of a service among the given ones."""
        return {
            "jaeger": self._in_jaeger,
            "loki": self._in_loki,
            "spans on disk": lambda _service, ids: self._in_files(
                ids, "traces", "resourceSpans", "scopeSpans", "spans"
            ),
            "logs on disk": lambda _service, ids: self._in_files(
                ids, "logs", "resourceLogs", "scopeLogs", "logRecords"
            ),
        }

    def counted(self, service: str, runtime: str, operation: str) -> int:
        """Return how many executions Prometheus has counted."""
        labels = f'job="{service}",sandbox_runtime="{runtime}",sandbox_operation="{operation}"'
        query = f"sum(max_over_time(sandbox_executions_total{{{labels}}}[6h]))"
        result = _get(self.prometheus, "/api/v1/query", query=query)["data"]["result"]
        return round(float(result[0]["value"][1])) if result else 0

    def _in_jaeger(self, _service: str, ids: Iterable[str]) -> Counter[str]:
        found: Counter[str] = Counter()
        connection = _connect(self.jaeger)
        for trace_id in ids:
            connection.request("GET", f"/api/v3/traces/{trace_id}")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                groups = json.loads(body)["result"]["resourceSpans"]
                found[trace_id] = sum(
                    len(scope["spans"]) for group in groups for scope in group["scopeSpans"]
                )
        connection.close()
        return found

    def _in_loki(self, service: str, ids: Iterable[str]) -> Counter[str]:
        wanted, found = set(ids), Counter[str]()
        start, end = time.time_ns() - 6 * 3600 * 10**9, time.time_ns() + 3600 * 10**9
        while True:
            answer = _get(
                self.loki,
                "/loki/api/v1/query_range",
                query=f'{{service_name="{service}"}}',
                start=start,
                end=end,
                limit=PAGE,
                direction="forward",
            )
            streams = answer["data"]["result"]
            at = [int(when) for stream in streams for when, _ in stream["values"]]
            # Those of the last nanosecond come again with the next page, which begins there.
            last = max(at, default=0) if len(at) == PAGE else 0
            for stream in streams:
                again = sum(int(when) != last for when, _ in stream["values"])
                if stream["stream"].get("trace_id") in wanted:
                    found[stream["stream"]["trace_id"]] += again
            if not last:
                return found
            start = last

    def recovered(self, service: str) -> list[str]:
        """Return the trace ids, on disk, of executions that had ended when their program was killed."""
        return [
            span["traceId"]
            for name, span in self._on_disk("traces", "resourceSpans", "scopeSpans", "spans")
            if name == service
            and {"key": "sandscope.recovered", "value": {"stringValue": "ended"}} in span["attributes"]
        ]

    def _in_files(self, ids: Iterable[str], *where: str) -> Counter[str]:
        wanted = set(ids)
        return Counter(
            record["traceId"] for _, record in self._on_disk(*where) if record.get("traceId") in wanted
        )

    def _on_disk(self, name: str, groups: str, scopes: str, records: str) -> Iterator[tuple[str, Any]]:
        """Yield the records in the Collector's local files, each with the service that has sent it."""
        for file in self.data.glob(f"{name}*.jsonl"):
            for line in file.read_text(errors="replace").splitlines():
                try:
                    request = json.loads(line)
                except ValueError:
                    continue  # cut off when the Collector was killed
                for group in request[groups]:
                    service = _service(group["resource"])
                    for scope in group[scopes]:
                        yield from ((service, record) for record in scope[records])


def _service(resource: Any) -> str:
    named = [entry["value"] for entry in resource["attributes"] if entry["key"] == "service.name"]
    return str(named[0]["stringValue"]) if named else ""


def _connect(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    return HTTPConnection(parts.hostname or "", parts.port, timeout=20)


def _get(url: str, path: str, **parameters: object) -> Any:
    connection = _connect(url)
    connection.request("GET", f"{path}?{urlencode(parameters)}")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, f"{url}{path} answered {answer.status}: {body[:200]!r}"
    return json.loads(body)
