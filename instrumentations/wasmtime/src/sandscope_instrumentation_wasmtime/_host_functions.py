"""Host functions: their exceptions are remembered for the verdict, and their calls are spans if requested."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from sandscope.instrumentation import Patches, Recorder, Site, report_error
from sandscope_instrumentation_wasmtime._evidence._host_errors import remember_host_error
from sandscope_instrumentation_wasmtime._sites import host_site

_OWN_PACKAGES = {__name__.partition(".")[0], "sandscope"}


def patch_module(wasmtime: Any, patches: Patches, recorder: Recorder | None) -> None:
    """Remember the exceptions of core modules' host functions, and wrap the functions if their calls are recorded.

    Guests and host functions that call each other share a stack, so a wrapper would cost them levels.

    Args:
        wasmtime: the module.
        patches: records the replaced methods.
        recorder: gets an execution for each call of a host function, unless it is None.
    """
    patches.replace(wasmtime.Trap, "__init__", _remembering_where_it_is_made)
    if recorder is None:
        return
    registration = _Registration(patches, recorder, remembers_errors=False)
    patches.replace(wasmtime.Func, "__init__", registration.wrapper(3))
    patches.replace(wasmtime.Linker, "define_func", registration.wrapper(4, module=1, name=2))


def patch_component(component: Any, patches: Patches, recorder: Recorder | None) -> None:
    """Wrap the host functions of components when the program registers them; see `patch_module`."""
    registration = _Registration(patches, recorder, remembers_errors=True)
    patches.replace(component.LinkerInstance, "add_func", registration.wrapper(2, name=1))


def _remembering_where_it_is_made(original: Any) -> Any:
    """Return what wraps ``Trap.__init__``: wasmtime makes a trap where it handles a host function's exception."""

    @wraps(original)
    def initialize(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        try:
            caller = sys._getframe(1)
            error = sys.exc_info()[1]
            if (
                isinstance(error, Exception)
                and caller.f_code.co_name == "trampoline"
                and caller.f_globals.get("__name__") == "wasmtime._func"
            ):
                remember_host_error(error)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("wasmtime.host", error)

    return initialize


class _Registration:
    """Wraps the methods of wasmtime that register a host function."""

    def __init__(self, patches: Patches, recorder: Recorder | None, *, remembers_errors: bool) -> None:
        self._patches = patches
        self._recorder = recorder
        self._remembers_errors = remembers_errors

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
        call = _remembering_errors(func, self._patches) if self._remembers_errors else func
        if self._recorder is None:
            return call
        site = host_site(name or getattr(func, "__name__", None))
        return _recorded(call, self._patches, self._recorder, site)


def _remembering_errors(func: Callable[..., Any], patches: Patches) -> Callable[..., Any]:
    def host_function(*args: Any) -> Any:
        try:
            return func(*args)
        except Exception as error:
            if not patches.undone:
                remember_host_error(error)
            raise

    return host_function


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
