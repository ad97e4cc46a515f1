"""Telemetry that a guest emits through its host: limited, and always in the trace of the guest's execution.

An instrumentation maps its guests' calls to these methods. No input from a guest is trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Literal, ParamSpec, TypeAlias

from opentelemetry import context
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, Status, StatusCode, get_current_span

from sandscope import _guard, _internals
from sandscope._execution import Execution, current_execution
from sandscope._guests._guest_rules import GuestLimits, Refusal, name_of, severity_of, text_of
from sandscope._guests._open_spans import Handle, OpenSpans
from sandscope._metric import GUEST_COUNT, GUEST_REFUSED, Metric
from sandscope._recording import _mapping
from sandscope._recording._recorder import Recorder

Signal = Literal["span", "attribute", "log", "count"]
_P = ParamSpec("_P")
_Method: TypeAlias = "Callable[Concatenate[GuestTelemetry, _P], int]"

COUNTER = "sandbox.guest.counter"
SIGNAL = "sandbox.guest.signal"
REASON = "sandbox.guest.reason"
LOG_EVENT = "sandbox.guest.log"
SPAN_PREFIX = "guest "
ATTRIBUTE_PREFIX = "guest."
"""The prefixes prevent guests from imitating the host's telemetry."""

_MAX_HANDLE_LENGTH = 32
_MAX_VALUE = 1e15
"""Sums of larger values soon lose precision or overflow."""
_MAX_COUNTERS = 256
_counters: set[str] = set()
"""The names of the counters in this process. The SDK keeps a sum for each of them until the process ends."""


def _counting_refusals(signal: Signal) -> Callable[[_Method[_P]], _Method[_P]]:
    """Count refused telemetry, and do not raise errors of the method into the guest."""

    def wrap(method: _Method[_P]) -> _Method[_P]:
        @wraps(method)
        def call(self: GuestTelemetry, /, *args: _P.args, **kwargs: _P.kwargs) -> int:
            try:
                answer = (
                    method(self, *args, **kwargs) if _internals.is_instrumentation_enabled() else Refusal.OFF
                )
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report(f"guest.{signal}", error)
                answer = Refusal.OFF
            return self.refuse(signal, Refusal(answer)) if answer < 0 else int(answer)

        return call

    return wrap


class GuestTelemetry:
    """Receives spans, log records and counts of guests, for the execution that runs on this thread.

    No method raises. The methods return the result for the guest: 0 or more if the telemetry was accepted, otherwise
    a `Refusal`, which is counted. Texts are UTF-8; invalid bytes are replaced.
    """

    def __init__(self, recorder: Recorder, runtime: str, limits: GuestLimits | None = None) -> None:
        """Create the receiver for a runtime.

        Args:
            recorder: the recorder of the runtime's instrumentation.
            runtime: the runtime's name.
            limits: the limits for each execution.
        """
        self.limits = limits or GuestLimits()
        self._recorder = recorder
        self._runtime = runtime

    @_counting_refusals("span")
    def start_span(self, name: bytes | str, handle: str | None = None) -> int:
        """Start a span with the name ``guest <name>``, as a child of the innermost open span.

        Args:
            name: the name.
            handle: the guest's own id for the span; by default, the returned number.

        Returns:
            The span's number, starting from 1. It is valid only in this execution.
        """
        execution = self._execution()
        if execution is None:
            return Refusal.OFF
        open_spans = _open_spans(execution)
        if open_spans.spans >= self.limits.spans or len(open_spans.open) >= self.limits.open_spans:
            return Refusal.LIMIT
        text = text_of(name, self.limits.name)
        if not text or handle in open_spans.open or len(handle or "") > _MAX_HANDLE_LENGTH:
            return Refusal.INVALID
        attributes = {_mapping.RUNTIME: self._runtime}
        parent = open_spans.inside(execution.context)
        span = self._recorder.start_span(SPAN_PREFIX + text, parent, attributes)
        return open_spans.add(span, handle)

    @_counting_refusals("span")
    def end_span(
        self, handle: Handle | None = None, *, name: str | None = None, error: str | None = None
    ) -> int:
        """End an open span.

        Args:
            handle: the span's handle; by default, the innermost open span.
            name: a new name for the span.
            error: the status description, if the span's operation has failed.
        """
        execution = self._execution()
        if execution is None:
            return Refusal.OFF
        open_spans = _open_spans(execution)
        which = open_spans.innermost() if handle is None else handle
        if which not in open_spans.open:
            return Refusal.INVALID
        if name:
            open_spans.open[which].update_name(SPAN_PREFIX + text_of(name, self.limits.name))
        if error is not None:
            open_spans.open[which].set_status(Status(StatusCode.ERROR, text_of(error, self.limits.value)))
        open_spans.end(which)
        return 0

    def span_context(self) -> SpanContext:
        """Return the context of the innermost open span, else of the execution, else an invalid span context."""
        execution = self._execution()
        if execution is None or not _internals.is_instrumentation_enabled():
            return INVALID_SPAN_CONTEXT
        return get_current_span(_open_spans(execution).inside(execution.context)).get_span_context()

    @_counting_refusals("attribute")
    def set_attribute(self, key: bytes | str, value: bytes | str, handle: Handle | None = None) -> int:
        """Set the attribute ``guest.<key>`` of an open span, or of the execution.

        Args:
            key: a letter, then letters, digits, ``_``, ``.`` or ``-``; at most 63 characters.
            value: the value.
            handle: the span's handle, 0 for the execution; by default, the innermost open span, else the execution.
        """
        execution = self._execution()
        if execution is None:
            return Refusal.OFF
        open_spans = _open_spans(execution)
        which, name = open_spans.innermost() if handle is None else handle, name_of(key)
        if (which != 0 and which not in open_spans.open) or not name:
            return Refusal.INVALID
        keys = open_spans.keys[which]
        if name not in keys and len(keys) >= self.limits.attributes:
            return Refusal.LIMIT
        keys.add(name)
        given = {ATTRIBUTE_PREFIX + name: text_of(value, self.limits.value)}
        (execution if which == 0 else open_spans.open[which]).set_attributes(given)
        return 0

    @_counting_refusals("log")
    def log(self, severity: int, body: bytes | str) -> int:
        """Emit a log record in the innermost open span.

        Args:
            severity: OpenTelemetry's severity number, 1 to 24.
            body: the text.
        """
        execution = self._execution()
        if execution is None:
            return Refusal.OFF
        if not 1 <= severity <= 24:
            return Refusal.INVALID
        open_spans = _open_spans(execution)
        if open_spans.logs >= self.limits.logs:
            return Refusal.LIMIT
        open_spans.logs += 1
        attributes = {_mapping.RUNTIME: self._runtime, **execution.site.attributes}
        text, level = text_of(body, self.limits.body), severity_of(severity)
        token = context.attach(open_spans.inside(execution.context))
        try:
            self._recorder.log(LOG_EVENT, text, severity=level, attributes=attributes)
        finally:
            context.detach(token)
        return 0

    @_counting_refusals("count")
    def count(self, name: bytes | str, value: float) -> int:
        """Add to a counter that all guests of this process share.

        Args:
            name: the value of ``sandbox.guest.counter``: a letter, then letters, digits, ``_``, ``.`` or ``-``; at
                most 63 characters.
            value: 0 or more.
        """
        counter = name_of(name)
        if not counter or not (math.isfinite(value) and 0 <= value <= _MAX_VALUE):
            return Refusal.INVALID
        if counter not in _counters and len(_counters) >= _MAX_COUNTERS:
            return Refusal.LIMIT
        _counters.add(counter)
        self._write(GUEST_COUNT, value, {_mapping.RUNTIME: self._runtime, COUNTER: counter})
        return 0

    def refuse(self, signal: Signal, reason: Refusal) -> int:
        """Count refused telemetry.

        Args:
            signal: the kind of telemetry.
            reason: why it was refused.

        Returns:
            The result for the guest.
        """
        attributes = {_mapping.RUNTIME: self._runtime, SIGNAL: signal, REASON: reason.name.lower()}
        try:
            self._write(GUEST_REFUSED, 1, attributes)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("guest.refuse", error)
        return int(reason)

    def _execution(self) -> Execution | None:
        """Return the current execution if it belongs to this runtime: guests must not write to other executions."""
        execution = current_execution()
        return execution if execution is not None and execution.site.runtime == self._runtime else None

    def _write(self, metric: Metric, value: float, attributes: dict[str, str]) -> None:
        self._recorder.measure(metric, value, attributes)


def _open_spans(execution: Execution) -> OpenSpans:
    callbacks = execution.details.on_end if execution.details is not None else ()
    found = next((callback for callback in callbacks if isinstance(callback, OpenSpans)), None)
    if found is None:
        found = OpenSpans()
        execution.on_end(found)
    return found
