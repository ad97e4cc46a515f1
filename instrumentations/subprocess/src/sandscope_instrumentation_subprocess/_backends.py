"""Which features of the kernel confine a child, and are used to observe it."""

from __future__ import annotations

from typing import Literal

from sandscope.instrumentation import Measurement, Metric, Value

PIDFD = Metric(
    "sandbox.backend.pidfd",
    "counter",
    "{execution}",
    "Executions whose end was observed, with a pidfd or without",
)

PidfdMode = Literal["native", "fallback"]
"""Whether the exit of a child is observed by a pidfd, or only where the program waits for the child."""

_SITE: dict[str, Value] = {"sandbox.runtime": "subprocess", "sandbox.operation": "process"}
_PIDFD_MODES: tuple[PidfdMode, ...] = ("native", "fallback")
PIDFD_COUNTS: dict[PidfdMode, tuple[Measurement, ...]] = {
    mode: ((PIDFD, 1, {**_SITE, "sandbox.pidfd.mode": mode}),) for mode in _PIDFD_MODES
}
"""The measurements for a child, by mode: always the same objects, which makes them inexpensive."""
