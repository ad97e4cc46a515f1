"""Spans of the submodules of models, for those whose names the program asks for."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from opentelemetry.context import attach, detach, get_current
from opentelemetry.trace import Status, StatusCode, set_span_in_context

from sandscope.instrumentation import Execution, Recorder, report_error
from sandscope_instrumentation_torch._names import model_name

_Paths = dict[int, tuple["weakref.ref[Any]", str]]
"""The submodules that are asked for, by their ``id()``, with their paths in the model."""


class Submodules:
    """Knows which submodules are asked for, and records their calls.

    Attributes:
        state: of the threads; its ``watched`` are those of the model that the thread is in, or None.
    """

    def __init__(self, torch: Any, recorder: Recorder, state: Any, patterns: tuple[str, ...]) -> None:
        self.state = state
        self._torch, self._recorder, self._patterns = torch, recorder, patterns
        self._models: dict[int, tuple[weakref.ref[Any], _Paths]] = {}

    def begin(self, module: Any) -> _Paths | None:
        """A model is about to be called. Never raises."""
        outer: _Paths | None = self.state.watched
        try:
            self.state.watched = self._paths_in(module)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.submodules", error)
        return outer

    def end(self, execution: Execution, begun: _Paths | None) -> None:
        """The call has ended."""
        self.state.watched = begun

    def path_of(self, module: Any) -> str | None:
        """Return the path of a submodule that is asked for, else None."""
        watched = self.state.watched
        found = None if watched is None else watched.get(id(module))
        return found[1] if found is not None and found[0]() is module else None

    def call(self, module: Any, path: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a submodule, as a span inside the current one."""
        attributes = {"torch.module": model_name(self._torch, module), "torch.module.path": path}
        context = get_current()
        span = self._recorder.start_span(
            f"module {path}", context, {"sandbox.runtime": "torch", **attributes}
        )
        token = attach(set_span_in_context(span, context))
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            detach(token)
            span.end()

    def _paths_in(self, module: Any) -> _Paths:
        key, models = id(module), self._models
        known = models.get(key)
        if known is None:
            gone = weakref.ref(module, lambda _gone: models.pop(key, None))
            paths = {
                id(each): (weakref.ref(each), path)
                for path, each in _submodules(module, "")
                if any(fnmatchcase(path, pattern) for pattern in self._patterns)
            }
            known = models[key] = gone, paths
        return known[1]


def _submodules(module: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Return the modules inside a module with their paths. Not `Module.named_modules`: it requires hashable ones."""
    for name, child in module._modules.items():
        if child is not None:
            path = f"{prefix}{name}"
            yield path, child
            yield from _submodules(child, f"{path}.")
