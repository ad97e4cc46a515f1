"""The wrappers around uvloop, which starts and reaps its children in C."""

from __future__ import annotations

import functools
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from signal import SIGKILL, SIGTERM
from typing import Any

from sandscope.instrumentation import MISSING_EVIDENCE, Execution, Recorder, Site, report_error
from sandscope_instrumentation_subprocess._evidence import ExitStatus
from sandscope_instrumentation_subprocess._measures._cold_start import ColdStarts
from sandscope_instrumentation_subprocess._registry import Registry
from sandscope_instrumentation_subprocess._sent_signals import forget, note
from sandscope_instrumentation_subprocess._sites import SHELL_SITE, UNKNOWN, message_of, site_of
from sandscope_instrumentation_subprocess._starts._popen_environment import ChildEnvironment

_Make = Callable[[Callable[..., Any]], Callable[..., Any]]

SIGNALS = {"send_signal": None, "terminate": SIGTERM, "kill": SIGKILL}
"""The methods of asyncio's ``Process`` that send a signal, and which one; None if it is an argument."""


def start(
    recorder: Recorder,
    registry: Registry,
    environment: ChildEnvironment,
    cold_starts: ColdStarts,
    *,
    shell: bool,
) -> _Make:
    """Make a ``Loop.subprocess_exec`` or ``subprocess_shell`` that records the child.

    Args:
        recorder: begins executions.
        registry: of the children.
        environment: adds the context.
        cold_starts: asks Python children when their interpreter is ready.
        shell: whether it is ``subprocess_shell``.
    """

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def start(self: Any, protocol_factory: Any, *args: Any, **kwargs: Any) -> Any:
            execution = recorder.begin(_site(args, kwargs, shell=shell))
            if execution is None:
                return await original(self, protocol_factory, *args, **kwargs)
            changed = _with_context(kwargs, environment, execution, cold_starts.ask(execution))
            try:
                transport, protocol = await original(self, protocol_factory, *args, **changed)
            except CancelledError:  # the child may have been started
                execution.finish(MISSING_EVIDENCE)
                raise
            except BaseException as error:
                execution.fail(error, message=message_of(error))
                raise
            _register(registry, transport, execution)
            return transport, protocol

        return start

    return make


def send(registry: Registry, number: int | None) -> _Make:
    """Make a method of asyncio's ``Process`` that notes the signal with the child.

    Args:
        registry: of the children.
        number: of the signal; None if it is the method's argument.
    """

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def send(self: Any, *args: Any, **kwargs: Any) -> Any:
            sent = number or next(iter((*args, *kwargs.values())), None)
            child = registry.get(getattr(self, "pid", None))
            noted = [] if child is None or not sent else note(sent, [child])
            try:
                return original(self, *args, **kwargs)
            except BaseException:
                forget(sent, noted)
                raise

        return send

    return make


def _site(args: tuple[Any, ...], kwargs: Mapping[str, Any], *, shell: bool) -> Site:
    if shell:
        return SHELL_SITE
    try:
        return site_of(args or kwargs.get("program"), kwargs.get("executable"), shell=False)
    except Exception:  # noqa: BLE001 -- the arguments are not valid, and uvloop raises the error
        return UNKNOWN


def _with_context(
    kwargs: dict[str, Any],
    environment: ChildEnvironment,
    execution: Execution,
    added: Mapping[str, str],
) -> dict[str, Any]:
    env = kwargs.get("env")
    if env is not None and not isinstance(env, dict):
        return kwargs  # raises the error that the program expects
    try:
        env, preexec_fn = environment.with_context(env, kwargs.get("preexec_fn"), execution, added)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.environment", error)
        return kwargs
    return {**kwargs, "env": env, "preexec_fn": preexec_fn}


def _register(registry: Registry, transport: Any, execution: Execution) -> None:
    """Register the child. Its exit is observed as that of any other, but uvloop knows the status."""
    try:
        pid = transport.get_pid()
        registry.add(pid, execution)

        def on_exit(waiter: Any) -> None:
            if not waiter.cancelled():
                registry.on_reaped_in_c(pid, execution, _exit_status(waiter.result()))

        transport._wait().add_done_callback(on_exit)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("subprocess.uvloop", error)


def _exit_status(returncode: int) -> ExitStatus:
    return ExitStatus(None, -returncode) if returncode < 0 else ExitStatus(returncode, None)
