"""The telemetry that this repository declares."""

from __future__ import annotations

from pathlib import Path

from sandscope.instrumentation import testing

ROOT = Path(__file__).parents[2]


class Contract(testing.Contract):
    """The common declarations, and those of some instrumentations."""

    @classmethod
    def whole(cls) -> Contract:
        """Read the declarations of all instrumentations."""
        return cls(*sorted((ROOT / "instrumentations").glob("*/telemetry.yaml")))
