"""What a run has recorded, in a line: from its metrics, which count each execution and stay small."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandscope._words import seconds

_COUNT, _DURATION = "sandbox.executions", "sandbox.execution.duration"
_CUMULATIVE = 2
_NAMES = ("sandbox.runtime", "sandbox.verdict.status", "sandbox.verdict.cause")
_MAX_SIZE = 32 << 20
"""Bytes: more is the subject of `sandscope report`."""
_MOST = 3
"""Kinds of failures that are named."""


class ShortReport:
    """The executions that a Collector counts from now on."""

    def __init__(self, data: Path) -> None:
        """Look where its file of metrics ends now.

        Args:
            data: the Collector's folder.
        """
        self._path = data / "metrics.jsonl"
        self._start, self._rotated = self._size(), self._rotations()

    def line(self) -> str | None:
        """Return one line; None if nothing was counted, or it is not all in one file that is read in a moment."""
        if self._rotations() != self._rotated or self._size() - self._start > _MAX_SIZE:
            return None
        counts: Counter[tuple[str, str, str]] = Counter()
        longest = 0.0
        points: dict[str, tuple[tuple[str, str, str], float]] = {}
        for series, name, point, cumulative in self._points():
            if name == _DURATION:
                longest = max(longest, point.get("max") or 0)
            elif cumulative:
                points[series] = (_kind(point), float(point.get("asInt") or point.get("asDouble") or 0))
            else:
                counts[_kind(point)] += int(float(point.get("asInt") or point.get("asDouble") or 0))
        for kind, value in points.values():
            counts[kind] += int(value)
        return _line(counts, longest) if counts.total() else None

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _rotations(self) -> set[Path]:
        return set(self._path.parent.glob("metrics-*.jsonl"))

    def _points(self) -> Iterator[tuple[str, str, dict[str, Any], bool]]:
        for line in self._lines():
            for resource in line.get("resourceMetrics") or ():
                for scope in resource.get("scopeMetrics") or ():
                    for metric in scope.get("metrics") or ():
                        if metric.get("name") not in {_COUNT, _DURATION}:
                            continue
                        data = metric.get("sum") or metric.get("histogram") or {}
                        cumulative = data.get("aggregationTemporality") == _CUMULATIVE
                        for point in data.get("dataPoints") or ():
                            parts = [resource.get("resource"), scope.get("scope"), point.get("attributes")]
                            series = json.dumps([*parts, point.get("startTimeUnixNano")])
                            yield series, metric["name"], point, cumulative

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._start)
                for line in file:
                    try:
                        yield json.loads(line)
                    except ValueError:  # cut off when the Collector ended
                        continue
        except OSError:
            return


def _kind(point: dict[str, Any]) -> tuple[str, str, str]:
    values = {pair["key"]: pair["value"].get("stringValue") or "" for pair in point.get("attributes") or ()}
    runtime, status, cause = (values.get(name, "") for name in _NAMES)
    return runtime, status, cause


def _line(counts: Counter[tuple[str, str, str]], longest: float) -> str:
    total = counts.total()
    runtimes: Counter[str] = Counter()
    failures: Counter[tuple[str, str]] = Counter()
    for (runtime, status, cause), count in counts.items():
        runtimes[runtime] += count
        if status != "OK":
            failures[status, cause] += count
    ran = ", ".join(f"{count:,} {runtime}" for runtime, count in runtimes.most_common())
    ended = "all succeeded"
    if failures:
        named = ", ".join(
            f"{count:,} {status} {cause}" for (status, cause), count in failures.most_common(_MOST)
        )
        more = ", …" * (len(failures) > _MOST)
        ended = f"{failures.total():,} did not succeed ({named}{more})"
    return f"{total:,} execution{'s' * (total != 1)} ({ran}): {ended}; the longest took {seconds(longest)}"
