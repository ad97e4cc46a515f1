"""The one domain object: a run of code in a sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from opentelemetry.context import Context, create_key, get_value
from opentelemetry.trace import SpanKind, get_current_span

from sandscope import _guard
from sandscope._child_environment import child_environment
from sandscope._metric import Metric
from sandscope._verdict import MISSING_EVIDENCE, OK, Verdict

Value: TypeAlias = "str | bool | int | float | tuple[str, ...] | tuple[int, ...]"

Measurement: TypeAlias = "tuple[Metric, float, Mapping[str, Value] | None]"
"""A metric, a value in its unit, and attributes with values of closed sets."""

Severity = Literal["DEBUG", "INFO", "WARN", "ERROR"]
"""Of log records, in OpenTelemetry's words."""

_LONGEST_MESSAGE = 1024
"""Characters: a guest may choose what stands in its exceptions."""
_MOST = 1024
"""Attributes and events that an execution keeps; the SDK's own limits, mostly 128, hold when they are sent."""


def _unknown(_error: BaseException) -> Verdict:
    return MISSING_EVIDENCE


@dataclass(frozen=True, eq=False)
class Site:
    """One patched function or program; made once, shared by all its executions.

    Attributes:
        runtime: ``wasmtime``, ``subprocess``, ``torch``, or a runtime that no instrumentation patches.
        operation: from the closed set of ``sandbox.operation``.
        name: the span's name.
        kind: the span's kind.
        attributes: constant attributes of span and log record.
        verdict_of: the verdict for an exception that ended the execution.
        current: make an execution current on its thread while it runs, so that spans inside become its
            children. Needless where nothing inside can call back into Python.
        traced: has a span and a log record; otherwise it is only counted, and never current.
        failed: called with an execution that an exception is about to end, the verdict and the exception.
    """

    runtime: str
    operation: str
    name: str
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, Value] = field(default_factory=dict)
    verdict_of: Callable[[BaseException], Verdict] = _unknown
    current: bool = True
    traced: bool = True
    failed: Callable[[Execution, Verdict, BaseException], None] | None = None

    def __post_init__(self) -> None:
        """Let what has no span never be current."""
        if not self.traced:
            object.__setattr__(self, "current", False)


class Event(NamedTuple):
    """Something that happened inside an execution, at ``time`` (nanoseconds since 1970)."""

    name: str
    time: int
    attributes: Mapping[str, Value]


OnEnd: TypeAlias = "Callable[[Verdict, int], object]"
"""Called with an execution's verdict and its end in nanoseconds since 1970."""


class Details:
    """What only some executions have.

    Attributes:
        attributes: of this one run, for span and log record.
        measurements: values of the runtime's own metrics.
        events: what happened inside.
        error_type: the class of the exception that ended it.
        error_message: its message, cut.
        written: what a recorder keeps of what the program wrote on the span.
        on_end: to be called once it has ended.
    """

    __slots__ = (
        "attributes",
        "error_message",
        "error_type",
        "events",
        "measurements",
        "on_end",
        "written",
    )

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self.measurements: dict[Metric, float] = {}
        self.events: list[Event] = []
        self.error_type: str | None = None
        self.error_message = ""
        self.written: Any = None
        self.on_end: list[OnEnd] = []


class SharedDetails(Details):
    """One attribute that many executions have in common, such as the number of their sandbox.

    It never changes. An execution that gets details of its own copies it.

    Attributes:
        key: of the attribute.
        number: its value.
    """

    __slots__ = ()

    key: str
    number: int
    measurements: Any = MappingProxyType({})  # in place of the slots
    events: Any = ()
    on_end: Any = ()
    error_type = written = None
    error_message = ""

    @property
    def attributes(self) -> dict[str, Any]:  # type: ignore[override]
        """The attribute, as those of other details."""
        return {self.key: self.number}


class Logs(Protocol):
    """What an execution itself needs of the recorder that began it."""

    def log(
        self,
        name: str,
        body: str,
        *,
        severity: Severity = "INFO",
        attributes: Mapping[str, Value] | None = None,
        execution: Execution | None = None,
    ) -> None:
        """Emit a log record now, in the trace of an execution."""


class Execution:
    """One run: a recorder begins it, an instrumentation fills it in and ends it. No method raises.

    Attributes:
        recorder: that began it.
        site: what was known before.
        parent_context: the context in which it began.
        verdict: None while it runs.
        details: None unless there are some.
    """

    __slots__ = ()

    recorder: Logs
    site: Site
    parent_context: Context
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
        """Emit a log record in its trace now.

        Args:
            name: of the event.
            body: one line for a human reader.
            severity: how bad it is.
            attributes: of the record.
        """
        self.recorder.log(name, body, severity=severity, attributes=attributes, execution=self)

    def fail(self, error: BaseException, verdict: Verdict | None = None) -> None:
        """End it with an exception, of which only class and message are kept; a second end is ignored.

        Args:
            error: what ended it.
            verdict: from evidence; by default, what the site makes of the exception.
        """
        if self.verdict is not None:
            return
        try:
            details = self._ensure_details()
            details.error_type = type(error).__qualname__
            verdict = verdict or self.site.verdict_of(error)
            # What is no text, such as an undecodable file name, could not be sent.
            details.error_message = str(error)[:_LONGEST_MESSAGE].encode("utf-8", "replace").decode()
        except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("verdict", broken)
            verdict = MISSING_EVIDENCE
        if self.site.failed is not None:
            try:
                self.site.failed(self, verdict, error)
            except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report("failed", broken)
        self.finish(verdict)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes of span and log record; ignored after the end.

        Args:
            attributes: values that OpenTelemetry knows, or lists of them, which are copied.
        """
        if self.verdict is not None:
            return
        try:
            own = self._ensure_details().attributes
            for key, value in _copied(attributes).items():
                if len(own) < _MOST or key in own:
                    own[key] = value
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("execution.set_attributes", error)

    def add_event(
        self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None
    ) -> None:
        """Add an event to the span; ignored after the end.

        Args:
            name: of the event.
            attributes: of the event.
            timestamp: nanoseconds since 1970; now by default.
        """
        if self.verdict is not None:
            return
        try:
            events = self._ensure_details().events
            if len(events) < _MOST:
                when = time.time_ns() if timestamp is None else timestamp
                events.append(Event(name, when, _copied(attributes or {})))
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("execution.add_event", error)

    def measure(self, metric: Metric, value: float) -> None:
        """Measure something of it; ignored after the end.

        Its points have the runtime, the operation and the status as attributes.

        Args:
            metric: one of the runtime's own.
            value: in the metric's unit; it replaces an earlier one of the same execution.
        """
        if self.verdict is not None:
            return
        try:
            self._ensure_details().measurements[metric] = value
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("execution.measure", error)

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment for a process that this execution starts: that process continues its trace.

        Args:
            base: the variables beside; `os.environ` by default. See `child_environment`.
        """
        return child_environment(base, self.context)

    def on_end(self, callback: OnEnd) -> None:
        """Have something called once it has ended, perhaps on another thread and a little later.

        Args:
            callback: gets verdict and end time.
        """
        self._ensure_details().on_end.append(callback)

    def _ensure_details(self) -> Details:
        details = self.details
        if details is None or isinstance(details, SharedDetails):
            shared = details
            details = self.details = Details()  # type: ignore[misc] # a slot of each recorder's class
            if shared is not None:
                details.attributes.update(shared.attributes)
        return details

    def _call_on_end(self) -> None:
        """Call what waits for the end; for recorders, once it has ended."""
        for callback in self.details.on_end if self.details is not None else ():
            try:
                callback(self.verdict or MISSING_EVIDENCE, self.end_time)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report("on_end", error)


def _copied(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as they are now: the program may change its lists afterwards."""
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in dict(attributes).items()
    }


EXECUTION_KEY = create_key("sandscope-execution")
"""Of a context: the execution that is current, where it is not itself the current span."""


def current_execution() -> Execution | None:
    """Return the execution that runs in the current context, or None."""
    span: object = get_current_span()
    current = span if isinstance(span, Execution) else get_value(EXECUTION_KEY)
    return current if isinstance(current, Execution) and current.verdict is None else None
