"""Wrappers around asyncio's ``Process.wait`` and ``communicate``: a wait that a timeout cancels."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING, Any

from sandscope.instrumentation import Patches
from sandscope_instrumentation_subprocess._registry import Registry

if TYPE_CHECKING:
    from sandscope_instrumentation_subprocess._measures._captured_output import CapturedOutput

_MODULE = "asyncio.subprocess"


def patch_when_imported(
    patches: Patches, registry: Registry, output: CapturedOutput | None
) -> Callable[[], None]:
    """Make a function that patches ``asyncio.subprocess`` once the program has imported it.

    Args:
        patches: restore it.
        registry: of the children.
        output: records what children write.
    """
    patched = False

    def patch() -> None:
        nonlocal patched
        process = getattr(sys.modules.get(_MODULE), "Process", None)
        if patched or process is None or patches.undone:
            return
        patched = True
        for name in ("wait", "communicate"):
            patches.replace(process, name, _wait(registry))
        if output is not None:
            patches.replace(process, "communicate", output.asyncio_communicate)

    return patch


def waits_in_thread(starter: CodeType) -> bool:
    """Return whether the code that starts a child is asyncio's, and asyncio lets a thread wait for each child, at once.

    It does so before Python 3.12.
    """
    if starter.co_name != "_start":
        return False
    module: Any = sys.modules.get("asyncio.unix_events")
    transport = getattr(module, "_UnixSubprocessTransport", None)
    if transport is None or transport._start.__code__ is not starter:
        return False
    watcher = getattr(module.events._event_loop_policy, "_watcher", None)
    return watcher is not None and type(watcher) is getattr(module, "ThreadedChildWatcher", None)


def _wait(registry: Registry) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    from asyncio import CancelledError

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def wait(self: Any, *args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter_ns()
            try:
                return await original(self, *args, **kwargs)
            except CancelledError:
                child = registry.get(getattr(self, "pid", None))
                if child is not None:
                    child.note_cancelled_wait(started)
                raise

        return wait

    return make
