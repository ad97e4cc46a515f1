"""The deferred recorder: two clock readings and one append on the calling thread, all else later."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from time import perf_counter_ns
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sandscope import _guard, _internals
from sandscope._deferred._encode import Encoder
from sandscope._deferred._execution import DeferredExecution
from sandscope._deferred._metrics import Aggregator
from sandscope._deferred._pipeline import Pipeline
from sandscope._emitter import Emitter
from sandscope._execution import Execution
from sandscope._recorder import Begin, Recorder, recording, recording_nothing
from sandscope._scope import Scope
from sandscope._site import Site
from sandscope._verdict import OK

_SPAN_KEY = _internals.SPAN_KEY
_new = object.__new__
_set_item = dict.__setitem__


class DeferredRecorder(Emitter):
    """Records the executions of one instrumentation into a pipeline.

    Attributes:
        usual: the context in which a call was last found to be nothing special; contexts never change.
        instead: a recorder that takes new executions in its place, or None.
    """

    def __init__(self, scope: Scope, pipeline: Pipeline) -> None:
        super().__init__(scope, pipeline.tracer_provider, pipeline.meter_provider, pipeline.logger_provider)
        self.pipeline = pipeline
        self.usual: Context | None = None
        self.instead: Recorder | None = None
        self.instrumentation_scope = InstrumentationScope(scope.name, scope.version)
        self.encoder = Encoder(pipeline.resource, self.instrumentation_scope)
        self.aggregator = Aggregator(pipeline.meter_provider, scope, pipeline.settle)
        self.identify = pipeline.identities.make
        variable = _internals.context_variable()
        assert variable is not None  # noqa: S101 -- `Setup` has asked before
        self._get, self._set, self._reset = variable.get, variable.set, variable.reset
        pipeline.recorders.add(self)

    def begin(self, site: Site) -> Execution | None:
        """See `Recorder.begin`."""
        context = self._get()
        if context is not self.usual:
            begin = self.unusual(context)
            if begin is not None:
                return begin(site)
        execution = _new(DeferredExecution)
        execution.site = site
        execution.recorder = self
        execution.parent_context = context
        execution.verdict = execution.details = execution.identity = execution.written = None
        self.aggregator.starts[site]()
        if site.current:
            inside = Context(context)
            _set_item(inside, _SPAN_KEY, execution)
            execution.token = self._set(inside)
        else:
            execution.token = None
        execution.started = perf_counter_ns()
        return execution

    def wrap_method(self, method: Callable[..., Any], attribute: str, default: Site) -> Callable[..., Any]:
        """See `Recorder.wrap_method`; `begin` and `finish` stand here once more, without their calls."""
        queue, high_water = self.pipeline.queue, self.pipeline.high_water
        get, put, reset, append = self._get, self._set, self._reset, queue.append
        start = self.aggregator.starts[default]  # one method is one runtime and operation, whatever its site

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            site = getattr(args[0] if args else None, attribute, default)
            context = get()
            if context is not self.usual:
                begin = self.unusual(context)
                if begin is not None:
                    return recording(begin, site, method, *args, **kwargs)
            execution = _new(DeferredExecution)
            execution.site = site
            execution.recorder = self
            execution.parent_context = context
            execution.verdict = execution.details = execution.identity = execution.written = None
            start()
            token = None
            if site.current:
                if context:
                    inside = Context(context)
                    _set_item(inside, _SPAN_KEY, execution)
                else:
                    inside = Context({_SPAN_KEY: execution})
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
                    _guard.report("recorder.context", error)
            append(execution)
            if len(queue) > high_water:
                self.pipeline.help()
            return result

        return call

    def unusual(self, context: Context) -> Begin | None:
        """Return what begins executions in a context instead, or None, and remember that it is usual."""
        if self.instead is not None:
            return self.instead.begin
        if any(context.get(key) for key in _internals.SUPPRESSION_KEYS):
            return recording_nothing
        if self.pipeline.idle:
            self.pipeline.wake()
        self.usual = context
        if self.instead is not None:  # set by another thread since
            self.usual = None
        return None

    def give_way(self, instead: Recorder) -> None:
        """Let another recorder take new executions."""
        self.instead = instead
        self.usual = None

    def forget(self) -> None:
        """Start anew in a forked child."""
        self.aggregator.forget()
        self.usual = None

    def take(self, execution: DeferredExecution) -> None:
        """Take an execution that has ended."""
        token = execution.token
        if token is not None:
            execution.token = None
            try:
                self._reset(token)
            except ValueError as error:
                _guard.report("recorder.context", error)
        self.pipeline.queue.append(execution)
        if len(self.pipeline.queue) > self.pipeline.high_water:
            self.pipeline.help()
