"""The wrappers: plain functions, because torch.compile and torch.jit look through nothing else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from sandscope import Recorder
from sandscope_instrumentation_torch._site import load_site, site_finder
from sandscope_instrumentation_torch._source import load_attributes

_Function = Callable[..., Any]

_TORCHS_NAMES = ("_compiled_call_impl", "_call_impl")
"""What torch's own ``Module.__call__`` uses: it calls the first, or the second if that is None."""

# Holds something while an execution runs: only the outermost call is one. A context variable is read in a
# fraction of the time that a thread's local takes; a list of its own, because a task that was begun inside
# keeps the variable's value when the execution has long ended.
_running: ContextVar[Sequence[None]] = ContextVar("sandscope_torch_running", default=())
# One for the three functions: torch.load calls torch.jit.load, and torch.export.load calls torch.load.
_loading: ContextVar[Sequence[None]] = ContextVar("sandscope_torch_loading", default=())


def wrap_call(torch: Any, recorder: Recorder) -> Callable[[_Function], _Function]:
    """Return what wraps ``torch.nn.Module.__call__``."""
    find, begin, inside, enter = site_finder(torch), recorder.begin, _running.get, _running.set
    # The cheapest check that torch.compile and torch.export know; they trace nothing of what follows it.
    is_traced = torch.compiler.is_dynamo_compiling

    def make(original: _Function) -> _Function:
        is_torchs = getattr(getattr(original, "__code__", None), "co_names", ()) == _TORCHS_NAMES
        # Nearly all calls have one argument: what torch's own does then, in its place, is one frame less.
        usual = 1 if is_torchs else -1

        @functools.wraps(original)
        def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            if is_traced():
                return original(self, *args, **kwargs)
            if inside():
                if len(args) == usual and not kwargs and self._compiled_call_impl is None:
                    return self._call_impl(args[0])
                return original(self, *args, **kwargs)
            found = find(self, args, kwargs)
            if found is None or (execution := begin(found[0])) is None:
                return original(self, *args, **kwargs)
            if found[1] is not None:
                execution.describe(found[1])
            running = [None]
            try:
                enter(running)
                if len(args) == usual and not kwargs and self._compiled_call_impl is None:
                    result = self._call_impl(args[0])
                else:
                    result = original(self, *args, **kwargs)
            except BaseException as error:
                execution.fail(error)
                raise
            finally:
                running.clear()
            execution.finish()
            return result

        return call

    return make


def wrap_load(torch: Any, recorder: Recorder, api: str) -> Callable[[_Function], _Function]:
    """Return what wraps the ``load`` of ``api``."""
    site, begin, is_compiling = load_site(api), recorder.begin, torch.compiler.is_compiling

    def make(original: _Function) -> _Function:
        @functools.wraps(original)
        def load(*args: Any, **kwargs: Any) -> Any:
            if is_compiling() or _loading.get():
                return original(*args, **kwargs)
            attributes = load_attributes(torch, api, args, kwargs)
            execution = begin(site)
            if execution is None:
                return original(*args, **kwargs)
            execution.describe(attributes)
            running = [None]
            try:
                _loading.set(running)
                result = original(*args, **kwargs)
            except BaseException as error:
                execution.fail(error)
                raise
            finally:
                running.clear()
            execution.finish()
            return result

        return load

    return make
