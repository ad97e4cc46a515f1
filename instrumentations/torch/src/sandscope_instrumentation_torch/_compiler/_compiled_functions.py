"""A function that is compiled by torch.compile and uses a model: its outermost call is an execution.

The compiler puts the operations of the model into the function's own code, so there is no call of the model.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from types import FunctionType, MethodType
from typing import Any

from sandscope.instrumentation import Patches, Value, report_error
from sandscope_instrumentation_torch._calls._call import Record, ThreadState
from sandscope_instrumentation_torch._dynamo import skip_frames, uncompiled
from sandscope_instrumentation_torch._models import is_model
from sandscope_instrumentation_torch._names import model_name
from sandscope_instrumentation_torch._training._training import Training

FUNCTION = "torch.compile.function"
"""The attribute of an execution for the name of the compiled function."""

MODULES = "torch.compile.modules"
"""The attribute for the names of all models that it uses, if there are several."""

_MOST_MODELS = 16
_OWN_CALLS = ("__call__", "_wrapped_call_impl", "_call_impl")
_LATER = 0x20 | 0x80 | 0x200
"""The flags of the code of a generator, a coroutine and an asynchronous generator, which run after their call."""
_RECORDED_ELSEWHERE = "generate"


class CompiledFunctions:
    """Makes the wrappers of the functions that torch.compile returns."""

    def __init__(
        self, torch: Any, patches: Patches, state: ThreadState, record: Record, training: Training
    ) -> None:
        self._torch, self._patches, self._state = torch, patches, state
        self._record, self._training, self._hidden = record, training, uncompiled(torch)

    def wrap_context(self, original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Return what replaces ``_TorchDynamoContext.__call__``, which makes a compiled function of a function."""

        @functools.wraps(original)
        def __call__(context: Any, function: Any, /) -> Any:  # noqa: N807 -- it is this method
            compiled = original(context, function)
            try:
                if type(context).__name__ == "OptimizeContext" and not context.export:
                    return self._wrapped(compiled)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error("torch.compile", error)
            return compiled

        return __call__

    def _wrapped(self, compiled: Any) -> Any:
        """Return what the program gets in place of a compiled function; of a module or a class, itself."""
        function = (
            vars(compiled).get("_torchdynamo_orig_callable") if type(compiled) is FunctionType else None
        )
        if function is None:
            return compiled
        function = _without_frame(function)
        owner = function.__self__ if isinstance(function, MethodType) else None
        if isinstance(owner, self._torch.optim.Optimizer) and function.__name__ == "step":
            wrapper = self._step(compiled, owner)
        elif not self._is_own_call(function, owner) and not _is_later(function):
            wrapper = self._call(compiled, function)
        else:
            return compiled
        skip_frames(self._torch, wrapper)
        functools.update_wrapper(wrapper, compiled)
        vars(wrapper).update(vars(compiled))
        if "_torchdynamo_wrapper_id" in vars(wrapper):  # By it, the compiler knows what it has made itself.
            vars(wrapper)["_torchdynamo_wrapper_id"] = id(wrapper)
        return wrapper

    def _is_own_call(self, function: Any, owner: Any) -> bool:
        """Return whether a function is the call of a module, or one that is recorded by itself."""
        kind = self._torch.nn.Module
        name = getattr(function, "__name__", "")
        if isinstance(function, kind) or getattr(function, "__module__", "") == kind.__module__:
            return True
        return isinstance(owner, kind) and (name in _OWN_CALLS or name == _RECORDED_ELSEWHERE)

    def _call(self, compiled: Callable[..., Any], function: Any) -> Callable[..., Any]:
        state, patches, record, hidden = self._state, self._patches, self._record, self._hidden
        torch = self._torch
        models_of = functools.partial(_models_of, torch, function)
        named = function.func if isinstance(function, functools.partial) else function
        attributes: dict[str, Value] = {FUNCTION: str(getattr(named, "__qualname__", type(named).__name__))}

        def call(*args: Any, **kwargs: Any) -> Any:
            if state.inside or patches.undone:
                return compiled(*args, **kwargs)
            models = hidden(models_of, args, kwargs)
            if not models:
                return compiled(*args, **kwargs)
            return record(models[0], compiled, args, kwargs, hidden(described, models))

        def described(models: list[Any]) -> dict[str, Value]:
            if len(models) == 1:
                return attributes
            return {**attributes, MODULES: tuple(model_name(torch, each) for each in models[:_MOST_MODELS])}

        return call

    def _step(self, compiled: Callable[..., Any], optimizer: Any) -> Callable[..., Any]:
        patches, training, hidden = self._patches, self._training, self._hidden

        # If the step is not compiled after all, it calls its hooks: then the end below finds nothing left to end.
        def step(*args: Any, **kwargs: Any) -> Any:
            if patches.undone:
                return compiled(*args, **kwargs)
            hidden(training.begin_optimizer, optimizer)
            result = compiled(*args, **kwargs)
            hidden(training.end_optimizer, optimizer)
            return result

        return step


def _without_frame(function: Any) -> Any:
    """Return the function around which torch's compiler has put a frame, so that there is one to compile."""
    code = getattr(function, "__code__", None)
    if code is not None and code.co_filename.endswith("external_utils.py") and code.co_freevars == ("fn",):
        return function.__closure__[0].cell_contents
    return function


def _is_later(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & _LATER)


def _models_of(torch: Any, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Return the models that a call of a function uses, as far as its arguments and its code tell."""
    found: dict[int, Any] = {}
    try:
        for value in _used(function, args, kwargs):
            # Not `isinstance`, which asks the program's objects for their class.
            if issubclass(type(value), torch.nn.Module) and is_model(torch, value):
                found[id(value)] = value
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("torch.compile", error)
    return list(found.values())


def _used(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    """Return what a call may use: what the function is bound to, its arguments, and what its code names.

    Then what the code of the functions names that it names.
    """
    while isinstance(function, functools.partial):
        args, kwargs = (*function.args, *args), {**function.keywords, **kwargs}
        function = function.func
    owner = None
    if isinstance(function, MethodType):
        owner, function = function.__self__, function.__func__
        yield owner
    yield from args
    yield from kwargs.values()
    named = list(_named(function, owner))
    yield from named
    for value in named:
        if type(value) is FunctionType:
            yield from _named(inspect.unwrap(value), None)


def _named(function: Any, owner: Any) -> Iterator[Any]:
    """Return what the code of a function names: attributes of what it is bound to, of its closure, globals."""
    if type(function) is not FunctionType:
        return
    names = function.__code__.co_names
    own = getattr(owner, "__dict__", None)
    yield from (own[name] for name in names if type(own) is dict and name in own)
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # It has no value yet.
            yield cell.cell_contents
    yield from (function.__globals__[name] for name in names if name in function.__globals__)
