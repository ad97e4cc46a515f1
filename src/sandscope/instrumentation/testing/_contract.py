"""Compares emitted telemetry with the declarations in ``telemetry.yaml`` files: exact names, types and units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Metric, Sum

from sandscope.instrumentation.testing._telemetry import Telemetry

_COMMON = Path(__file__).parents[2] / "telemetry.yaml"
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "int": int,
    "double": float,
    "boolean": bool,
    "string[]": tuple,
    "int[]": tuple,
    "template[string]": str,
}


class Contract:
    """The declarations for every runtime, and those of some instrumentations.

    Attributes:
        groups: the groups of all files.
        attributes: the declarations of attributes, by name.
        causes: the declarations of causes, by name.
        metrics: the declarations of metrics, by name.
    """

    def __init__(self, *files: Path) -> None:
        """Read the common declarations and those of the given files.

        Args:
            files: ``telemetry.yaml`` files, in the format of Sandscope's own.
        """
        self.groups: list[dict[str, Any]] = []
        for file in (_COMMON, *files):
            self.groups += _groups(file)
        self.attributes = {a["id"]: a for g in self.groups for a in g.get("attributes", []) if "id" in a}
        self.causes = {c["id"]: c for g in self.groups for c in g.get("causes", [])}
        self.metrics = {g["metric_name"]: g for g in self.groups if g["type"] == "metric"}

    def allowed(self, kind: str, name: str | None = None) -> set[str]:
        """Return the attributes that the groups of a type, and optionally of a name, refer to."""
        return {
            attribute.get("ref", attribute.get("id"))
            for group in self.groups
            if group["type"] == kind and name in (None, group.get("name"), group.get("metric_name"))
            for attribute in group.get("attributes", [])
        }

    def violations(self, telemetry: Telemetry) -> list[str]:
        """Return one line for each difference from the declarations; empty if there is none."""
        found: list[str] = []
        for span in telemetry.spans():
            found += self._check_attributes(
                f"span {span.name!r}", span.attributes or {}, self.allowed("span")
            )
            for event in span.events:
                found += self._check_attributes(
                    f"span event {event.name!r}", event.attributes or {}, self.allowed("event", event.name)
                )
        for log in telemetry.logs():
            record = log.log_record
            where = f"log record {record.event_name!r}"
            found += self._check_attributes(
                where, record.attributes or {}, self.allowed("event", record.event_name)
            )
        for metric in telemetry.metrics().values():
            found += self._check_metric(metric)
        return found

    def _check_metric(self, metric: Metric) -> Iterable[str]:
        declared = self.metrics.get(metric.name)
        if declared is None:
            return [f"metric {metric.name!r} is not declared"]
        found = []
        if (metric.unit, metric.description) != (declared["unit"], declared["brief"]):
            found.append(
                f"metric {metric.name!r} has {metric.unit!r}, {metric.description!r}, not as declared"
            )
        if _instrument(metric) != declared["instrument"]:
            found.append(f"metric {metric.name!r} is a {_instrument(metric)}, not a {declared['instrument']}")
        for point in metric.data.data_points:
            allowed = self.allowed("metric", metric.name)
            found += self._check_attributes(f"metric {metric.name!r}", point.attributes or {}, allowed)
            found += [
                f"metric {metric.name!r}: {name} does not come from a closed set"
                for name, value in (point.attributes or {}).items()
                if not self._is_closed(name, value)
            ]
        return found

    def _is_closed(self, name: str, value: object) -> bool:
        if name == "error.type":  # a class of the program's elsewhere
            return value in self.causes
        attribute = self.attributes.get(name, {})
        return (
            isinstance(attribute.get("type"), dict)
            or name in {"sandbox.verdict.cause", "sandscope.component"}
            or bool(attribute.get("closed") or attribute.get("capped"))
        )

    def _check_attributes(
        self, where: str, attributes: Mapping[str, Any], allowed: set[str]
    ) -> Iterable[str]:
        for name, value in attributes.items():
            prefix = name.partition(".")[0]
            template = self.attributes.get(prefix, {}).get("type") == "template[string]"
            declared = self.attributes.get(prefix if template else name)
            if declared is None or declared["id"] not in allowed:
                yield f"{where}: {name} is not declared there"
            elif not _matches(declared, value):
                yield f"{where}: {name}={value!r} is not {declared['type']}"
            elif name == "sandbox.verdict.cause" and value not in self.causes:
                yield f"{where}: cause {value!r} is not declared"


@cache
def _groups(file: Path) -> list[dict[str, Any]]:
    groups = yaml.safe_load(file.read_text())["groups"]
    # A key without a value is None in YAML: `attributes:`, after its last item was removed.
    return [{key: value for key, value in group.items() if value is not None} for group in groups]


def _matches(declared: Mapping[str, Any], value: Any) -> bool:
    kind = declared["type"]
    if isinstance(kind, dict):
        known = value in {member["value"] for member in kind["members"]}
        return known or ("capped" in declared and isinstance(value, str))
    expected = _TYPES[kind]
    return isinstance(value, expected) and not (expected is int and isinstance(value, bool))


def _instrument(metric: Metric) -> str:
    if isinstance(metric.data, Histogram):
        return "histogram"
    if isinstance(metric.data, Gauge):
        return "gauge"
    if isinstance(metric.data, Sum):
        return "counter" if metric.data.is_monotonic else "updowncounter"
    return type(metric.data).__name__
