"""The outermost call of a module in a thread is an execution.

Torch's own ``Module.__call__`` stays. It asks each module whether it has a compiled version, and calls that instead:
for the outermost module of a thread, the answer is a function that records the call.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import MethodType
from typing import Any, NamedTuple, TypeAlias

from sandscope.instrumentation import Recorder, Value
from sandscope_instrumentation_torch._calls._around import Around, Function, Measure, around
from sandscope_instrumentation_torch._calls._ends import Ends
from sandscope_instrumentation_torch._calls._followed import follow
from sandscope_instrumentation_torch._calls._native_call import compiled_attribute, compiled_call
from sandscope_instrumentation_torch._calls._outer import describe_outer
from sandscope_instrumentation_torch._calls._submodules import Submodules
from sandscope_instrumentation_torch._dynamo import compiler_getter, skip_frames, uncompiled
from sandscope_instrumentation_torch._measures._call_memory import CallMemory
from sandscope_instrumentation_torch._measures._device_time import DeviceTimes
from sandscope_instrumentation_torch._measures._memory import LONG_CALL
from sandscope_instrumentation_torch._measures._operators import operator_timer
from sandscope_instrumentation_torch._models import Found
from sandscope_instrumentation_torch._settings import TorchSettings
from sandscope_instrumentation_torch._sites import site_finder
from sandscope_instrumentation_torch._training._training import Training

COMPILED = "_compiled_call_impl"
"""The attribute of `Module` that torch's call reads: None by default, and set on modules by ``Module.compile``."""


Record: TypeAlias = (
    "Callable[[Any, Callable[..., Any], tuple[Any, ...], dict[str, Any], dict[str, Value]], Any]"
)


class ThreadState(threading.local):
    """The state of a thread. A forked child keeps that of its own thread only.

    Attributes:
        inside: whether the thread is inside an execution.
        progress: of the generation whose tokens the thread computes, or None.
        watched: the submodules of the model that it is in whose calls are spans, or None.
    """

    inside = False
    progress: Any = None
    watched: Any = None


class Calls(NamedTuple):
    """What records calls.

    Attributes:
        attribute: returns what replaces ``torch.nn.Module._compiled_call_impl``.
        record: calls a function for a model, with the given arguments, as an execution with additional attributes,
            and returns its result.
    """

    attribute: Callable[[Any], Any]
    record: Record


def record_calls(
    torch: Any, recorder: Recorder, state: ThreadState, training: Training, options: TorchSettings
) -> Calls:
    """Return what records the calls of models.

    Args:
        torch: the package.
        recorder: gets an execution for each outermost call.
        state: the calls inside an execution are not executions.
        training: is notified of the calls that train.
        options: what is measured of each call.
    """
    measures: list[Measure] = []
    if options.peak_memory:
        measures.append(CallMemory(torch, recorder))
    if options.device_time:
        measures.append(DeviceTimes(torch, recorder))
    wrappers, timer = [around(torch, each) for each in measures], operator_timer(torch, options.operators)
    arounds = [*wrappers, timer] if timer else wrappers
    watched = Submodules(torch, recorder, state, options.submodules) if options.submodules else None
    if watched is not None:
        arounds = [*arounds, around(torch, watched)]
    ends = Ends(training)
    sites = site_finder(torch, training.forward)
    call, record = _recording_call(torch, recorder, state, (sites.find, ends), (arounds, wrappers))
    if watched is not None:
        attribute = _watching(torch, state, call, watched)
    else:
        fast = None if arounds else compiled_call(torch, recorder, state, (sites.known, ends), call)
        attribute = compiled_attribute(torch, COMPILED, state, fast or call) or _attribute(torch, state, call)
    return Calls(lambda _default: attribute, record)


def _attribute(torch: Any, state: ThreadState, call: Function) -> Any:
    """Return the attribute that torch's own call reads."""
    # The cheapest check that torch.compile and torch.export evaluate while they trace; they trace nothing after it.
    is_compiled = torch.compiler.is_dynamo_compiling
    frame_of, torchs_call = sys._getframe, torch.nn.Module._wrapped_call_impl.__code__

    class CompiledCall:
        """An attribute as torch's own, except for ``Module.__call__``, and there only for outermost calls."""

        __slots__ = ()

        def __get__(self, module: Any, owner: Any = None) -> Any:
            if is_compiled() or module is None or state.inside or frame_of(1).f_code is not torchs_call:
                return None if module is None else module.__dict__.get(COMPILED)
            return MethodType(call, module)

        def __set__(self, module: Any, value: Any) -> None:
            module.__dict__[COMPILED] = value

        def __delete__(self, module: Any) -> None:
            try:
                del module.__dict__[COMPILED]
            except KeyError:
                raise AttributeError(COMPILED) from None

    skip_frames(torch, *(vars(CompiledCall)[name] for name in ("__get__", "__set__", "__delete__")))
    return CompiledCall()


def _watching(torch: Any, state: ThreadState, call: Function, submodules: Submodules) -> Any:
    """Return the same attribute, which answers with a recording call for submodules that are asked for, too."""
    is_compiled, compiler = torch.compiler.is_dynamo_compiling, compiler_getter(torch)
    frame_of, torchs_call = sys._getframe, torch.nn.Module._wrapped_call_impl.__code__

    def inner(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        own = self.__dict__.get(COMPILED)
        function = self._call_impl if own is None else own
        path = submodules.path_of(self) if compiler() is None else None
        if path is None:
            return function(*args, **kwargs)
        return submodules.call(self, path, function, args, kwargs)

    class Watched(type(_attribute(torch, state, call))):  # type: ignore[misc] # a class that is made
        __slots__ = ()

        def __get__(self, module: Any, owner: Any = None) -> Any:
            if is_compiled() or module is None or frame_of(1).f_code is not torchs_call:
                return None if module is None else module.__dict__.get(COMPILED)
            if not state.inside:
                return MethodType(call, module)
            if submodules.path_of(module) is None:
                return module.__dict__.get(COMPILED)
            return MethodType(inner, module)

    skip_frames(torch, inner, Watched.__get__)
    return Watched()


def _recording_call(
    torch: Any,
    recorder: Recorder,
    state: ThreadState,
    found_and_ended: tuple[Callable[[Any, tuple[Any, ...], dict[str, Any]], Found | None], Ends],
    arounds_of: tuple[list[Around], list[Around]],
) -> tuple[Function, Record]:
    (find, ends), (arounds, compilable) = found_and_ended, arounds_of
    begin, outside_of_compilers, now = recorder.begin, uncompiled(torch), time.perf_counter_ns
    failed, before_end = ends.failed, ends.before_end
    # None unless the call is made by a function that torch.compile has compiled in part.
    compiler = compiler_getter(torch)

    def partly_compiled(
        module: Any,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        more: dict[str, Value] = {},  # noqa: B006 -- it is not changed
    ) -> Any:
        found = outside_of_compilers(find, module, args, kwargs)
        if found is None:
            return function(*args, **kwargs)
        if not found[0].current:
            return follow(found, begin, function(*args, **kwargs), state, before_end)
        outside_of_compilers(describe_outer, found[0])
        execution, began = outside_of_compilers(begin, found[0]), now()
        if execution is None:
            return function(*args, **kwargs)
        outside_of_compilers(execution.set_attributes, {**(found[1] or {}), **more})
        for wrap in compilable:
            function = wrap(module, execution, function)
        state.inside = True
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            state.inside = False
            outside_of_compilers(failed, execution, error)
            raise
        state.inside = False
        if now() - began >= LONG_CALL:
            outside_of_compilers(before_end, execution)
        outside_of_compilers(execution.finish)
        return result

    # The same in the order of speed: this runs for each outermost call.
    def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        own = self.__dict__.get(COMPILED)
        function = self._call_impl if own is None else own
        if compiler() is not None:
            return partly_compiled(self, function, args, kwargs)
        found = find(self, args, kwargs)
        if found is None:
            return function(*args, **kwargs)
        site, attributes = found
        if not site.current:
            return follow(found, begin, function(*args, **kwargs), state, before_end)
        describe_outer(site)
        execution, began = begin(site), now()
        if execution is None:
            return function(*args, **kwargs)
        if attributes is not None:
            execution.set_attributes(attributes)
        for wrap in arounds:
            function = wrap(self, execution, function)
        state.inside = True
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            state.inside = False
            failed(execution, error)
            raise
        state.inside = False
        if now() - began >= LONG_CALL:
            before_end(execution)
        execution.finish()
        return result

    skip_frames(torch, call, partly_compiled)
    return call, partly_compiled
