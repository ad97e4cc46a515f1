"""Generate ``reference.md``, and the meanings of causes, from the ``telemetry.yaml`` files: ``make docs``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
SOURCES = {
    "Every runtime": ROOT / "src" / "sandscope" / "telemetry.yaml",
    "wasmtime": ROOT / "instrumentations" / "wasmtime" / "telemetry.yaml",
    "subprocess": ROOT / "instrumentations" / "subprocess" / "telemetry.yaml",
    "torch": ROOT / "instrumentations" / "torch" / "telemetry.yaml",
    "browser": ROOT / "instrumentations" / "browser" / "telemetry.yaml",
}
MEANINGS = ROOT / "src" / "sandscope" / "_view" / "causes.json"
HEAD = """# Reference: what Sandscope emits

Generated from the `telemetry.yaml` files by `make docs`. Tests compare these files with the emitted telemetry.
In Prometheus, a dot becomes `_`, the unit is appended (`s` as `_seconds`), and counters end in `_total`.
"""


def page() -> str:
    """Return the whole page."""
    sections = [
        _section(title, yaml.safe_load(file.read_text())["groups"]) for title, file in SOURCES.items()
    ]
    return "\n".join([HEAD, *sections])


def meanings() -> str:
    """Return what each cause means, for the page of `sandscope view`, as JSON."""
    groups = [group for file in SOURCES.values() for group in yaml.safe_load(file.read_text())["groups"]]
    causes = [cause for group in groups for cause in group.get("causes", [])]
    return json.dumps({cause["id"]: cause["brief"] for cause in causes}, indent=1, ensure_ascii=False) + "\n"


def _section(title: str, groups: list[dict[str, Any]]) -> str:
    attributes = [a for group in groups for a in group.get("attributes", []) if "id" in a]
    values = [
        (a["id"], member)
        for a in attributes
        if isinstance(a["type"], dict)
        for member in a["type"]["members"]
    ]
    causes = [cause for group in groups for cause in group.get("causes", [])]
    parts = [
        f"## {title}\n",
        *_table("Metrics", ("metric", "instrument", "unit", "meaning", "attributes"), _metrics(groups)),
        *_table("Spans and events", ("what", "meaning", "attributes"), _carriers(groups)),
        *_table(
            "Attributes",
            ("attribute", "type", "meaning"),
            ((a["id"], _type(a), a["brief"]) for a in attributes),
        ),
        *_table(
            "Values", ("attribute", "value", "meaning"), ((n, m["value"], m["brief"]) for n, m in values)
        ),
        *_table("Causes", ("cause", "status", "actor", "evidence"), _causes(causes)),
    ]
    return "\n".join(parts)


def _table(title: str, heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    lines = [f"| {' | '.join(_cell(cell, number) for number, cell in enumerate(row))} |" for row in rows]
    if lines:
        yield "\n".join([f"### {title}\n", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *lines, ""])


def _cell(text: str, column: int) -> str:
    return f"`{text}`" if column == 0 else text.replace("|", "\\|")


def _metrics(groups: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for group in groups:
        if group["type"] == "metric":
            yield (
                group["metric_name"],
                group["instrument"],
                f"`{group['unit']}`",
                group["brief"],
                _names(group),
            )


def _carriers(groups: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for group in groups:
        if group["type"] in {"span", "event"}:
            yield group.get("name", group["id"]), group["brief"], _names(group)


def _causes(causes: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for cause in causes:
        yield cause["id"], cause["status"], cause.get("actor", ""), cause["brief"]


def _names(group: dict[str, Any]) -> str:
    return ", ".join(f"`{attribute['ref']}`" for attribute in group.get("attributes", []))


def _type(attribute: dict[str, Any]) -> str:
    kind = "closed set" if isinstance(attribute["type"], dict) else attribute["type"]
    return f"open set, at most {attribute['capped']}" if "capped" in attribute else kind


if __name__ == "__main__":
    (ROOT / "docs" / "reference.md").write_text(page())
    MEANINGS.write_text(meanings())
