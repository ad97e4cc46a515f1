"""What a check finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal

Status = Literal["healthy", "degraded", "unhealthy", "unknown"]
Detail = str | int | float | bool

RANK: Mapping[Status, int] = {"healthy": 0, "unknown": 1, "degraded": 2, "unhealthy": 3}
"""From good to bad."""


@dataclass(frozen=True)
class Result:
    """The result of a check.

    Attributes:
        status: what the check found.
        message: one line for people.
        details: figures, for machines.
    """

    status: Status
    message: str = ""
    details: Mapping[str, Detail] = field(default_factory=dict)


def healthy(message: str = "", **details: Detail) -> Result:
    """Return the result of a check that found nothing wrong."""
    return Result("healthy", message, details)


def degraded(message: str, **details: Detail) -> Result:
    """Return the result of a check that found something that does not keep the program from working."""
    return Result("degraded", message, details)


def unhealthy(message: str, **details: Detail) -> Result:
    """Return the result of a check that found that something does not work."""
    return Result("unhealthy", message, details)


def unknown(message: str, **details: Detail) -> Result:
    """Return the result of a check that could not find out."""
    return Result("unknown", message, details)


def presentable(found: Any) -> Result:
    """Return what a check has returned as a result that can be served as JSON.

    Args:
        found: a `Result`, whatever its message and details are; None if all is well. Anything else is unhealthy.
    """
    if found is None:
        return healthy()
    if not isinstance(found, Result) or found.status not in tuple(RANK):
        return unhealthy(f"the check returned neither a Result nor None, but {type(found).__name__}")
    details = {str(name): _plain(value) for name, value in found.details.items()}
    return Result(found.status, str(found.message), details)


def _plain(value: Any) -> Detail:
    if isinstance(value, float):
        return value if isfinite(value) else str(value)  # JSON has no NaN
    return value if isinstance(value, (str, int)) else str(value)
