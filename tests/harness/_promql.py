"""The names that a PromQL expression uses, and those that Prometheus gives to declared metrics."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {"s": "seconds", "By": "bytes", "%": "percent"}
_STRING = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_MATCHERS = re.compile(r"\{([^}]*)\}")
_RANGE = re.compile(r"\[[^\]]*\]")
_NAME = re.compile(r"(?<![\w:.$])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])")
_WORDS = {"and", "or", "unless", "offset", "bool", "inf", "nan"}


def metrics_of(expression: str) -> set[str]:
    """Return the names of the metrics and recorded series in an expression."""
    bare = _RANGE.sub("", _MATCHERS.sub("", _GROUPING.sub(" ", _without_comments(expression))))
    return {name for name in _NAME.findall(bare) if name.lower() not in _WORDS}


def labels_of(expression: str) -> set[str]:
    """Return the labels that an expression selects or groups by."""
    bare = _without_comments(expression)
    grouped = {label.strip() for _, labels in _GROUPING.findall(bare) for label in labels.split(",")}
    matched = {
        label for inner in _MATCHERS.findall(bare) for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inner)
    }
    return (grouped | matched) - {""}


def prometheus_names(metric: dict[str, Any]) -> set[str]:
    """Return the names of the series that Prometheus has of a declared metric."""
    name, unit = metric["metric_name"].replace(".", "_"), metric["unit"]
    suffix = _UNITS.get(unit, "ratio" if unit == "1" and metric["instrument"] == "gauge" else "")
    if suffix and not name.endswith(suffix):
        name = f"{name}_{suffix}"
    if metric["instrument"] == "histogram":
        return {f"{name}_{part}" for part in ("bucket", "count", "sum")}
    return {f"{name}_total" if metric["instrument"] == "counter" else name}


def _without_comments(expression: str) -> str:
    return re.sub(r"#.*", "", _STRING.sub('""', expression))
