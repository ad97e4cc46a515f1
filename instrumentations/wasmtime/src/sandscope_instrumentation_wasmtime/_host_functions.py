"""Host functions: their exceptions are remembered for the verdict, and their calls are spans if requested."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sandscope.instrumentation import Patches, Recorder, Site, report_error
from sandscope_instrumentation_wasmtime._evidence._host_errors import remember_host_error
from sandscope_instrumentation_wasmtime._sites import host_site

_OWN_PACKAGES = {__name__.partition(".")[0], "sandscope"}


def patch_module(wasmtime: Any, patches: Patches, recorder: Recorder, *, spans: bool) -> None:
    """Wrap the host functions of core modules when the program registers them.

    Args:
        wasmtime: the module.
        patches: records the replaced methods.
        recorder: wraps the host functions.
        spans: whether each call of a host function is an execution.
    """
    registration = _Registration(patches, recorder, spans=spans)
    patches.replace(wasmtime.Func, "__init__", registration.wrapper(3))
    patches.replace(wasmtime.Linker, "define_func", registration.wrapper(4, module=1, name=2))


def patch_component(component: Any, patches: Patches, recorder: Recorder, *, spans: bool) -> None:
    """Wrap the host functions of components; see `patch_module`."""
    registration = _Registration(patches, recorder, spans=spans)
    patches.replace(component.LinkerInstance, "add_func", registration.wrapper(2, name=1))


class _Registration:
    """Wraps the methods of wasmtime that register a host function."""

    def __init__(self, patches: Patches, recorder: Recorder, *, spans: bool) -> None:
        self._patches = patches
        self._recorder = recorder
        self._spans = spans

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
        call = self._recorder.wrap_callback(func, self._failed)
        if not self._spans:
            return call
        site = host_site(name or getattr(func, "__name__", None))
        return _recorded(call, self._patches, self._recorder, site)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, Exception) and not self._patches.undone:
            remember_host_error(error)


def _recorded(
    call: Callable[..., Any], patches: Patches, recorder: Recorder, site: Site
) -> Callable[..., Any]:
    def host_function(*args: Any) -> Any:
        execution = None if patches.undone else recorder.begin(site)
        if execution is None:
            return call(*args)
        try:
            result = call(*args)
        except BaseException as error:
            execution.fail(error)
            raise
        execution.finish()
        return result

    return host_function
