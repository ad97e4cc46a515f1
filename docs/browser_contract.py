"""Generate the TypeScript of the browser's contract from the ``telemetry.yaml`` files: ``make docs``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sandscope._metric import COMMON, DURATION

ROOT = Path(__file__).parents[1]
PATH = ROOT / "instrumentations" / "browser" / "src" / "contract.ts"
SOURCES = (
    ROOT / "src" / "sandscope" / "telemetry.yaml",
    *(ROOT / "instrumentations" / name / "telemetry.yaml" for name in ("wasmtime", "browser")),
)
EMITTED = (
    *("sandbox.executions", "sandbox.execution.duration", "sandbox.execution.active"),
    *("sandbox.limit.violations", "sandbox.security.violations"),
    *("sandscope.errors", "sandscope.recorder.records"),
    *("wasm.active.instances", "wasm.instance.creation.duration", "wasm.memory.usage", "wasm.memory.peak"),
)
"""The metrics that the browser shares with other runtimes; its own are all that its file declares."""

BYTES = [65536 * 4**power for power in range(9)]
SHIFT = [0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1]
HEAD = """// Generated from the telemetry.yaml files by `make docs`: names cannot drift from those of other runtimes.
"""


def source() -> str:
    """Return the whole file."""
    groups = [yaml.safe_load(file.read_text())["groups"] for file in SOURCES]
    own = {group["metric_name"] for group in groups[-1] if group["type"] == "metric"}
    whole = [group for part in groups for group in part]
    metrics = {
        group["metric_name"]: _metric(group)
        for group in whole
        if group["type"] == "metric" and group["metric_name"] in {*own, *EMITTED}
    }
    causes = {
        cause["id"]: {"status": cause["status"], "actor": cause["actor"]}
        for group in whole
        for cause in group.get("causes", [])
        if "actor" in cause
    }
    return "\n".join(
        [
            HEAD,
            *_constant("METRICS", metrics),
            *_constant("CAUSES", causes),
            "export type MetricName = keyof typeof METRICS;",
            "export type Cause = keyof typeof CAUSES;",
            "",
            "export type AttributeName =",
            *(f"  | {json.dumps(name)}" for name in _attributes(whole)),
            "  ;",
            "",
        ]
    )


def _metric(group: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "instrument": group["instrument"],
        "unit": group["unit"],
        "description": group["brief"],
    }
    if group["instrument"] == "histogram":
        common = {metric.name: metric.boundaries for metric in COMMON}
        units = {"s": DURATION.boundaries, "By": BYTES, "": SHIFT}
        found["boundaries"] = list(common.get(group["metric_name"]) or units[group["unit"]] or ())
    return found


def _constant(name: str, values: dict[str, Any]) -> Iterator[str]:
    yield f"export const {name} = {{"
    for key, value in values.items():
        yield f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},"
    yield "} as const;\n"


def _attributes(groups: list[dict[str, Any]]) -> list[str]:
    prefixes = ("sandbox.", "wasm.", "browser.", "error.", "exception.", "sandscope.", "security.")
    names = {a["id"] for group in groups for a in group.get("attributes", []) if "id" in a}
    return sorted(name for name in names if name.startswith(prefixes))


if __name__ == "__main__":
    PATH.write_text(source())
