"""The verdicts on the spans of a program."""

from __future__ import annotations

from typing import Any

from harness import Telemetry


def verdicts_of(telemetry: Telemetry) -> list[tuple[Any, ...]]:
    """Return status, actor and cause of each span."""
    names = ("status", "actor", "cause")
    return [
        tuple((span.attributes or {}).get(f"sandbox.verdict.{name}") for name in names)
        for span in telemetry.spans()
    ]
