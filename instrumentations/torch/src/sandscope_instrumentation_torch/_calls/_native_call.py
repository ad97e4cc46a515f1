"""The most frequent calls of models, recorded by compiled code."""

from __future__ import annotations

import functools
from typing import Any

from sandscope.instrumentation import Recorder, native_attribute, native_model_call
from sandscope_instrumentation_torch._calls._around import Function
from sandscope_instrumentation_torch._calls._ends import Ends
from sandscope_instrumentation_torch._dynamo import compiler_getter
from sandscope_instrumentation_torch._measures._memory import LONG_CALL
from sandscope_instrumentation_torch._models import Model

_TRACES_COMPILED = (2, 15)
"""The torch with which it is tested that its compiler treats a compiled attribute as any other."""


def compiled_attribute(torch: Any, name: str, state: Any, call: Function) -> Any:
    """Return the attribute that torch's call reads, in compiled code; None where there is none.

    It needs no look at whether torch's compiler traces: a torch that is new enough asks it as any other code does.
    """
    if not _is_new_enough(torch):
        return None
    return native_attribute(name, torch.nn.Module._wrapped_call_impl.__code__, state, call)


def compiled_call(
    torch: Any, recorder: Recorder, state: Any, known_and_ended: tuple[dict[int, Model], Ends], call: Function
) -> Function | None:
    """Return what does the same as a function that records calls, in compiled code; None where there is none.

    Args:
        torch: the module.
        recorder: of the executions.
        state: of the threads.
        known_and_ended: the models by their ``id()``, and what is done at the end of their calls.
        call: the function.
    """
    if not _is_new_enough(torch):
        return None
    known, ends = known_and_ended
    # What `site_finder` looks at. `partial` calls no frame of Python.
    is_compiling = functools.partial(vars(torch.compiler).__getitem__, "_is_compiling_flag")
    return native_model_call(
        recorder,
        call,
        state=state,
        models=known,
        tensor=torch.Tensor,
        idle=(
            (compiler_getter(torch), None),
            (torch._C._is_tracing, False),
            (is_compiling, False),
            (torch._C._current_graph_task_id, -1),
        ),
        is_overridden=torch.overrides.has_torch_function_unary,
        failed=ends.failed,
        before_end=ends.before_end,
        lasting=LONG_CALL,
    )


def _is_new_enough(torch: Any) -> bool:
    return tuple(int(part) for part in torch.__version__.split(".")[:2]) >= _TRACES_COMPILED
