"""Compiled code for a runtime that asks its objects for an attribute on each call, and for the calls of its models."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any


def native_attribute(name: str, code: CodeType, state: Any, call: Any) -> Any:
    """Return a data descriptor that answers one caller with a method, or None if there is no compiled code.

    It is what this class does, compiled::

        class Attribute:
            def __get__(self, instance, owner=None):
                if instance is not None and not state.inside and sys._getframe(1).f_code is code:
                    return MethodType(call, instance)
                return None if instance is None else vars(instance).get(name)

            def __set__(self, instance, value):
                vars(instance)[name] = value

    Args:
        name: the attribute's name. A value of an instance is in its ``__dict__``; without one, it is None.
        code: of the only function that is answered with the method.
        state: an object whose attribute ``inside`` is whether it is not; that of a thread, for example.
        call: the function of the method.
    """
    from sandscope._deferred._compiled import Attribute

    return None if Attribute is None else Attribute(name, code, state, call)


def native_model_call(
    recorder: Any,
    call: Callable[..., Any],
    *,
    state: Any,
    models: dict[int, Any],
    tensor: type,
    idle: tuple[tuple[Callable[[], Any], Any], ...],
    is_overridden: Callable[[Any], Any],
    failed: Callable[[Any, BaseException], None],
    before_end: Callable[[Any], None],
    lasting: int,
) -> Callable[..., Any] | None:
    """Return what does the same as a function that records calls of models, or None if there is no compiled code.

    It records a call by itself if this is as most are: outside of other executions, of a known model, whose class's
    call is used, with weights on the CPU that are not trained, and a batch of a known shape. All other calls are the
    function's.

    Args:
        recorder: gets the executions.
        call: the function. Its first argument is the model, its second one the batch.
        state: an object whose attribute ``inside`` is whether the thread is inside a call.
        models: the known models by their ``id()``: `Model` of the instrumentation of torch.
        tensor: the class of batches.
        idle: functions, and the very objects that they return unless torch traces, compiles or computes gradients.
        is_overridden: returns whether what is read from a tensor would run code of the program.
        failed: ends the execution of a call that raised; called with both.
        before_end: called with the execution of a call that returned, if it was a long one.
        lasting: how many nanoseconds a long call takes at least.
    """
    from sandscope._deferred._compiled import HotPath, ModelCall

    if ModelCall is None or not isinstance(recorder, HotPath):
        return None
    made: Callable[..., Any] = ModelCall(
        recorder, state, models, tensor, idle, is_overridden, call, failed, before_end, lasting
    )
    return made
