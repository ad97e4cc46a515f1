"""Executions of child processes, however a program starts them.

``subprocess.run`` and everything else that uses ``Popen``, ``os.system``, ``os.posix_spawn``, ``os.spawn*``, ``pty``,
``os.fork`` with ``os.exec*``, and uvloop. Each child is one execution, from spawn to exit, with a verdict: how it
ended, who ended it and why.

    from sandscope_instrumentation_subprocess import SubprocessInstrumentor

    SubprocessInstrumentor().instrument()
    subprocess.run(["python", "guest.py"], timeout=2)

A child gets the trace context as ``TRACEPARENT`` and ``TRACESTATE`` in its environment. Only the program itself
reaps its children; the execution of a child that nobody waits for ends shortly after the child's exit.
"""

from __future__ import annotations

import atexit
import inspect
import logging
import sys
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from sandscope.instrumentation import Patches, Recorder, RuntimeInstrumentor, Scope
from sandscope_instrumentation_subprocess._settings import SubprocessSettings

if TYPE_CHECKING:
    from sandscope_instrumentation_subprocess._measures._captured_output import CapturedOutput
    from sandscope_instrumentation_subprocess._measures._cold_start import ColdStarts
    from sandscope_instrumentation_subprocess._registry import Registry
    from sandscope_instrumentation_subprocess._starts._popen_environment import ChildEnvironment

__all__ = ["SubprocessInstrumentor"]

__version__ = "0.1.0"

_logger = logging.getLogger("sandscope")


class SubprocessInstrumentor(RuntimeInstrumentor):
    """Records an execution for each child process."""

    runtime = "subprocess"
    submodules = ("gevent.subprocess", "eventlet.green.subprocess", "uvloop")
    scope = Scope(__name__, __version__)

    _registry: Registry | None = None
    _cold_starts: ColdStarts | None = None
    _environment: ChildEnvironment
    _patch_asyncio: Callable[[], None]
    _settings = SubprocessSettings()

    def _instrument(self, **kwargs: Any) -> None:
        self._settings = SubprocessSettings.read(kwargs)
        super()._instrument(**kwargs)
        __import__(self.runtime)  # the functions of `os` start children without it

    def _patch(self, module: ModuleType, patches: Patches, recorder: Recorder) -> None:
        if sys.platform == "win32":
            _logger.warning("subprocess is not instrumented: Windows has no waitpid to observe an exit.")
            return
        import os

        from sandscope_instrumentation_subprocess import _patch
        from sandscope_instrumentation_subprocess._measures._cold_start import ColdStarts
        from sandscope_instrumentation_subprocess._registry import Registry
        from sandscope_instrumentation_subprocess._starts._popen_environment import ChildEnvironment
        from sandscope_instrumentation_subprocess._waits import _asyncio_waits, _reaping

        if module.__name__ == "uvloop":
            self._patch_uvloop(module, patches, recorder)
            return
        popen = module.Popen
        if module.__name__ != self.runtime:
            if popen is not sys.modules[self.runtime].Popen:
                _logger.warning(
                    "Children that %s starts are not recorded: its Popen is not patched.", module.__name__
                )
            return
        if tuple(inspect.signature(popen._execute_child).parameters)[:11] != _patch.PARAMETERS:
            _logger.warning("subprocess is not instrumented: %r is not the standard library's Popen.", popen)
            return
        registry = self._registry = Registry(recorder, self._settings)
        atexit.register(registry.close, at_exit=True)
        # From 3.13 on, Popen may choose `posix_spawn` instead; the context is then in `env`.
        forks = hasattr(module, "_fork_exec") and not hasattr(os, "POSIX_SPAWN_CLOSEFROM")
        environment = self._environment = ChildEnvironment(patches_fork_exec=forks)
        waiting = {module.run.__code__, module.call.__code__}
        poll_waitpid = _reaping.waitpid(registry, on_watcher_thread=True)

        patches.replace(popen, "_get_handles", _patch.get_handles(recorder))
        if environment.patches_fork_exec:
            patches.replace(module, "_fork_exec", environment.fork_exec)
        output = self._captured_output(waiting)
        patch_asyncio = self._patch_asyncio = _asyncio_waits.patch_when_imported(patches, registry, output)
        cold_starts = self._cold_starts = ColdStarts(recorder)
        execute_child = _patch.execute_child(
            recorder,
            registry,
            environment,
            waiting,
            patch_asyncio,
            cold_starts=cold_starts,
            output=output,
        )
        patches.replace(popen, "_execute_child", execute_child)
        patches.replace(popen, "wait", _patch.wait(registry, module.TimeoutExpired))
        patches.replace(popen, "communicate", _patch.wait(registry, module.TimeoutExpired))
        if output is not None:
            patches.replace(popen, "communicate", output.communicate)
        if hasattr(module, "_del_safe"):
            patches.replace(module._del_safe, "waitpid", poll_waitpid)
        else:
            rebind = _reaping.rebind_default(os.waitpid, poll_waitpid(os.waitpid))
            patches.replace(popen, "_internal_poll", rebind)
        self._patch_builtins(patches, registry)
        self._patch_starts(patches, recorder, registry, cold_starts, getattr(popen, "_posix_spawn", None))

    def _patch_starts(
        self,
        patches: Patches,
        recorder: Recorder,
        registry: Registry,
        cold_starts: ColdStarts,
        recorded: Any,
    ) -> None:
        import os

        from sandscope_instrumentation_subprocess._builtin_functions import replace_builtin
        from sandscope_instrumentation_subprocess._starts import _fork_exec, _os_system, _posix_spawn

        posix_spawn = _posix_spawn.posix_spawn(
            recorder, registry, self._environment, cold_starts, getattr(recorded, "__code__", None)
        )
        replace_builtin(patches, os, "system", _os_system.system(recorder, registry))
        replace_builtin(patches, os, "posix_spawn", posix_spawn)
        replace_builtin(patches, os, "posix_spawnp", posix_spawn)
        replace_builtin(patches, os, "execv", _fork_exec.execv(registry.forked.forks))
        replace_builtin(patches, os, "execve", _fork_exec.execve(registry.forked.forks))

    def _patch_uvloop(self, module: ModuleType, patches: Patches, recorder: Recorder) -> None:
        from asyncio.subprocess import Process

        from sandscope_instrumentation_subprocess._starts import _uvloop

        registry, cold_starts = self._registry, self._cold_starts
        if registry is None or cold_starts is None:
            return  # the standard library's Popen is not patched either
        self._patch_asyncio()
        for name in ("subprocess_exec", "subprocess_shell"):
            shell = name == "subprocess_shell"
            start = _uvloop.start(recorder, registry, self._environment, cold_starts, shell=shell)
            patches.replace(module.Loop, name, start)
        for name, number in _uvloop.SIGNALS.items():
            patches.replace(Process, name, _uvloop.send(registry, number))

    def _captured_output(self, waiting: set[CodeType]) -> CapturedOutput | None:
        if self._settings.output == "off":
            return None
        from sandscope_instrumentation_subprocess._measures._captured_output import CapturedOutput

        return CapturedOutput(self._settings.output, waiting)

    @staticmethod
    def _patch_builtins(patches: Patches, registry: Registry) -> None:
        import os
        import signal

        from sandscope_instrumentation_subprocess import _sent_signals
        from sandscope_instrumentation_subprocess._builtin_functions import replace_builtin
        from sandscope_instrumentation_subprocess._waits import _reaping, _wait_functions

        plain = os.waitpid
        replace_builtin(patches, os, "waitpid", _reaping.waitpid(registry))
        pty = sys.modules.get("pty")
        if getattr(pty, "waitpid", None) is plain:  # imported by name
            patches.replace(pty, "waitpid", lambda _: os.waitpid)
        replace_builtin(patches, os, "wait", _wait_functions.wait(registry))
        replace_builtin(patches, os, "wait3", _wait_functions.wait3(registry))
        replace_builtin(patches, os, "wait4", _wait_functions.wait4(registry))
        replace_builtin(patches, os, "waitid", _wait_functions.waitid(registry))
        replace_builtin(patches, os, "kill", _sent_signals.kill(registry))
        replace_builtin(patches, os, "killpg", _sent_signals.kill(registry, group=True))
        replace_builtin(patches, signal, "pidfd_send_signal", _sent_signals.pidfd_send_signal(registry))

    def _uninstrument(self, **kwargs: Any) -> None:
        super()._uninstrument(**kwargs)
        registry, self._registry = self._registry, None
        if registry is not None:
            atexit.unregister(registry.close)
            registry.close()
        cold_starts, self._cold_starts = self._cold_starts, None
        if cold_starts is not None:
            cold_starts.close()
