"""The instrumentation scope."""

from __future__ import annotations

from typing import NamedTuple


class Scope(NamedTuple):
    """The instrumentation scope of a tracer, a meter and a logger."""

    name: str
    version: str
