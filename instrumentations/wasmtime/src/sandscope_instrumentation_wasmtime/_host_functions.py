"""Host functions: their exceptions are remembered for the verdict, and their calls are spans if requested."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any

from sandscope.instrumentation import Patches, Recorder, Site, report_error
from sandscope_instrumentation_wasmtime._evidence._host_errors import remember_host_error
from sandscope_instrumentation_wasmtime._sites import host_site

_OWN_PACKAGES = {__name__.partition(".")[0], "sandscope"}


_MADE = "_sandscope_made"
"""The attribute of an error that wasmtime has made of a host function's exception."""


def patch_module(wasmtime: Any, patches: Patches, recorder: Recorder | None) -> None:
    """Remember the exceptions of core modules' host functions, and wrap the functions if their calls are recorded.

    Guests and host functions that call each other share a stack, so a wrapper would cost them levels.

    Args:
        wasmtime: the module.
        patches: records the replaced methods.
        recorder: gets an execution for each call of a host function, unless it is None.
    """
    patches.replace(wasmtime.Trap, "__init__", _remembering_where_it_is_made("wasmtime._func", "trampoline"))
    if recorder is None:
        return
    registration = _Registration(patches, recorder)
    patches.replace(wasmtime.Func, "__init__", registration.wrapper(3))
    patches.replace(wasmtime.Linker, "define_func", registration.wrapper(4, module=1, name=2))


def patch_component(component: Any, patches: Patches, recorder: Recorder | None) -> None:
    """Do the same for the host functions of components."""
    from wasmtime import WasmtimeError
    from wasmtime._managed import Managed

    place = "wasmtime.component._enter", "catch_exceptions"
    patches.replace(WasmtimeError, "__init__", _remembering_where_it_is_made(*place))
    patches.replace(Managed, "_consume", _remembering_where_it_is_passed_on(*place))
    if recorder is not None:
        registration = _Registration(patches, recorder)
        patches.replace(component.LinkerInstance, "add_func", registration.wrapper(2, name=1))


def _remembering_where_it_is_made(module: str, function: str) -> Callable[[Any], Any]:
    """Return a wrapper of the ``__init__`` of a class that wasmtime makes of a host function's exception.

    Args:
        module: where wasmtime handles such exceptions.
        function: in which it does.
    """

    def wrap(original: Any) -> Any:
        @wraps(original)
        def initialize(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            try:
                error = sys.exc_info()[1]
                if isinstance(error, Exception) and _is_in(sys._getframe(1), module, function):
                    setattr(self, _MADE, True)
                    remember_host_error(error)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error("wasmtime.host", error)

        return initialize

    return wrap


def _remembering_where_it_is_passed_on(module: str, function: str) -> Callable[[Any], Any]:
    """Return a wrapper of ``Managed._consume``: wasmtime passes an error of its own class on as it is."""

    def wrap(original: Any) -> Any:
        @wraps(original)
        def consume(self: Any) -> Any:
            try:
                if _is_in(sys._getframe(1), module, function) and not hasattr(self, _MADE):
                    remember_host_error(self)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error("wasmtime.host", error)
            return original(self)

        return consume

    return wrap


def _is_in(frame: FrameType, module: str, function: str) -> bool:
    return frame.f_code.co_name == function and frame.f_globals.get("__name__") == module


class _Registration:
    """Wraps the methods of wasmtime that register a host function."""

    def __init__(self, patches: Patches, recorder: Recorder) -> None:
        self._patches = patches
        self._recorder = recorder

    def wrapper(self, position: int, **names: int) -> Callable[[Any], Any]:
        """Return what wraps a method.

        Args:
            position: of the method's argument ``func``.
            names: the arguments that together are the host function's name, with their positions.
        """

        def wrap(original: Any) -> Any:
            @wraps(original)
            def register(*args: Any, **kwargs: Any) -> Any:
                try:
                    name = ".".join(
                        str(kwargs.get(key, args[at] if at < len(args) else "")) for key, at in names.items()
                    )
                    if len(args) > position:
                        func = self._wrap_function(args[position], name)
                        args = (*args[:position], func, *args[position + 1 :])
                    elif "func" in kwargs:
                        kwargs["func"] = self._wrap_function(kwargs["func"], name)
                except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                    report_error("wasmtime.host", error)
                return original(*args, **kwargs)

            return register

        return wrap

    def _wrap_function(self, func: Any, name: str) -> Any:
        own = str(getattr(func, "__module__", "")).partition(".")[0] in _OWN_PACKAGES
        if own or not callable(func):  # wasmtime raises its own error for what is not callable
            return func
        site = host_site(name or getattr(func, "__name__", None))
        return _recorded(func, self._patches, self._recorder, site)


def _recorded(
    call: Callable[..., Any], patches: Patches, recorder: Recorder, site: Site
) -> Callable[..., Any]:
    def host_function(*args: Any) -> Any:
        execution = None if patches.undone else recorder.begin(site)
        if execution is None:
            return call(*args)
        try:
            result = (
                call(*args) if args else call()
            )  # takes less of the stack that guests and host functions share
        except BaseException as error:
            execution.fail(error)
            raise
        execution.finish()
        return result

    return host_function
