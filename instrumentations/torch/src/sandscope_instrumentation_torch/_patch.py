"""The wrappers: plain functions, because torch.compile and torch.jit look through nothing else."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from threading import get_ident
from types import MethodType
from typing import Any

from sandscope.instrumentation import Recorder
from sandscope_instrumentation_torch._forward import known_implementation
from sandscope_instrumentation_torch._sites import load_site, site_finder
from sandscope_instrumentation_torch._source import load_attributes

_Function = Callable[..., Any]

# Threads in which a call, or a load, runs: only the outermost is an execution. A set is read and written in a
# fraction of the time that a thread's local or a context variable takes; neither is suspended halfway.
_calling: set[int] = set()
# One for the three functions: torch.load calls torch.jit.load, and torch.export.load calls torch.load.
_loading: set[int] = set()


def _forget_other_threads() -> None:
    for threads in (_calling, _loading):
        threads.intersection_update({get_ident()})


# They are not there, and their numbers are used again.
os.register_at_fork(after_in_child=_forget_other_threads)


def wrap_call(torch: Any, recorder: Recorder) -> Callable[[_Function], _Function]:
    """Return what wraps ``torch.nn.Module.__call__``."""
    find, begin, calling = site_finder(torch), recorder.begin, _calling
    # The cheapest check that torch.compile and torch.export know; they trace nothing of what follows it.
    is_compiled, is_traced = torch.compiler.is_dynamo_compiling, torch._C._is_tracing
    shared = torch.nn.modules.module

    def make(original: _Function) -> _Function:
        impl = known_implementation(torch, original)

        @functools.wraps(original)
        def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            if is_compiled() or is_traced():
                return original(self, *args, **kwargs)
            try:
                # Torch's own would do nothing but call the forward: two frames less.
                only_forward = (
                    not kwargs
                    and len(args) == 1
                    and self._compiled_call_impl is None
                    and type(own := self._call_impl) is MethodType
                    and own.__func__ is impl
                    and not (
                        self._forward_hooks
                        or self._forward_pre_hooks
                        or self._backward_hooks
                        or self._backward_pre_hooks
                        or shared._global_forward_hooks
                        or shared._global_forward_pre_hooks
                        or shared._global_backward_hooks
                        or shared._global_backward_pre_hooks
                    )
                )
            except AttributeError:  # A module that is not set up yet: torch's own says so.
                only_forward = False
            thread = get_ident()
            if thread in calling:
                return self.forward(args[0]) if only_forward else original(self, *args, **kwargs)
            found = find(self, args, kwargs)
            if found is None or (execution := begin(found[0])) is None:
                return original(self, *args, **kwargs)
            if found[1] is not None:
                execution.set_attributes(found[1])
            try:
                calling.add(thread)
                result = self.forward(args[0]) if only_forward else original(self, *args, **kwargs)
            except BaseException as error:
                execution.fail(error)
                raise
            finally:
                calling.discard(thread)
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
            if is_compiling() or (thread := get_ident()) in _loading:
                return original(*args, **kwargs)
            attributes = load_attributes(torch, api, args, kwargs)
            execution = begin(site)
            if execution is None:
                return original(*args, **kwargs)
            execution.set_attributes(attributes)
            try:
                _loading.add(thread)
                result = original(*args, **kwargs)
            except BaseException as error:
                execution.fail(error)
                raise
            finally:
                _loading.discard(thread)
            execution.finish()
            return result

        return load

    return make
