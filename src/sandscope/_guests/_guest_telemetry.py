"""What a guest may emit through its host: bounded, and always in the trace of its own execution.

A runtime's instrumentation translates its guests' calls into these; nothing that a guest sends is trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Literal, ParamSpec, TypeAlias

from opentelemetry import context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, Status, StatusCode, get_current_span

from sandscope import _guard
from sandscope._execution import Execution, current_execution
from sandscope._guests._guest_rules import GuestLimits, Refusal, name_of, severity_of, text_of
from sandscope._guests._open_spans import Handle, OpenSpans
from sandscope._metric import GUEST_COUNT, GUEST_REFUSED, Metric
from sandscope._recording import _mapping
from sandscope._recording._recorder import Recorder

Signal = Literal["span", "attribute", "log", "count"]
_P = ParamSpec("_P")
_Taking: TypeAlias = "Callable[Concatenate[GuestTelemetry, _P], int]"

COUNTER = "sandbox.guest.counter"
SIGNAL = "sandbox.guest.signal"
REASON = "sandbox.guest.reason"
LOG_EVENT = "sandbox.guest.log"
SPAN_PREFIX = "guest "
ATTRIBUTE_PREFIX = "guest."
"""With these, no guest can pass off its own as the host's."""

_LONGEST_HANDLE = 32
_LARGEST = 1e15
"""Sums of larger values would soon be neither exact nor finite."""
_MOST_COUNTERS = 256
_counters: set[str] = set()
"""The names of the process's counters so far; the SDK keeps a sum of each as long as the process lives."""


def _taking(signal: Signal) -> Callable[[_Taking[_P]], _Taking[_P]]:
    """Count what a method refuses, and keep its errors from the guest."""

    def wrap(method: _Taking[_P]) -> _Taking[_P]:
        @wraps(method)
        def take(self: GuestTelemetry, /, *args: _P.args, **kwargs: _P.kwargs) -> int:
            try:
                answer = method(self, *args, **kwargs) if is_instrumentation_enabled() else Refusal.OFF
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report(f"guest.{signal}", error)
                answer = Refusal.OFF
            return self.refuse(signal, Refusal(answer)) if answer < 0 else int(answer)

        return take

    return wrap


class GuestTelemetry:
    """Takes spans, log records and counts from guests, for the execution that runs on this thread.

    Methods never raise. They return what the guest is to be told: 0 or more if it was taken, else a `Refusal`,
    which is counted. Texts are UTF-8; what is not is replaced.
    """

    def __init__(self, recorder: Recorder, runtime: str, limits: GuestLimits | None = None) -> None:
        """Prepare.

        Args:
            recorder: of the runtime's instrumentation.
            runtime: its name.
            limits: how much one execution may emit.
        """
        self.limits = limits or GuestLimits()
        self._recorder = recorder
        self._runtime = runtime

    @_taking("span")
    def start_span(self, name: bytes | str, handle: str | None = None) -> int:
        """Start a span, inside the open one that was started last; its name is ``guest <name>``.

        Args:
            name: a text.
            handle: the guest's own id for it; by default, it gets a number.

        Returns:
            The number: from 1 on, and of no meaning to any other execution.
        """
        execution = self._execution()
        if execution is None:
            return Refusal.OFF
        open_spans = _open_spans(execution)
        if open_spans.spans >= self.limits.spans or len(open_spans.open) >= self.limits.open_spans:
            return Refusal.LIMIT
        text = text_of(name, self.limits.name)
        if not text or handle in open_spans.open or len(handle or "") > _LONGEST_HANDLE:
            return Refusal.INVALID
        attributes = {_mapping.RUNTIME: self._runtime}
        parent = open_spans.inside(execution.context)
        span = self._recorder.start_span(SPAN_PREFIX + text, parent, attributes)
        return open_spans.add(span, handle)

    @_taking("span")
    def end_span(
        self, handle: Handle | None = None, *, name: str | None = None, error: str | None = None
    ) -> int:
        """End an open span.

        Args:
            handle: which; by default, the one that was started last.
            name: a name that it gets only now.
            error: what has failed in it, if something has.
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
        """Return the ids of the open span that was started last, else of the execution, else no valid ones."""
        execution = self._execution()
        if execution is None or not is_instrumentation_enabled():
            return INVALID_SPAN_CONTEXT
        return get_current_span(_open_spans(execution).inside(execution.context)).get_span_context()

    @_taking("attribute")
    def set_attribute(self, key: bytes | str, value: bytes | str, handle: Handle | None = None) -> int:
        """Set an attribute of an open span; its name is ``guest.<key>``.

        Args:
            key: a letter, then letters, digits, ``_``, ``.`` or ``-``; at most 63.
            value: a text.
            handle: of the span; by default, of the one that was started last.
        """
        execution = self._execution()
        if execution is None:
            return Refusal.OFF
        open_spans = _open_spans(execution)
        which, name = open_spans.innermost() if handle is None else handle, name_of(key)
        if which not in open_spans.open or not name:
            return Refusal.INVALID
        keys = open_spans.keys[which]
        if name not in keys and len(keys) >= self.limits.attributes:
            return Refusal.LIMIT
        keys.add(name)
        open_spans.open[which].set_attribute(ATTRIBUTE_PREFIX + name, text_of(value, self.limits.value))
        return 0

    @_taking("log")
    def log(self, severity: int, body: bytes | str) -> int:
        """Emit a log record, in the open span that was started last.

        Args:
            severity: OpenTelemetry's number, 1 to 24.
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

    @_taking("count")
    def count(self, name: bytes | str, value: float) -> int:
        """Add to a counter, one for all guests of this process: a value of ``sandbox.guest.counter``.

        Args:
            name: a letter, then letters, digits, ``_``, ``.`` or ``-``; at most 63.
            value: 0 or more.
        """
        counter = name_of(name)
        if not counter or not (math.isfinite(value) and 0 <= value <= _LARGEST):
            return Refusal.INVALID
        if counter not in _counters and len(_counters) >= _MOST_COUNTERS:
            return Refusal.LIMIT
        _counters.add(counter)
        self._write(GUEST_COUNT, value, {_mapping.RUNTIME: self._runtime, COUNTER: counter})
        return 0

    def refuse(self, signal: Signal, reason: Refusal) -> int:
        """Count something that is not taken.

        Args:
            signal: what it was.
            reason: why not.

        Returns:
            What the guest is to be told.
        """
        attributes = {_mapping.RUNTIME: self._runtime, SIGNAL: signal, REASON: reason.name.lower()}
        try:
            self._write(GUEST_REFUSED, 1, attributes)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("guest.refuse", error)
        return int(reason)

    def _execution(self) -> Execution | None:
        """Return what runs here; a guest that has no span of its own is not to speak for another runtime's."""
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
