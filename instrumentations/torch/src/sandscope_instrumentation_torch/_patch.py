"""The wrappers: plain functions, because torch.compile and torch.jit look through nothing else."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any

from sandscope import Recorder, Site, Value
from sandscope_instrumentation_torch._site import CallSites, load_site
from sandscope_instrumentation_torch._source import load_attributes

_Function = Callable[..., Any]


class _Inside(threading.local):
    """Whether this thread is inside an execution: only the outermost call is one."""

    active = False


_calling = _Inside()
# One for the three functions: torch.load calls torch.jit.load, and torch.export.load calls torch.load.
_loading = _Inside()


def wrap_call(torch: Any, recorder: Recorder) -> Callable[[_Function], _Function]:
    """Return what wraps ``torch.nn.Module.__call__``."""
    sites, run = CallSites(torch), _runner(recorder, _calling)
    is_compiling, is_tracing = torch.compiler.is_compiling, torch._C._is_tracing
    # Activation checkpointing calls modules again while gradients are computed: not the user's calls.
    backward = torch._C._current_graph_task_id

    def make(original: _Function) -> _Function:
        @functools.wraps(original)
        def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            # is_compiling comes first: torch.compile and torch.export must trace nothing of the rest.
            if is_compiling() or _calling.active or is_tracing():
                return original(self, *args, **kwargs)
            site, attributes = (None, {}) if backward() != -1 else sites.describe(self, args, kwargs)
            if site is None:
                return original(self, *args, **kwargs)
            return run(site, attributes, original, (self, *args), kwargs)

        return call

    return make


def wrap_load(torch: Any, recorder: Recorder, api: str) -> Callable[[_Function], _Function]:
    """Return what wraps the ``load`` of ``api``."""
    site, run, is_compiling = load_site(api), _runner(recorder, _loading), torch.compiler.is_compiling

    def make(original: _Function) -> _Function:
        @functools.wraps(original)
        def load(*args: Any, **kwargs: Any) -> Any:
            if is_compiling() or _loading.active:
                return original(*args, **kwargs)
            attributes = load_attributes(torch, api, args, kwargs)
            return run(site, attributes, original, args, kwargs)

        return load

    return make


def _runner(recorder: Recorder, inside: _Inside) -> Callable[..., Any]:
    begin = recorder.begin

    def run(
        site: Site,
        attributes: Mapping[str, Value],
        original: _Function,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        execution = begin(site)
        if execution is None:
            return original(*args, **kwargs)
        execution.set_attributes(attributes)
        try:
            inside.active = True
            result = original(*args, **kwargs)
        except BaseException as error:
            execution.fail(error)
            raise
        finally:
            inside.active = False
        execution.finish()
        return result

    return run
