"""The status of one check: it changes only after several results in a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandscope.health._check import Check
from sandscope.health._result import RANK, Result, Status, unknown


@dataclass
class State:
    """What is known of a check.

    Attributes:
        check: the check.
        status: its status: unknown until enough results agree.
        latest: the latest result, which may differ.
        duration: how long that took, in seconds.
        in_a_row: how many results in a row had the same status.
    """

    check: Check
    status: Status = "unknown"
    latest: Result = field(default_factory=lambda: unknown("not checked yet"))
    duration: float = 0.0
    in_a_row: int = 0

    @property
    def is_settled(self) -> bool:
        """Whether a result counts already; also one that says that it cannot be known."""
        return self.status != "unknown" or (self.in_a_row > 0 and self.latest.status == "unknown")

    def add(self, result: Result, duration: float) -> bool:
        """Take a result into account, and return whether the status has changed."""
        self.in_a_row = self.in_a_row + 1 if result.status == self.latest.status else 1
        self.latest, self.duration = result, duration
        if result.status == self.status or self.in_a_row < self._needed(result.status):
            return False
        self.status = result.status
        return True

    def _needed(self, status: Status) -> int:
        if RANK[status] > RANK[self.status]:
            return self.check.failures
        return 1 if self.status == "unknown" else self.check.recoveries

    def as_json(self) -> dict[str, Any]:
        """Return what is served of the check."""
        return {
            "status": self.status,
            "critical": self.check.critical,
            "message": self.latest.message,
            "latest": self.latest.status,
            "in_a_row": self.in_a_row,
            "duration_seconds": round(self.duration, 6),
            "details": dict(self.latest.details),
        }


def overall(states: list[State]) -> Status:
    """Return the status of the program."""
    if any(state.check.critical and state.status == "unhealthy" for state in states):
        return "unhealthy"
    if any(state.status in {"degraded", "unhealthy"} for state in states):
        return "degraded"
    return "unknown" if any(state.status == "unknown" for state in _decisive(states)) else "healthy"


def is_ready(states: list[State]) -> bool:
    """Return whether the program can take work: what a check cannot know does not keep it from that."""
    return overall(states) != "unhealthy" and all(state.is_settled for state in _decisive(states))


def _decisive(states: list[State]) -> list[State]:
    return [state for state in states if state.check.critical] or states
