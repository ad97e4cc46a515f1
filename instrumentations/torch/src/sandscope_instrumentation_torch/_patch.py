"""The wrappers: plain functions, because torch.compile and torch.jit look through nothing else."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from sandscope import Recorder
from sandscope_instrumentation_torch._site import CallSites, load_site
from sandscope_instrumentation_torch._source import load_attributes

_Function = Callable[..., Any]

_TORCHS_NAMES = ("_compiled_call_impl", "_call_impl")
"""What torch's own ``Module.__call__`` uses: it calls the first, or the second if that is None."""


class _Inside(threading.local):
    """Holds something while this thread is inside an execution: only the outermost call is one.

    A list, because to look up an attribute of a thread's takes longer than to change what it holds.
    """

    def __init__(self) -> None:
        self.calls: list[None] = []


_calling = _Inside()
# One for the three functions: torch.load calls torch.jit.load, and torch.export.load calls torch.load.
_loading = _Inside()


def wrap_call(torch: Any, recorder: Recorder) -> Callable[[_Function], _Function]:
    """Return what wraps ``torch.nn.Module.__call__``."""
    find, begin, inside = CallSites(torch).find, recorder.begin, _calling
    # The cheapest check that torch.compile and torch.export know; they trace nothing of what follows it.
    is_traced = torch.compiler.is_dynamo_compiling

    def make(original: _Function) -> _Function:
        short = getattr(getattr(original, "__code__", None), "co_names", ()) == _TORCHS_NAMES

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if is_traced():
                return original(*args, **kwargs)
            calls = inside.calls
            if calls:
                # Most calls are of layers inside, and cheap: one frame instead of torch's, not one more.
                if short and len(args) == 2 and not kwargs and args[0]._compiled_call_impl is None:
                    return args[0]._call_impl(args[1])
                return original(*args, **kwargs)
            found = find(args, kwargs)
            execution = None if found is None else begin(found[0])
            if found is None or execution is None:
                return original(*args, **kwargs)
            if found[1] is not None:
                execution.set_attributes(found[1])
            try:
                calls.append(None)
                result = original(*args, **kwargs) if kwargs else original(*args)
            except BaseException as error:
                execution.fail(error)
                raise
            finally:
                calls.clear()
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
            if is_compiling() or (calls := _loading.calls):
                return original(*args, **kwargs)
            attributes = load_attributes(torch, api, args, kwargs)
            execution = begin(site)
            if execution is None:
                return original(*args, **kwargs)
            execution.set_attributes(attributes)
            try:
                calls.append(None)
                result = original(*args, **kwargs)
            except BaseException as error:
                execution.fail(error)
                raise
            finally:
                calls.clear()
            execution.finish()
            return result

        return load

    return make
