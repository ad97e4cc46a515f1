"""The declarations of this repository."""

from __future__ import annotations

from pathlib import Path

from sandscope.instrumentation import testing

ROOT = Path(__file__).parents[2]


class Contract(testing.Contract):
    """The declarations of the common part and of some instrumentations."""

    @classmethod
    def whole(cls) -> Contract:
        """Read every file of the repository."""
        return cls(*sorted((ROOT / "instrumentations").glob("*/telemetry.yaml")))
