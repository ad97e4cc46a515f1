"""The wrappers: plain functions, the only kind that torch.compile and torch.jit trace through."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any

from sandscope.instrumentation import Execution, Recorder, Site, Value
from sandscope_instrumentation_torch._load_attributes import load_attributes
from sandscope_instrumentation_torch._sites import load_site, site_finder

_Function = Callable[..., Any]
_Begin = Callable[[Site], "Execution | None"]
_Found = tuple[Site, "Mapping[str, Value] | None"]
_Run = Callable[[_Found, _Function, "tuple[Any, ...]", "dict[str, Any]"], Any]


_TORCHS_CALL = ("_compiled_call_impl", "_call_impl")
"""The names in torch's own ``Module.__call__``: it calls the first, or the second if the first is None."""


class _ThreadState(threading.local):
    """Whether this thread is inside an execution. A forked child keeps the state of its own thread only."""

    inside = False


def wrap_call(torch: Any, recorder: Recorder, *, before_import: bool) -> Callable[[_Function], _Function]:
    """Return what wraps ``torch.nn.Module.__call__``.

    Args:
        torch: the package.
        recorder: gets an execution for each outermost call.
        before_import: torch was not imported yet when it was instrumented. Then the wrapper can take the place of
            torch's own call for the layers of a model, one frame for one frame. Afterwards torch.profiler may
            already look for the frames of torch's own call.
    """
    find, state = site_finder(torch), _ThreadState()
    run = _recording(recorder.begin, state)
    # The cheapest check that torch.compile and torch.export evaluate while they trace; they trace nothing after it.
    is_compiled = torch.compiler.is_dynamo_compiling

    def make(original: _Function) -> _Function:
        names = getattr(getattr(original, "__code__", None), "co_names", ())
        in_its_place = before_import and names == _TORCHS_CALL

        # torch.profiler reads a local `self` in the frame of `Module.__call__`, and crashes where there is none.
        @functools.wraps(original)
        def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            if is_compiled():
                return original(self, *args, **kwargs)
            if state.inside:
                # One argument, as most layers take: passed by itself, it costs half of what a tuple does.
                if in_its_place and len(args) == 1 and not kwargs and self._compiled_call_impl is None:
                    return self._call_impl(args[0])
                return original(self, *args, **kwargs)
            if (found := find(self, args, kwargs)) is None:
                return original(self, *args, **kwargs)
            return run(found, original, (self, *args), kwargs)

        return call

    return make


def wrap_load(torch: Any, recorder: Recorder) -> Callable[[str], Callable[[_Function], _Function]]:
    """Return what makes, for the name of a module, a wrapper of its ``load``.

    The functions share one state: torch.load calls torch.jit.load, and torch.export.load calls torch.load.
    """
    state, is_compiling = _ThreadState(), torch.compiler.is_compiling
    run = _recording(recorder.begin, state)

    def wrapper_of(api: str) -> Callable[[_Function], _Function]:
        site = load_site(api)

        def make(original: _Function) -> _Function:
            @functools.wraps(original)
            def load(*args: Any, **kwargs: Any) -> Any:
                if is_compiling() or state.inside:
                    return original(*args, **kwargs)
                return run((site, load_attributes(torch, api, args, kwargs)), original, args, kwargs)

            return load

        return make

    return wrapper_of


def _recording(begin: _Begin, state: _ThreadState) -> _Run:
    """Return what calls a function as one execution, unless instrumentation is suppressed.

    Args:
        begin: of the recorder.
        state: only the outermost call of a thread is an execution.
    """

    def run(found: _Found, function: _Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        site, attributes = found
        execution = begin(site)
        if execution is None:
            return function(*args, **kwargs)
        if attributes is not None:
            execution.set_attributes(attributes)
        try:
            state.inside = True
            result = function(*args, **kwargs)
        except BaseException as error:
            execution.fail(error)
            raise
        finally:
            state.inside = False
        execution.finish()
        return result

    return run
