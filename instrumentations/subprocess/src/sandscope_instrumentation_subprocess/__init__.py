"""Executions of child processes: ``subprocess.Popen`` and all that goes through it.

``run``, ``call``, ``check_output``, ``os.popen`` and asyncio's subprocesses all start a ``Popen``. Each child is
one execution, from its spawn to its exit, with a verdict: how it ended, who ended it and why.

    from sandscope_instrumentation_subprocess import SubprocessInstrumentor

    SubprocessInstrumentor().instrument()
    subprocess.run(["python", "guest.py"], timeout=2)

A child gets the trace context as ``TRACEPARENT`` and ``TRACESTATE`` in its environment. It is reaped when the
program reaps it, as ever; the execution of a child that nobody waits for ends shortly after its exit.
"""

from __future__ import annotations

import atexit
import inspect
import logging
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sandscope.instrumentation import Patches, Recorder, RuntimeInstrumentor, Scope

if TYPE_CHECKING:
    from sandscope_instrumentation_subprocess._registry import Registry

__all__ = ["SubprocessInstrumentor"]

__version__ = "0.1.0"

_logger = logging.getLogger("sandscope")


class SubprocessInstrumentor(RuntimeInstrumentor):
    """Records an execution for each child that ``subprocess.Popen`` starts."""

    runtime = "subprocess"
    scope = Scope(__name__, __version__)

    _registry: Registry | None = None

    def _patch(self, module: ModuleType, patches: Patches, recorder: Recorder) -> None:
        if sys.platform == "win32":
            _logger.warning("subprocess is not instrumented: Windows has no waitpid to see an exit with.")
            return
        import os

        from sandscope_instrumentation_subprocess import _patch, _reap, _signals
        from sandscope_instrumentation_subprocess._environment import Environment
        from sandscope_instrumentation_subprocess._registry import Registry

        popen = module.Popen
        if tuple(inspect.signature(popen._execute_child).parameters)[:11] != _patch.PARAMETERS:
            _logger.warning("subprocess is not instrumented: %r is not the standard library's Popen.", popen)
            return
        registry = self._registry = Registry()
        atexit.register(registry.close)
        # From 3.13 on, `posix_spawn` may be taken instead, which gets its environment from us as any other.
        forks = hasattr(module, "_fork_exec") and not hasattr(os, "POSIX_SPAWN_CLOSEFROM")
        environment = Environment(handing=forks)
        waiting = {module.run.__code__, module.call.__code__}
        polled = _reap.waitpid(registry, elsewhere=True)

        patches.replace(popen, "_get_handles", _patch.get_handles(recorder))
        if environment.handing:
            patches.replace(module, "_fork_exec", environment.fork_exec)
        patches.replace(
            popen, "_execute_child", _patch.execute_child(recorder, registry, environment, waiting)
        )
        patches.replace(popen, "wait", _patch.wait(registry, module.TimeoutExpired))
        patches.replace(popen, "communicate", _patch.wait(registry, module.TimeoutExpired))
        if hasattr(module, "_del_safe"):
            patches.replace(module._del_safe, "waitpid", polled)
        else:
            patches.replace(popen, "_internal_poll", _reap.rebind_default(os.waitpid, polled(os.waitpid)))
        patches.replace(os, "waitpid", _reap.waitpid(registry))
        patches.replace(os, "kill", _signals.kill(registry))
        patches.replace(os, "killpg", _signals.kill(registry, group=True))
        patches.replace(os, "putenv", environment.putenv)
        patches.replace(os, "unsetenv", environment.unsetenv)

    def _uninstrument(self, **kwargs: Any) -> None:
        super()._uninstrument(**kwargs)
        registry, self._registry = self._registry, None
        if registry is not None:
            atexit.unregister(registry.close)
            registry.close()
