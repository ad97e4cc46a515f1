"""Runs actions when a program first uses a module, so that nothing is imported before it is needed.

Imports only modules that every interpreter has loaded, because each Python child of an instrumented program starts it.
"""

from __future__ import annotations

import _thread
import os
import sys
import time

from sandscope._own_process import _first_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import Any, TypeAlias

    Action: TypeAlias = Callable[[], None]

OPENTELEMETRY = "opentelemetry"
SUBPROCESS = "subprocess"
_POPEN_MODULES = (SUBPROCESS, "gevent.subprocess", "eventlet.green.subprocess")
"""The modules with a ``Popen`` class that may become that of ``subprocess``."""

_IMPORT_OPENTELEMETRY = ("opentelemetry.", "sandscope.", "sandscope_instrumentation_")
"""The beginnings of the names of modules that import OpenTelemetry, and that the action for it imports."""

_TIMEOUT = 10.0
"""The maximum time in seconds to wait for another thread that runs actions."""

_actions: dict[str, list[Action]] = {}
_after_import: dict[str, list[Callable[[ModuleType], object]]] = {}
_lock = _thread.allocate_lock()
_running_thread: int | None = None
_nested_imports = _thread._local()
_watched: list[Any] = []
"""The wrappers of ``Popen._get_handles``."""
_children_are_watched = False


def on_first_use(name: str, action: Action) -> None:
    """Run an action when the program first uses a module; at once if it already has.

    - Using ``subprocess`` is to start a child, by whatever means: most programs that import it start none.
    - Using ``opentelemetry`` is to import one of its modules. The action runs afterwards, as it imports others itself.
    - Using another module is to import it. The action runs before the import.

    Errors of actions are reported, and not raised.

    Args:
        name: the name of a top-level module.
        action: called once, on the thread that uses the module.
    """
    _actions.setdefault(name, []).append(action)
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    if name == SUBPROCESS:
        _watch_children()
    if name in sys.modules:
        if name == SUBPROCESS:
            for module in _POPEN_MODULES:
                _watch_popen(sys.modules.get(module))
        else:
            _use(name)


def after_import(name: str, action: Callable[[ModuleType], object]) -> None:
    """Run an action when a module has been imported; at once if it already has.

    Args:
        name: the module's name.
        action: called once, with the module.
    """
    _after_import.setdefault(name, []).append(action)
    if _is_imported(name):
        _run_after_import(sys.modules[name])
    elif _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def forget_all() -> None:
    """Run no actions any more: what this process starts is not a program's."""
    _actions.clear()
    _after_import.clear()
    if _Finder in sys.meta_path:
        sys.meta_path.remove(_Finder)


class _Finder:
    """An import finder that finds nothing: it notices imports."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """Run or prepare the actions of a module. Return its specification as the other finders make it."""
        if _running_thread == _thread.get_ident():
            return None
        if OPENTELEMETRY in _actions and name.startswith(_IMPORT_OPENTELEMETRY):
            return _around_import(_find(name, path, target), before=_begin_import, finally_=_end_import)
        is_used = name in _actions and name not in {OPENTELEMETRY, SUBPROCESS}
        if is_used:
            _use(name)  # this may add actions for after the import
        watches = name in _POPEN_MODULES and SUBPROCESS in _actions
        if watches or name in _after_import:
            return _around_import(_find(name, path, target), after=_after)
        return _find(name, path, target) if is_used else None


def _use(name: str, timeout: float = _TIMEOUT) -> None:
    """Run the actions of a module, and of the modules that were imported on other threads in the meantime."""
    global _running_thread  # noqa: PLW0603 -- one program
    if _running_thread == _thread.get_ident() or not _actions.get(name):
        return
    lock = _current_lock()
    if not lock.acquire(timeout=timeout):
        return
    _running_thread = _thread.get_ident()
    try:
        _run(name)
        for other in _actions.keys() & sys.modules.keys() - {SUBPROCESS, OPENTELEMETRY}:
            _run(other)
        _notice_own_imports()
        if SUBPROCESS not in _actions:
            _first_child.stop_watching_forks()
        if not _actions and not _after_import and _Finder in sys.meta_path:
            sys.meta_path.remove(_Finder)
    finally:
        _running_thread = None
        lock.release()


def _notice_own_imports() -> None:
    """Do what `_Finder` does not do for the modules that the actions themselves import."""
    if SUBPROCESS in _actions and SUBPROCESS in sys.modules:
        _watch_popen(sys.modules[SUBPROCESS])
    for name in list(_after_import):
        if _is_imported(name):
            _run_after_import(sys.modules[name])


def _is_imported(name: str) -> bool:
    """Return whether a module has been imported to its end: while it is, it may start a child, as torch does."""
    module = sys.modules.get(name)
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)


def _current_lock() -> Any:
    """Return the lock: a lock for green threads if gevent or eventlet has replaced threads since it was created.

    The original lock would stop all green threads, among them the one that holds it.
    """
    global _lock  # noqa: PLW0603 -- one program
    lock = _thread.allocate_lock()
    if type(lock) is not type(_lock) and not _lock.locked():
        _lock = lock
    return _lock


def _after(module: ModuleType) -> None:
    if module.__name__ in _POPEN_MODULES and SUBPROCESS in _actions:
        _watch_popen(module)
    _run_after_import(module)


def _run_after_import(module: ModuleType) -> None:
    for action in _after_import.pop(module.__name__, ()):
        _report_errors(action, module)


def _report_errors(action: Callable[..., object], *arguments: ModuleType) -> None:
    try:
        action(*arguments)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        from sandscope import _guard

        _guard.report("start", error)


def _run(name: str) -> None:
    while actions := _actions.get(name):
        action = actions[0]
        _report_errors(action)
        # Not before it has run: a Ctrl-C, or a signal handler of the program, may interrupt it.
        actions.remove(action)
    _actions.pop(name, None)


def _find(name: str, path: Sequence[str] | None, target: ModuleType | None) -> Any:
    for finder in list(sys.meta_path):
        find_spec = getattr(finder, "find_spec", None)
        spec = None if finder is _Finder or find_spec is None else find_spec(name, path, target)
        if spec is not None:
            return spec
    return None


def _around_import(
    spec: Any,
    before: Action = lambda: None,
    after: Callable[[ModuleType], object] = lambda _module: None,
    finally_: Action = lambda: None,
) -> Any:
    """Call functions around the execution of a module. Nothing of this remains in the module.

    Args:
        spec: of the module.
        before: called before the module is executed.
        after: called with the module, unless its execution has failed.
        finally_: called last, in any case.
    """
    loader: Any = getattr(spec, "loader", None)

    def exec_module(module: ModuleType) -> None:
        if spec.loader is loader:
            del loader.exec_module
        else:
            spec.loader = module.__loader__ = loader
        before()
        try:
            loader.exec_module(module)
            after(module)
        finally:
            finally_()

    if isinstance(loader, type):
        spec.loader = _LoaderOfOne(loader, exec_module)
    elif hasattr(loader, "__dict__"):
        loader.exec_module = exec_module
    return spec


class _LoaderOfOne:
    """Stands, for one import, for a loader that all modules of its kind share: those of built-in and frozen modules."""

    def __init__(self, loader: Any, exec_module: Callable[[ModuleType], None]) -> None:
        self.create_module = loader.create_module
        self.exec_module = exec_module


def _begin_import() -> None:
    _nested_imports.count = getattr(_nested_imports, "count", 0) + 1


def _end_import() -> None:
    _nested_imports.count -= 1
    if not _nested_imports.count and OPENTELEMETRY in sys.modules:
        # Never waits: the other thread may need the module whose import lock this thread holds.
        _use(OPENTELEMETRY, 0)


def _watch_children() -> None:
    """Run the actions of ``subprocess`` when the program starts its first child without it."""
    global _children_are_watched  # noqa: PLW0603 -- one program
    if not _children_are_watched:
        _children_are_watched = True
        _first_child.watch_functions(_use_subprocess)
        after_import(_first_child.UVLOOP, lambda module: _first_child.watch_uvloop(module, _use_subprocess))


def _use_subprocess() -> bool:
    """Run the actions of ``subprocess``. Return whether this was the first use."""
    if not _actions.get(SUBPROCESS):
        return False
    _use(SUBPROCESS)
    return not _actions.get(SUBPROCESS)


def _watch_popen(module: ModuleType | None) -> None:
    """Run the actions of ``subprocess`` when the program starts its first child."""
    popen = getattr(module, "Popen", None)
    if not isinstance(popen, type) or getattr(popen, "_get_handles", None) in _watched:
        return
    original: Any = popen._get_handles  # type: ignore[attr-defined] # of the standard library

    # Stays where it is, so that no child of another thread is missed while the actions run.
    def _get_handles(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _actions.get(SUBPROCESS):
            _use(SUBPROCESS)
            current: Any = vars(popen).get("_get_handles")
            if current is not _get_handles and not _actions.get(SUBPROCESS):
                return current(
                    self, *args, **kwargs
                )  # the instrumentation's wrapper, which calls this function
        return original(self, *args, **kwargs)

    _watched.append(_get_handles)
    popen._get_handles = _get_handles  # type: ignore[attr-defined]


def _reset_in_child() -> None:
    global _lock, _running_thread
    if _running_thread != _thread.get_ident():
        _lock, _running_thread = _thread.allocate_lock(), None
    # Imports that began after `_wait_for_imports`: the child imports these modules anew.
    for name in _imports_of_others():
        _module_locks().pop(name, None)
        sys.modules.pop(name, None)


def _wait_for_imports() -> None:
    """Wait while another thread imports telemetry: its import locks would stay locked in the child."""
    deadline = time.monotonic() + _TIMEOUT
    while _imports_of_others() and time.monotonic() < deadline:
        time.sleep(0.001)


def _imports_of_others() -> list[str]:
    """Return the modules of Sandscope and OpenTelemetry that other threads are importing."""
    me = _thread.get_ident()
    locks = [(name, reference()) for name, reference in list(_module_locks().items())]
    return [
        name
        for name, lock in locks
        if name.startswith(("sandscope", "opentelemetry")) and getattr(lock, "owner", None) not in {None, me}
    ]


def _module_locks() -> dict[str, Any]:
    locks: dict[str, Any] = getattr(sys.modules["_frozen_importlib"], "_module_locks", {})
    return locks


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait_for_imports, after_in_child=_reset_in_child)
