"""The hot path: what runs on the calling thread for each execution.

`native/` contains compiled versions of the same two classes; `_compiled` selects one of them. Both pass the same tests.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from time import perf_counter_ns
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from sandscope._deferred import _clock
from sandscope._details import Details
from sandscope._execution import Execution, Logs, Site
from sandscope._internals import SPAN_KEY
from sandscope._locks import new_lock
from sandscope._recording._recorder import (
    Begin,
    is_measured,
    recording,
    shared_details_of,
    with_details,
)
from sandscope._verdict import OK, Verdict

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether this Python has no global interpreter lock."""

_END_OF_TIME = 1 << 63
"""Nanoseconds since the epoch; in the year 2262."""

_new = object.__new__
_set_item = dict.__setitem__

_lock = new_lock()


class HotPathRecorder(Logs, Protocol):
    """The part of a recorder that its records use."""

    def take(self, execution: Any) -> None:
        """Queue an ended record."""

    def check_context(self, context: Context) -> Begin | None:
        """See `HotPath.check_context`."""

    def identify(self, execution: Any) -> SpanContext:
        """Return a new span context for a record."""

    slots: Any

    @property
    def aggregator(self) -> Any:
        """The aggregator of the recorder."""

    @property
    def encoder(self) -> Any:
        """The encoder of the recorder."""

    @property
    def resource(self) -> Resource:
        """The resource of the telemetry."""

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        """The instrumentation scope of the telemetry."""


class Record(Execution):
    """The data that the calling thread records; all telemetry is derived from it later.

    Attributes:
        recorder: the recorder; a class attribute, as each recorder has its own subclass.
        parent_context: the context in which the execution began.
        started: `perf_counter_ns` at the start.
        ended: `perf_counter_ns` at the end; unset while the execution runs.
        identity: the span context; None until it is needed.
        token: restores the parent context.
        box: the `Slots` that have a slot of this record; unset or None if there is none. In Python only.
        slot: where it begins.
    """

    __slots__ = (
        "__weakref__",
        "box",
        "details",
        "ended",
        "identity",
        "parent_context",
        "site",
        "slot",
        "started",
        "token",
        "verdict",
    )

    recorder: HotPathRecorder
    parent_context: Context
    started: int
    ended: int
    identity: SpanContext | None
    token: Any
    details: Details | None
    box: Any
    slot: int

    def adopt(self, identity: SpanContext) -> SpanContext:
        """Set the span context unless there is one, and return the span context."""
        with _lock:
            if self.identity is None:
                self.identity = identity
                if getattr(self, "box", None) is not None:
                    self.box.identify(self)
            return self.identity

    def finish(self, verdict: Verdict = OK, *, end_time: int | None = None) -> None:
        """See `Execution.finish`."""
        ended = perf_counter_ns()
        if end_time is not None and 0 <= end_time < _END_OF_TIME:
            ended = max(self.started, end_time - _clock.offset)
        if FREE_THREADED:
            with _lock:
                if self.verdict is not None:
                    return
                self.ended, self.verdict = ended, verdict
            self.recorder.take(self)
        # No function call between check and assignment, so that no other thread or signal handler can run there.
        elif self.verdict is None:
            self.ended = ended
            self.verdict = verdict
            self.recorder.take(self)


class HotPath:
    """Begins and queues records. A recorder subclasses it and implements the methods for exceptional cases.

    Attributes:
        checked: the last context for which `check_context` returned None. Contexts are immutable.
        slots: the `Slots` of this process's black box, or None.
    """

    def __init__(
        self,
        record: type[Record],
        variable: ContextVar[Context],
        starts: Mapping[Site, Callable[[], object]],
        queue: deque[Any],
        high_water: int,
    ) -> None:
        """Create the hot path.

        Args:
            record: the class of the recorder's records.
            variable: the context variable of OpenTelemetry's current context.
            starts: maps a site to the function that counts a started execution.
            queue: receives ended records.
            high_water: the length of the queue above which `apply_backpressure` is called.
        """
        self.checked: Context | None = None
        self.slots: Any = None
        self._record = record
        self._get, self._set, self._reset = variable.get, variable.set, variable.reset
        self._starts = starts
        self._queue, self._high_water = queue, high_water

    def begin(self, site: Site) -> Execution | None:
        """See `Recorder.begin`."""
        context = self._get()
        if context is not self.checked:
            begin = self.check_context(context)
            if begin is not None:
                return begin(site)
        execution = _new(self._record)
        execution.site = site
        execution.parent_context = context
        execution.verdict = execution.details = execution.identity = None
        self._starts[site]()
        if site.current:
            inside = Context(context)
            _set_item(inside, SPAN_KEY, execution)
            execution.token = self._set(inside)
        else:
            execution.token = None
        execution.started = perf_counter_ns()
        if self.slots is not None:
            self.slots.begin(execution)
        return execution

    def wrap_method(  # noqa: PLR0915 -- each call in it costs
        self,
        method: Callable[..., Any],
        attribute: str,
        default: Site,
        shared: str | None = None,
        *,
        measured: Callable[..., Any] | None = None,
        measures_all: bool = False,
    ) -> Callable[..., Any]:
        """See `Recorder.wrap_method`. `begin` and `finish` are inlined here for speed."""
        queue, high_water, record = self._queue, self._high_water, self._record
        get, put, reset, append = self._get, self._set, self._reset, queue.append
        start = self._starts[default]  # all sites of a method have the same runtime and operation

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: PLR0912 -- see above
            try:
                site = getattr(args[0], attribute, default)
            except IndexError:  # called without an instance: the method raises the error
                site = default
            details = shared_details_of(args, kwargs, shared)
            if measured is not None and details is not None and is_measured(details, always=measures_all):
                return measured(*args, **kwargs)
            context = get()
            if context is not self.checked:
                begin = self.check_context(context)
                if begin is not None:
                    begin = begin if details is None else with_details(begin, details)
                    return recording(begin, site, method, *args, **kwargs)
            execution = _new(record)
            execution.site = site
            execution.parent_context = context
            execution.details = details
            execution.verdict = execution.identity = None
            start()
            token = None
            if site.current:
                if context:
                    inside = Context(context)
                    _set_item(inside, SPAN_KEY, execution)
                else:
                    inside = Context({SPAN_KEY: execution})
                token = put(inside)
            execution.started = perf_counter_ns()
            slots = self.slots
            if slots is not None:
                slots.begin(execution)
            try:
                result = method(*args, **kwargs) if kwargs else method(*args)
            except BaseException as error:
                execution.token = token
                execution.fail(error)
                raise
            execution.ended = perf_counter_ns()
            execution.verdict = OK
            if token is not None:
                try:
                    reset(token)
                except ValueError as error:
                    self.on_context_mismatch(error)
            if slots is not None and getattr(execution, "box", None) is not None:
                execution.box.end(execution)
            append(execution)
            if len(queue) > high_water:
                self.apply_backpressure()
            return result

        return call

    def take(self, execution: Record) -> None:
        """Queue an ended record."""
        token = execution.token
        if token is not None:
            execution.token = None
            try:
                self._reset(token)
            except ValueError as error:
                self.on_context_mismatch(error)
        if getattr(execution, "box", None) is not None:
            execution.box.end(execution)
        self._queue.append(execution)
        if len(self._queue) > self._high_water:
            self.apply_backpressure()

    def check_context(self, context: Context) -> Begin | None:
        """Return the function that begins executions in this context, or None to use the hot path.

        If it returns None, it may set `checked`.
        """
        raise NotImplementedError

    def on_context_mismatch(self, error: ValueError) -> None:
        """Report an execution that ended in a different context than it began in."""
        raise NotImplementedError

    def apply_backpressure(self) -> None:
        """Shorten the queue."""
        raise NotImplementedError
