"""The central domain object: one run of code in a sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol

from opentelemetry.context import Context, create_key, get_value
from opentelemetry.trace import SpanKind, get_current_span

from sandscope import _guard
from sandscope._child._child_environment import child_environment
from sandscope._details import Details, Event, OnEnd, SharedDetails, Value
from sandscope._metric import Metric
from sandscope._verdict import MISSING_EVIDENCE, OK, Verdict

Severity = Literal["DEBUG", "INFO", "WARN", "ERROR"]
"""The severity of a log record, by OpenTelemetry's short names."""

_MAX_MESSAGE_LENGTH = 1024
"""In characters: guests can choose the messages of their exceptions."""
_MAX_STACK_TRACE = 4096
"""In characters: guests can choose the names of their functions."""
_MAX_ITEMS = 1024
"""The maximum number of attributes, and of events, that an execution keeps. The SDK's limits, 128 by default, apply
when the execution is exported.
"""


NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


def _unknown(_error: BaseException) -> Verdict:
    return MISSING_EVIDENCE


@dataclass(frozen=True, eq=False)
class Site:
    """A patched function or a program, shared by all its executions.

    Attributes:
        runtime: ``wasmtime``, ``subprocess``, ``torch``, or a runtime without an instrumentation.
        operation: a value of ``sandbox.operation``.
        name: the span's name.
        kind: the span's kind.
        attributes: constant attributes of the span and the log record.
        verdict_of: returns the verdict for an exception that ended the execution.
        current: whether the execution's span is the current span while the execution runs, so that spans started
            inside become its children. Not needed if the code inside cannot call back into Python.
        traced: whether executions have a span and a log record. Otherwise they are only counted, and never current.
        failed: called before an exception ends an execution, with the execution, the verdict and the exception.
        metric_attributes: constant attributes of the metrics, the span and the log record, from closed sets.
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
    metric_attributes: Mapping[str, str] = field(default_factory=lambda: NO_ATTRIBUTES)

    def __post_init__(self) -> None:
        """Unset `current` if there is no span to make current."""
        if not self.traced:
            object.__setattr__(self, "current", False)


class Logs(Protocol):
    """The part of a recorder that an execution uses."""

    def log(
        self,
        name: str,
        body: str,
        *,
        severity: Severity = "INFO",
        attributes: Mapping[str, Value] | None = None,
        execution: Execution | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Emit a log record. Not safe in finalizers.

        Args:
            name: the event name.
            body: one line of text for a human reader.
            severity: the severity.
            attributes: the attributes of the log record.
            execution: the execution whose trace the log record belongs to; by default, the current context decides.
            timestamp: when it happened, in nanoseconds since the epoch, if not now.
        """


class Execution:
    """One run of code in a sandbox. A recorder begins it; an instrumentation adds data and ends it. No method raises.

    Attributes:
        recorder: the recorder that began the execution.
        site: the function or program that is executed.
        parent_context: the context in which the execution began.
        verdict: how the execution ended; None while it runs.
        details: optional data; None if there is none.
    """

    __slots__ = ()

    recorder: Logs
    site: Site
    parent_context: Context
    verdict: Verdict | None
    details: Details | None

    @property
    def context(self) -> Context:
        """The context for code inside the execution, and for the child processes that it starts."""
        raise NotImplementedError

    @property
    def start_time(self) -> int:
        """Nanoseconds since the epoch."""
        raise NotImplementedError

    @property
    def end_time(self) -> int:
        """Nanoseconds since the epoch; 0 while the execution runs."""
        raise NotImplementedError

    @property
    def duration(self) -> float:
        """Seconds from start to end; 0 while the execution runs."""
        return max(0, self.end_time - self.start_time) / 1e9

    def confirm(self, site: Site) -> None:
        """Begin a prepared execution, which has not ended: it has taken place since it was prepared.

        Args:
            site: replaces the one with which it was prepared.
        """
        raise NotImplementedError

    def finish(self, verdict: Verdict = OK, *, end_time: int | None = None) -> None:
        """End the execution. Has no effect if it has already ended.

        Args:
            verdict: how it ended, determined from evidence.
            end_time: when it ended, in nanoseconds since the epoch; now by default.
        """
        raise NotImplementedError

    def log(
        self,
        name: str,
        body: str,
        *,
        severity: Severity = "INFO",
        attributes: Mapping[str, Value] | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Emit a log record in the execution's trace.

        Args:
            name: the event name.
            body: one line of text for a human reader.
            severity: the severity.
            attributes: the attributes of the log record.
            timestamp: when it happened, in nanoseconds since the epoch, if not now.
        """
        self.recorder.log(
            name, body, severity=severity, attributes=attributes, execution=self, timestamp=timestamp
        )

    def fail(
        self, error: BaseException, verdict: Verdict | None = None, *, message: str | None = None
    ) -> None:
        """End the execution with an exception. Has no effect if it has already ended.

        Args:
            error: the exception. Only its class and message are kept.
            verdict: how the execution ended, determined from evidence; by default, `Site.verdict_of` decides.
            message: is kept instead of the exception's own message, which may contain what the program passes.
        """
        if self.verdict is not None:
            return
        try:
            details = self._ensure_details()
            details.error_type = type(error).__qualname__
            verdict = verdict or self.site.verdict_of(error)
            if details.explanation is None:
                text = _message_of(error) if message is None else message
                details.error_message = _text(text, _MAX_MESSAGE_LENGTH)
        except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("verdict", broken)
            verdict = MISSING_EVIDENCE
        if self.site.failed is not None:
            try:
                self.site.failed(self, verdict, error)
            except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report("failed", broken)
        self.finish(verdict)

    def explain(self, why: str, stack_trace: str | None = None) -> None:
        """Say why the execution fails. Has no effect after the end, or if the execution ends without an error.

        Args:
            why: the span's status description, and the log record's ``exception.message``; truncated.
            stack_trace: of the code that ran: an ``exception`` event of the span, and on the log record; truncated.
        """
        if self.verdict is not None:
            return
        try:
            details = self._ensure_details()
            details.explanation = details.error_message = _text(why, _MAX_MESSAGE_LENGTH)
            details.stack_trace = None if stack_trace is None else _text(stack_trace, _MAX_STACK_TRACE)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("execution.explain", error)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes of the span and the log record. Has no effect after the end.

        Args:
            attributes: attribute values as OpenTelemetry defines them. Lists are copied.
        """
        if self.verdict is not None:
            return
        try:
            own = self._ensure_details().attributes
            for key, value in _copied(attributes).items():
                if len(own) < _MAX_ITEMS or key in own:
                    own[key] = value
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("execution.set_attributes", error)

    def add_event(
        self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None
    ) -> None:
        """Add an event to the span. Has no effect after the end.

        Args:
            name: the event's name.
            attributes: the event's attributes.
            timestamp: nanoseconds since the epoch; now by default.
        """
        if self.verdict is not None:
            return
        try:
            events = self._ensure_details().events
            if len(events) < _MAX_ITEMS:
                when = time.time_ns() if timestamp is None else timestamp
                events.append(Event(name, when, _copied(attributes or {})))
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("execution.add_event", error)

    def measure(self, metric: Metric, value: float) -> None:
        """Record a measurement of the execution. Has no effect after the end.

        The attributes of the measurement are the runtime, the operation and the status.

        Args:
            metric: a metric of the runtime.
            value: in the metric's unit. A second value of the same execution replaces the first.
        """
        if self.verdict is not None:
            return
        try:
            self._ensure_details().measurements[metric] = value
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("execution.measure", error)

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment for a child process that continues this execution's trace.

        Args:
            base: the other environment variables; `os.environ` by default. See `child_environment`.
        """
        return child_environment(base, self.context)

    def on_end(self, callback: OnEnd) -> None:
        """Register a callback for the end. It may be called on another thread, with a delay.

        Args:
            callback: receives the verdict and the end time.
        """
        self._ensure_details().on_end.append(callback)

    def _ensure_details(self) -> Details:
        details = self.details
        if details is None or isinstance(details, SharedDetails):
            shared = details
            details = self.details = Details()  # type: ignore[misc] # a slot of each recorder's class
            if shared is not None:
                details.attributes.update(shared.attributes)
                details.measurements.update(shared.measurements)
        return details

    def _call_on_end(self) -> None:
        """Call the `on_end` callbacks; used by recorders after the end."""
        for callback in self.details.on_end if self.details is not None else ():
            try:
                callback(self.verdict or MISSING_EVIDENCE, self.end_time)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report("on_end", error)


def _message_of(error: BaseException) -> str:
    """Return the message of an exception, or nothing if its class cannot say it."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 -- a program's class may do anything
        return ""


def _text(text: str, most: int) -> str:
    """Return a text of at most some characters that can be exported: without lone surrogates, as in some file names."""
    return text[:most].encode("utf-8", "replace").decode()


def _copied(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the attributes, because the program may modify its lists later."""
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in dict(attributes).items()
    }


EXECUTION_KEY = create_key("sandscope-execution")
"""The context key of the current execution, for recorders whose executions are not spans themselves."""


def current_execution() -> Execution | None:
    """Return the execution of the current context, or None if there is none or it has ended."""
    span: object = get_current_span()
    current = span if isinstance(span, Execution) else get_value(EXECUTION_KEY)
    return current if isinstance(current, Execution) and current.verdict is None else None
