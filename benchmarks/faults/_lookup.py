"""Looks up executions in each store: how often it has a trace id, and how many executions it counts."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from benchmarks.faults._on_disk import OnDisk

PAGE = 5000
"""Log records in an answer of Loki."""


@dataclass(frozen=True)
class Lookup:
    """The addresses of the stores, and the files.

    Attributes:
        prometheus: URL.
        jaeger: URL.
        loki: URL.
        spans: in the Collector's local files.
        logs: the same.
    """

    prometheus: str
    jaeger: str
    loki: str
    spans: OnDisk
    logs: OnDisk

    def by_id(self) -> dict[str, Callable[[str, Iterable[str]], Counter[str]]]:
        """Return, for each store that knows ids, how to count those of a service among the given ones."""
        return {
            "jaeger": self._in_jaeger,
            "loki": self._in_loki,
            "spans on disk": lambda _service, ids: _among(ids, self.spans),
            "logs on disk": lambda _service, ids: _among(ids, self.logs),
        }

    def counted(self, service: str, runtime: str, operation: str) -> int:
        """Return how many executions Prometheus has counted, without those that ran when their program was killed."""
        labels = f'job="{service}",sandbox_runtime="{runtime}",sandbox_operation="{operation}"'
        labels += ',sandbox_verdict_cause!="ie_host_killed"'
        return self._last(f"sandbox_executions_total{{{labels}}}")

    def counted_as_lost(self, services: Iterable[str], signal: str) -> int:
        """Return how many records of a signal (``span`` or ``log``) the programs have counted as lost."""
        labels = f'job=~"{"|".join(services)}",sandscope_signal="{signal}"'
        outcomes = "not_identified|queue_full|not_encoded|not_delivered"
        return sum(
            self._last(f"{metric}{{{labels},{which}}}")
            for metric, which in (
                ("sandscope_recorder_records_total", f'sandscope_outcome=~"{outcomes}"'),
                ("sandscope_spool_records_total", 'sandscope_spool_outcome="dropped"'),
            )
        )

    def _last(self, series: str) -> int:
        """Return the sum of the last values of counters."""
        query = f"sum(max_over_time({series}[6h]))"
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
        return list(self.spans.read().recovered[service])


def _among(ids: Iterable[str], files: OnDisk) -> Counter[str]:
    found = files.read().ids
    return Counter({name: found[name] for name in ids if name in found})


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
