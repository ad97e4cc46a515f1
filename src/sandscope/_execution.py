"""The one domain object: a run of code in a sandbox."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from opentelemetry.context import Context

from sandscope import _guard
from sandscope._metric import Metric
from sandscope._site import Site, Value
from sandscope._verdict import MISSING_EVIDENCE, OK, Verdict

_LONGEST_MESSAGE = 1024
"""Characters: a guest may choose what stands in its exceptions."""


class Event(NamedTuple):
    """Something that happened inside an execution, at ``time`` (nanoseconds since 1970)."""

    name: str
    time: int
    attributes: Mapping[str, Value]


class Details:
    """What only some executions have.

    Attributes:
        attributes: of this one run, for span and log record.
        measurements: values of the runtime's own metrics.
        events: what happened inside.
        error_type: the class of the exception that ended it.
        error_message: its message, cut.
    """

    __slots__ = ("attributes", "error_message", "error_type", "events", "measurements")

    def __init__(self) -> None:
        self.attributes: dict[str, Value] = {}
        self.measurements: dict[Metric, float] = {}
        self.events: list[Event] = []
        self.error_type: str | None = None
        self.error_message = ""


class Execution:
    """One run: a recorder begins it, an instrumentation fills it in and ends it. No method raises.

    Attributes:
        site: what was known before.
        verdict: None while it runs.
        details: None unless there are some.
    """

    __slots__ = ("__weakref__", "details", "site", "verdict")

    site: Site
    verdict: Verdict | None
    details: Details | None

    @property
    def context(self) -> Context:
        """The context that code inside sees; it goes into children."""
        raise NotImplementedError

    @property
    def start_time(self) -> int:
        """Nanoseconds since 1970."""
        raise NotImplementedError

    @property
    def end_time(self) -> int:
        """Nanoseconds since 1970; 0 while it runs."""
        raise NotImplementedError

    @property
    def duration(self) -> float:
        """Seconds from start to end; 0 while it runs."""
        return max(0, self.end_time - self.start_time) / 1e9

    def finish(self, verdict: Verdict = OK, *, end_time: int | None = None) -> None:
        """End it; a second end is ignored.

        Args:
            verdict: from evidence.
            end_time: nanoseconds since 1970, if it ended before now.
        """
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        """End it with an exception, of which only class and message are kept; the site knows the verdict."""
        try:
            details = self.more()
            details.error_type = type(error).__qualname__
            verdict = self.site.verdict_of(error)
            details.error_message = str(error)[:_LONGEST_MESSAGE]
        except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("verdict", broken)
            verdict = MISSING_EVIDENCE
        self.finish(verdict)

    def set_attribute(self, key: str, value: Value) -> None:
        """Add to span and log record."""
        self.more().attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, Value]) -> None:
        """Add several to span and log record."""
        self.more().attributes.update(attributes)

    def measure(self, metric: Metric, value: float) -> None:
        """Add a value of one of the runtime's own metrics."""
        self.more().measurements[metric] = value

    def note(self, name: str, attributes: Mapping[str, Value] | None = None) -> None:
        """Add an event that happens now."""
        self.more().events.append(Event(name, time.time_ns(), attributes or {}))

    def more(self) -> Details:
        """Return the details, made if there are none."""
        details = self.details
        if details is None:
            details = self.details = Details()
        return details
