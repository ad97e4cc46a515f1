"""Host functions: what they raise is noted, and each call of one is a span if asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from sandscope.instrumentation import Patches, Recorder, Site, report_error
from sandscope_instrumentation_wasmtime._evidence._host_errors import note_raised
from sandscope_instrumentation_wasmtime._sites import host_site

_OURS = {__name__.partition(".")[0], "sandscope"}


def patch_module(wasmtime: Any, patches: Patches, recorder: Recorder | None) -> None:
    """Wrap the host functions of core modules where a program registers them.

    Args:
        wasmtime: the module.
        patches: takes what is replaced.
        recorder: gets an execution for each call of a host function, if it is not None.
    """
    registering = _Registering(patches, recorder)
    patches.replace(wasmtime.Func, "__init__", registering.at(3))
    patches.replace(wasmtime.Linker, "define_func", registering.at(4, module=1, name=2))


def patch_component(component: Any, patches: Patches, recorder: Recorder | None) -> None:
    """Wrap the host functions of components; see `patch_module`."""
    registering = _Registering(patches, recorder)
    patches.replace(component.LinkerInstance, "add_func", registering.at(2, name=1))


class _Registering:
    """Makes what replaces a method that registers a host function."""

    def __init__(self, patches: Patches, recorder: Recorder | None) -> None:
        self._patches = patches
        self._recorder = recorder

    def at(self, position: int, **names: int) -> Callable[[Any], Any]:
        """Return what wraps a method.

        Args:
            position: of the argument ``func`` of the method.
            names: of the arguments that together name the host function, with their positions.
        """

        def wrap(original: Any) -> Any:
            @wraps(original)
            def register(*args: Any, **kwargs: Any) -> Any:
                try:
                    name = ".".join(
                        str(kwargs.get(key, args[at] if at < len(args) else "")) for key, at in names.items()
                    )
                    if len(args) > position:
                        args = (*args[:position], self._watched(args[position], name), *args[position + 1 :])
                    elif "func" in kwargs:
                        kwargs["func"] = self._watched(kwargs["func"], name)
                except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                    report_error("wasmtime.host", error)
                return original(*args, **kwargs)

            return register

        return wrap

    def _watched(self, func: Any, name: str) -> Any:
        if not callable(func) or str(getattr(func, "__module__", "")).partition(".")[0] in _OURS:
            return func  # what cannot be called fails as ever; what is ours is not the program's
        if self._recorder is None:
            return _noting(func, self._patches)
        site = host_site(name or getattr(func, "__name__", None))
        return _recording(func, self._patches, self._recorder, site)


def _noting(func: Callable[..., Any], patches: Patches) -> Callable[..., Any]:
    def host_function(*args: Any) -> Any:
        try:
            return func(*args)
        except Exception as error:
            if not patches.undone:
                note_raised(error)
            raise

    return host_function


def _recording(
    func: Callable[..., Any], patches: Patches, recorder: Recorder, site: Site
) -> Callable[..., Any]:
    noting = _noting(func, patches)

    def host_function(*args: Any) -> Any:
        execution = None if patches.undone else recorder.begin(site)
        if execution is None:
            return noting(*args)
        try:
            result = noting(*args)
        except BaseException as error:
            execution.fail(error)
            raise
        execution.finish()
        return result

    return host_function
