"""The hot path: what runs on the calling thread for each execution.

`native/` holds the same two classes, compiled; `_compiled` says which are used. They pass the same tests.
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
from sandscope._execution import Details, Execution, Logs, Site
from sandscope._internals import SPAN_KEY
from sandscope._locks import new_lock
from sandscope._recording._recorder import Begin, details_shared_by, recording, sharing
from sandscope._verdict import OK, Verdict

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether threads run Python code at the same time."""

_END_OF_TIME = 1 << 63
"""Nanoseconds since 1970: in the year 2262."""

_new = object.__new__
_set_item = dict.__setitem__

_lock = new_lock()


class Owner(Logs, Protocol):
    """What a record needs of the recorder that it belongs to."""

    def take(self, execution: Any) -> None:
        """Take a record that has ended."""

    def identify(self, execution: Any) -> SpanContext:
        """Return ids and flags for a record that has none."""

    @property
    def aggregator(self) -> Any:
        """Counts records."""

    @property
    def encoder(self) -> Any:
        """Encodes records."""

    @property
    def resource(self) -> Resource:
        """Whose telemetry it is."""

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        """Which instrumentation's it is."""


class Record(Execution):
    """What the calling thread leaves behind; all else is derived from it later.

    Attributes:
        recorder: whose it is; of the class, which each recorder has made for itself.
        parent_context: the context in which it began.
        started: `perf_counter_ns` at the start.
        ended: the same at the end; unset while it runs.
        identity: its span context, once somebody has asked.
        token: what restores the parent's context.
    """

    __slots__ = (
        "__weakref__",
        "details",
        "ended",
        "identity",
        "parent_context",
        "site",
        "started",
        "token",
        "verdict",
    )

    recorder: Owner
    parent_context: Context
    started: int
    ended: int
    identity: SpanContext | None
    token: Any
    details: Details | None

    def adopt(self, identity: SpanContext) -> SpanContext:
        """Take ids and flags unless it has some, and return those that it has now."""
        with _lock:
            if self.identity is None:
                self.identity = identity
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
        # No call in between: a signal handler or another thread may end it, too.
        elif self.verdict is None:
            self.ended = ended
            self.verdict = verdict
            self.recorder.take(self)


class HotPath:
    """Begins and takes records; a recorder says what is to happen where the case is not the usual one.

    Attributes:
        checked: the context in which a call was last found to be nothing special; contexts never change.
    """

    def __init__(
        self,
        record: type[Record],
        variable: ContextVar[Context],
        starts: Mapping[Site, Callable[[], object]],
        queue: deque[Any],
        high_water: int,
    ) -> None:
        """Prepare.

        Args:
            record: the class of the recorder's records.
            variable: holds OpenTelemetry's context.
            starts: by site, what counts an execution as started.
            queue: takes ended records.
            high_water: length of the queue above which `apply_backpressure` is called.
        """
        self.checked: Context | None = None
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
        return execution

    def wrap_method(
        self, method: Callable[..., Any], attribute: str, default: Site, shared: str | None = None
    ) -> Callable[..., Any]:
        """See `Recorder.wrap_method`; `begin` and `finish` stand here once more, without their calls."""
        queue, high_water, record = self._queue, self._high_water, self._record
        get, put, reset, append = self._get, self._set, self._reset, queue.append
        start = self._starts[default]  # one method is one runtime and operation, whatever its site

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                site = getattr(args[0], attribute, default)
            except IndexError:  # no instance at all: the method itself says so
                site = default
            details = details_shared_by(args, kwargs, shared)
            context = get()
            if context is not self.checked:
                begin = self.check_context(context)
                if begin is not None:
                    begin = begin if details is None else sharing(begin, details)
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
            append(execution)
            if len(queue) > high_water:
                self.apply_backpressure()
            return result

        return call

    def take(self, execution: Record) -> None:
        """Take a record that has ended."""
        token = execution.token
        if token is not None:
            execution.token = None
            try:
                self._reset(token)
            except ValueError as error:
                self.on_context_mismatch(error)
        self._queue.append(execution)
        if len(self._queue) > self._high_water:
            self.apply_backpressure()

    def check_context(self, context: Context) -> Begin | None:
        """Return what begins executions in a context instead, or None, and remember that it is checked."""
        raise NotImplementedError

    def on_context_mismatch(self, error: ValueError) -> None:
        """Report an execution that ended in another context than it began."""
        raise NotImplementedError

    def apply_backpressure(self) -> None:
        """Shorten the queue."""
        raise NotImplementedError
