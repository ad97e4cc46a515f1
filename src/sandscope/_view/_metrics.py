"""The metrics that arrived; one of them as curves, with its exemplars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sandscope._store import Database, Times
from sandscope._view._chart import curves
from sandscope._view._filters import Filters, iso
from sandscope._view._series import QUANTILES, Series, rates, values
from sandscope._words import seconds, size

_MOST_POINTS, _MOST_EXEMPLARS, _MOST_CURVES = 20_000, 100, 8
_LIST = """
    SELECT name, any_value(unit) AS unit, any_value(type) AS type, count(*) AS points, max(time) AS last,
        count(exemplars) AS exemplars
    FROM metrics WHERE name IS NOT NULL AND {condition} GROUP BY name ORDER BY name LIMIT 500
"""
_POINTS = """
    SELECT epoch_ns(time) AS time_ns, epoch_ns(start_time) AS start_ns, type, temporality, monotonic, unit, value,
        count, sum, bounds, buckets, array_to_string(map_values(attributes), ', ') AS label,
        resource['service.instance.id'] AS instance
    FROM metrics WHERE name = ? AND time IS NOT NULL AND {condition} ORDER BY time DESC LIMIT {limit}
"""
_KNOWN = "SELECT 1 FROM metrics WHERE name = ? LIMIT 1"
_EXEMPLARS = """
    SELECT exemplars, array_to_string(map_values(attributes), ', ') AS label FROM metrics
    WHERE name = ? AND exemplars IS NOT NULL AND {condition} ORDER BY time DESC LIMIT {limit}
"""


def ask(database: Database, filters: Filters, _parameters: dict[str, str]) -> dict[str, Any]:
    """Return what the list shows."""
    chosen = _Range.of(filters)
    sql = _LIST.format(condition=chosen.condition)
    return {"rows": database.query(sql, chosen.parameters, chosen.times).by_name()}


def ask_one(database: Database, filters: Filters, parameters: dict[str, str]) -> dict[str, Any] | None:
    """Return what the page of a metric shows; None if there is no such metric."""
    chosen = _Range.of(filters)
    name = parameters["name"]
    sql = _POINTS.format(condition=chosen.condition, limit=_MOST_POINTS)
    points = database.query(sql, [name, *chosen.parameters], chosen.times).by_name()[::-1]
    if not points:
        known = filters.chosen and database.query(_KNOWN, [name]).rows
        return {"metric": {"name": name}, "picture": None} if known else None
    last = points[-1]
    counter = bool(last["type"] == "sum" and last["monotonic"])
    series = rates(points) if counter else values(points)
    exemplars = _exemplars(database, name, chosen)
    text = _rate if counter else _words(last["unit"])
    return {
        "metric": {"name": name, "unit": last["unit"], "type": last["type"], "points": len(points)},
        "counter": counter,
        "truncated": len(points) == _MOST_POINTS,
        "picture": _picture(name, series, [] if counter else exemplars, text),
        "legend": [
            (_kind(each.label, number), each.label) for number, each in enumerate(series[:_MOST_CURVES])
        ],
        "left_out": max(0, len(series) - _MOST_CURVES),
        "exemplars": exemplars,
        "text": "{:g}".format if counter else text,
    }


def _kind(label: str, number: int) -> str:
    """Return the class of a curve's colour."""
    return label if label in QUANTILES else f"c-{number}"


class _Range(NamedTuple):
    """A condition in SQL, its parameters, and the times that they mean."""

    condition: str
    parameters: list[Any]
    times: Times

    @classmethod
    def of(cls, filters: Filters) -> _Range:
        since, until = times = filters.only_time().selection().times
        ends = [("time >= make_timestamp(?)", since), ("time < make_timestamp(?)", until)]
        given = [(text, value // 1000) for text, value in ends if value is not None]
        return cls(" AND ".join(["true", *(text for text, _ in given)]), [value for _, value in given], times)


def _exemplars(database: Database, name: str, chosen: _Range) -> list[dict[str, Any]]:
    sql = _EXEMPLARS.format(condition=chosen.condition, limit=_MOST_EXEMPLARS)
    found: dict[str, dict[str, Any]] = {}
    for exemplars, label in database.query(sql, [name, *chosen.parameters], chosen.times).rows:
        for each in exemplars:
            if (
                each.get("trace_id")
                and each.get("span_id")
                and each.get("time_ns")
                and each.get("value") is not None
            ):
                address = f"/traces/{each['trace_id']}/{each['span_id']}"
                found.setdefault(
                    address, {**each, "label": label, "address": address, "at": iso(each["time_ns"])[11:23]}
                )
    return sorted(found.values(), key=lambda each: -each["time_ns"])[:_MOST_EXEMPLARS]


def _picture(
    name: str, series: list[Series], exemplars: list[dict[str, Any]], text: Callable[[float], str]
) -> Any:
    shown = {_kind(each.label, number): each.points for number, each in enumerate(series[:_MOST_CURVES])}
    times = [when for points in shown.values() for when, _ in points] + [
        each["time_ns"] for each in exemplars
    ]
    dots = [
        (
            each["time_ns"],
            each["value"],
            f"{text(each['value'])} at {each['at']} UTC: open its trace",
            each["address"],
        )
        for each in exemplars
    ]
    return curves(name, shown, text, min(times, default=0), max(times, default=1), dots=dots)


def _words(unit: str | None) -> Callable[[float], str]:
    return {"s": lambda value: seconds(value) if value else "0", "By": size}.get(
        unit or "", lambda value: f"{value:,.4g}"
    )


def _rate(value: float) -> str:
    return f"{value:,.3g} /s"
