"""What is done around the call of a model, if the program asks for it: before it, and after it or its failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from sandscope.instrumentation import Execution
from sandscope_instrumentation_torch._dynamo import skip_frames, uncompiled

Function: TypeAlias = Callable[..., Any]
Around: TypeAlias = Callable[[Any, Execution, Function], Function]
"""Takes a model, the execution of its call and what calls it; returns what calls it instead."""


class Measure(Protocol):
    """Something to do around calls. The methods never raise."""

    def begin(self, module: Any) -> Any:
        """A model is about to be called. What is returned is given to `end`."""

    def end(self, execution: Execution, begun: Any) -> None:
        """The call has returned or raised."""


def around(torch: Any, measure: Measure) -> Around:
    """Return what does something around calls, out of sight of torch's compiler."""
    hidden = uncompiled(torch)

    def wrap(module: Any, execution: Execution, function: Function) -> Function:
        def call(*args: Any, **kwargs: Any) -> Any:
            begun = hidden(measure.begin, module)
            try:
                return function(*args, **kwargs)
            finally:
                hidden(measure.end, execution, begun)

        skip_frames(torch, call)
        return call

    skip_frames(torch, wrap)
    return wrap
