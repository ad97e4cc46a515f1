"""The one domain object: a run of code in a sandbox."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.context import Context, create_key, get_value
from opentelemetry.trace import get_current_span

from sandscope import _guard
from sandscope._metric import Metric
from sandscope._site import Site, Value
from sandscope._verdict import MISSING_EVIDENCE, OK, Verdict

if TYPE_CHECKING:
    from sandscope._emitted import Emitted
    from sandscope._emitter import Severity
    from sandscope._recorder import Recorder

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
        written: what a recorder keeps of what the program wrote on the span.
        emitted: what a guest has emitted; to be closed once it has ended.
    """

    __slots__ = (
        "attributes",
        "emitted",
        "error_message",
        "error_type",
        "events",
        "measurements",
        "written",
    )

    def __init__(self) -> None:
        self.attributes: dict[str, Value] = {}
        self.measurements: dict[Metric, float] = {}
        self.events: list[Event] = []
        self.error_type: str | None = None
        self.error_message = ""
        self.written: Any = None
        self.emitted: Emitted | None = None


class Execution:
    """One run: a recorder begins it, an instrumentation fills it in and ends it. No method raises.

    Attributes:
        recorder: that began it.
        site: what was known before.
        verdict: None while it runs.
        details: None unless there are some.
    """

    __slots__ = ()

    recorder: Recorder
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

    def log(
        self,
        name: str,
        body: str,
        *,
        severity: Severity = "INFO",
        attributes: Mapping[str, Value] | None = None,
    ) -> None:
        """Emit a log record in its trace now: see `Emitter.log`."""
        self.recorder.emitter.log(name, body, severity=severity, attributes=attributes, execution=self)

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
        if self.site.failed is not None:
            try:
                self.site.failed(self, verdict, error)
            except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report("failed", broken)
        self.finish(verdict)

    def describe(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes to span and log record."""
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
            details = self.details = Details()  # type: ignore[misc] # a slot of each recorder's class
        return details

    def close_emitted(self) -> None:
        """End what its guest has left open, once it has ended itself."""
        if self.details is None or self.details.emitted is None:
            return
        try:
            self.details.emitted.close(self.verdict or MISSING_EVIDENCE, self.end_time)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("guest.close", error)


EXECUTION_KEY = create_key("sandscope-execution")
"""Of a context: the execution that is current, where it is not itself the current span."""


def current_execution() -> Execution | None:
    """Return the execution that runs in the current context, or None."""
    span: object = get_current_span()
    current = span if isinstance(span, Execution) else get_value(EXECUTION_KEY)
    return current if isinstance(current, Execution) and current.verdict is None else None
