"""Whose telemetry it is."""

from __future__ import annotations

from typing import NamedTuple


class Scope(NamedTuple):
    """The instrumentation scope that tracer, meter and logger share."""

    name: str
    version: str
