"""The outermost load of a thread is an execution."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import Recorder, Site
from sandscope_instrumentation_torch._call import ThreadState
from sandscope_instrumentation_torch._dynamo import skip_frames
from sandscope_instrumentation_torch._load_attributes import load_attributes, path_of
from sandscope_instrumentation_torch._messages import message_without_folders
from sandscope_instrumentation_torch._verdicts import load_verdict

_Function = Callable[..., Any]


def wrap_load(torch: Any, recorder: Recorder) -> Callable[[str], Callable[[_Function], _Function]]:
    """Return what makes, for the name of a module, a wrapper of its ``load``.

    The functions share one state: torch.load calls torch.jit.load, and torch.export.load calls torch.load.
    """
    state, is_compiling, begin = ThreadState(), torch.compiler.is_compiling, recorder.begin

    def wrapper_of(api: str) -> Callable[[_Function], _Function]:
        site = Site(
            "torch", "load", f"load {api}", attributes={"torch.load.api": api}, verdict_of=load_verdict
        )

        def record(original: _Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            execution = begin(site)
            if execution is None:
                return original(*args, **kwargs)
            execution.set_attributes(load_attributes(torch, api, args, kwargs))
            state.inside = True
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                execution.fail(error, message=message_without_folders(error, *path_of(args, kwargs)))
                raise
            finally:
                state.inside = False
            execution.finish()
            return result

        def make(original: _Function) -> _Function:
            @functools.wraps(original)
            def load(*args: Any, **kwargs: Any) -> Any:
                if is_compiling() or state.inside:
                    return original(*args, **kwargs)
                return record(original, args, kwargs)

            skip_frames(torch, load, record)
            return load

        return make

    return wrapper_of
