"""A forward that is a generator or a coroutine runs after its call has returned: it is followed to its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from opentelemetry.context import attach, detach

from sandscope.instrumentation import Execution, Site
from sandscope_instrumentation_torch._calls._outer import describe_outer
from sandscope_instrumentation_torch._messages import message_without_folders

_Begin = Callable[[Site], "Execution | None"]


def follow(
    found: Any, begin: _Begin, result: Any, state: Any, before_end: Callable[[Execution], None]
) -> Any:
    """Return an object of the same kind as a call's result, which runs it as one execution.

    Args:
        found: the site, which is not current, and attributes of the execution or None.
        begin: of the recorder.
        result: of the call. If it is neither a generator nor a coroutine, it is returned.
        state: of the threads.
        before_end: called with the execution before it ends.
    """
    made: Any
    if type(result) is GeneratorType:
        made = _generator(_Steps(found, begin, state, before_end), result)
    elif type(result) is CoroutineType:
        made = _coroutine(_Steps(found, begin, state, before_end, result), result)
    elif type(result) is AsyncGeneratorType:
        made = _async_generator(_Steps(found, begin, state, before_end), result)
    else:
        return result
    made.__name__, made.__qualname__ = result.__name__, result.__qualname__
    return made


class _Steps:
    """The execution of a generator or coroutine. It is current, and its thread is inside, only while it runs."""

    def __init__(
        self,
        found: Any,
        begin: _Begin,
        state: Any,
        before_end: Callable[[Execution], None],
        coroutine: Any = None,
    ) -> None:
        self._site, self._attributes = found
        self._begin, self._state, self._before_end = begin, state, before_end
        self._execution: Execution | None = None
        self._begun = False
        self._coroutine = coroutine

    def __del__(self) -> None:
        """Close a coroutine that was never awaited: Python warns of the one that the program got."""
        if self._coroutine is not None and not self._begun:
            self._coroutine.close()

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run up to the next value, or to the end."""
        if not self._begun:
            self._begun = True
            describe_outer(self._site)
            self._execution = self._begin(self._site)
            if self._execution is not None and self._attributes is not None:
                self._execution.set_attributes(self._attributes)
        if self._execution is None:
            return function(*args)
        outside, self._state.inside = self._state.inside, True
        token = attach(self._execution.context)
        try:
            return function(*args)
        finally:
            detach(token)
            self._state.inside = outside

    def finish(self) -> None:
        if self._execution is not None:
            self._before_end(self._execution)
            self._execution.finish()

    def fail(self, error: BaseException) -> None:
        if self._execution is not None:
            self._before_end(self._execution)
            self._execution.fail(error, message=message_without_folders(error))


def _driven(steps: _Steps, inner: Any) -> Generator[Any, Any, Any]:
    """Do what ``yield from inner`` does, in steps."""
    advance, value = inner.send, None
    try:
        while True:
            try:
                item = steps.run(advance, value)
            except StopIteration as stop:
                return stop.value
            try:
                value = yield item
                advance = inner.send
            except GeneratorExit:
                steps.run(inner.close)
                raise
            except BaseException as error:  # noqa: BLE001 -- the inner one raises it
                advance, value = inner.throw, error
    finally:
        value = None  # An exception would refer to this frame, and this frame to it.


def _generator(steps: _Steps, inner: Any) -> Generator[Any, Any, Any]:
    try:
        result = yield from _driven(steps, inner)
    except GeneratorExit:
        steps.finish()  # The program does not want the rest.
        raise
    except BaseException as error:
        steps.fail(error)
        raise
    steps.finish()
    return result


class _Awaited:
    """What a coroutine awaits to run another one in steps."""

    def __init__(self, steps: _Steps, inner: Any) -> None:
        self._steps, self._inner = steps, inner

    def __await__(self) -> Generator[Any, Any, Any]:
        return _driven(self._steps, self._inner)


async def _coroutine(steps: _Steps, inner: Any) -> Any:
    try:
        result = await _Awaited(steps, inner)
    except BaseException as error:
        steps.fail(error)
        raise
    steps.finish()
    return result


async def _async_generator(steps: _Steps, inner: Any) -> AsyncGenerator[Any, Any]:
    advance: Callable[[Any], Coroutine[Any, Any, Any]]
    advance, value = inner.asend, None
    while True:
        try:
            item = await _Awaited(steps, advance(value))
        except StopAsyncIteration:
            steps.finish()
            return
        except BaseException as error:
            steps.fail(error)
            raise
        finally:
            value = None
        try:
            value = yield item
            advance = inner.asend
        except GeneratorExit:
            await _Awaited(steps, inner.aclose())
            steps.finish()
            raise
        except BaseException as error:  # noqa: BLE001 -- the inner one raises it
            advance, value = inner.athrow, error
