"""Points of a metric as curves: rates of counters, mean and quantiles of histograms, values of the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

_BINS = 60
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
"""The curves of a histogram."""
_Point = dict[str, Any]


class Series(NamedTuple):
    """A curve.

    Attributes:
        label: what it is about.
        points: nanoseconds since 1970, and values.
    """

    label: str
    points: list[tuple[int, float]]


def rates(points: list[_Point]) -> list[Series]:
    """Return how much a counter grew in a second, one curve for each set of attributes, the largest first.

    Args:
        points: in the order of time.
    """
    first, width = _bins(points)
    grown: dict[str, dict[int, float]] = {}
    for point, growth in _growths(points, "value"):
        bins = grown.setdefault(point["label"], {})
        number = (point["time_ns"] - first) // width
        bins[number] = bins.get(number, 0.0) + growth
    ordered = sorted(grown.items(), key=lambda item: -sum(item[1].values()))
    return [
        Series(
            label,
            [(first + number * width + width // 2, bins[number] / (width / 1e9)) for number in sorted(bins)],
        )
        for label, bins in ordered
    ]


def values(points: list[_Point]) -> list[Series]:
    """Return curves of a histogram or of values that go up and down.

    Args:
        points: in the order of time.
    """
    if any(point["buckets"] for point in points):
        return _quantiles(points)
    first, width = _bins(points)
    highest: dict[str, dict[int, float]] = {}
    for point in points:
        value = point["value"] if point["value"] is not None else _mean(point)
        if value is not None:
            bins = highest.setdefault(point["label"], {})
            number = (point["time_ns"] - first) // width
            bins[number] = max(bins.get(number, value), value)
    return [
        Series(label, [(first + number * width + width // 2, bins[number]) for number in sorted(bins)])
        for label, bins in sorted(highest.items(), key=lambda item: -max(item[1].values()))
    ]


def _quantiles(points: list[_Point]) -> list[Series]:
    first, width = _bins(points)
    counted: dict[int, list[float]] = {}
    bounds = next(point["bounds"] for point in reversed(points) if point["buckets"])
    for number in range(len(bounds) + 1):
        same = [
            {**p, "value": p["buckets"][number]} for p in points if p["bounds"] == bounds and p["buckets"]
        ]
        for point, growth in _growths(same, "value"):
            bins = counted.setdefault((point["time_ns"] - first) // width, [0.0] * (len(bounds) + 1))
            bins[number] += growth
    curves: list[Series] = []
    for name, share in QUANTILES.items():
        placed = ((bin_, _quantile(bounds, counted[bin_], share)) for bin_ in sorted(counted))
        curves.append(
            Series(
                name,
                [(first + bin_ * width + width // 2, value) for bin_, value in placed if value is not None],
            )
        )
    return curves


def _quantile(bounds: list[float], buckets: list[float], share: float) -> float | None:
    """Return a quantile as Prometheus does: as if the values of a bucket were spread evenly."""
    total, below = sum(buckets), 0.0
    if total <= 0 or not bounds:
        return None
    for number, count in enumerate(buckets):
        if count and below + count >= share * total:
            if number == len(bounds):
                return bounds[-1]
            low = bounds[number - 1] if number else min(0.0, bounds[0])
            return low + (bounds[number] - low) * (share * total - below) / count
        below += count
    return None


def _growths(points: list[_Point], name: str) -> Iterator[tuple[_Point, float]]:
    """Yield by how much each point is more than the one before it, of the same process and attributes."""
    before: dict[tuple[Any, ...], float] = {}
    for point in points:
        value = point[name]
        if value is None:
            continue
        if point["temporality"] != "cumulative":
            yield point, value
            continue
        key = (point["label"], point["instance"], point["start_ns"])
        yield point, max(0.0, value - before.get(key, 0.0))
        before[key] = value


def _bins(points: list[_Point]) -> tuple[int, int]:
    first, last = points[0]["time_ns"], points[-1]["time_ns"]
    return first, max(10**9, -(-(last - first + 1) // _BINS))


def _mean(point: _Point) -> float | None:
    return point["sum"] / point["count"] if point["count"] and point["sum"] is not None else None
