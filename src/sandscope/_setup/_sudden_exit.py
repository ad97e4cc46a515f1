"""Exports telemetry before the program ends itself without running exit handlers.

It does so by `os._exit`, by `os.exec*`, and by a signal to itself: uvicorn handles SIGTERM, and then raises it again.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

from sandscope import _guard
from sandscope._relay import _relay_choice as relay
from sandscope._setup import _direct_metrics, _notice, _recorder_setup, _spool_setup

_TIMEOUT = 1.0
"""The maximum time in seconds: the program expects to end at once."""
_NAMES = ("_exit", "execv", "execve", "kill")
"""Functions of `os`. The other functions of the exec family call these."""
_FATAL = {
    getattr(signal, name, None) for name in ("SIGABRT", "SIGHUP", "SIGINT", "SIGKILL", "SIGQUIT", "SIGTERM")
}

_providers: Sequence[Any] = ()
_timeout = 0.0
_pid = 0
"""The process that has been set up. A forked child has something to export only after an execution of its own."""


def flush_before(providers: Sequence[Any], timeout: float) -> None:
    """Flush providers before the process ends itself, by functions that replace those of `os` and look the same.

    Args:
        providers: SDK providers.
        timeout: the exit timeout in seconds; at most 1 s of it is used.
    """
    global _providers, _timeout, _pid
    _providers, _timeout, _pid = providers, min(timeout, _TIMEOUT), os.getpid()
    for module, name in (*((os, name) for name in _NAMES), (signal, "raise_signal")):
        original = getattr(module, name, None)
        if original is not None and not hasattr(original, "flushes"):
            setattr(module, name, _flushing(module, original))


def cancel() -> None:
    """Do not flush any more, because the providers are shut down."""
    global _providers  # noqa: PLW0603 -- one global SDK
    _providers = ()


def _flushing(module: ModuleType, original: Callable[..., Any]) -> Callable[..., Any]:
    is_final = original.__name__ == "_exit"
    ends_process = _CONDITIONS.get(original.__name__)

    @functools.wraps(original)
    def end(*args: Any, **kwargs: Any) -> Any:
        if ends_process is None or ends_process(*args, *kwargs.values()):
            # Whatever happens, such as a Ctrl-C during the flush, the process ends.
            with suppress(BaseException if is_final else Exception):
                _flush(is_final=is_final)
        return original(*args, **kwargs)

    end.__module__ = module.__name__  # where `pickle` finds it
    end.flushes = True  # type: ignore[attr-defined]
    if original in os.supports_fd:
        os.supports_fd.add(end)
    return end


def _kills_itself(pid: Any = 0, number: Any = 0, *_: Any) -> bool:
    return isinstance(pid, int) and pid == os.getpid() and _is_fatal(number)


def _is_fatal(number: Any = 0, *_: Any) -> bool:
    return isinstance(number, int) and number in _FATAL and signal.getsignal(number) is signal.SIG_DFL


_CONDITIONS: dict[str, Callable[..., bool]] = {"kill": _kills_itself, "raise_signal": _is_fatal}


def _flush(*, is_final: bool) -> None:
    """Flush the providers.

    Args:
        is_final: whether the process certainly ends: `os.exec*` may fail, and the program may then continue.
    """
    global _providers  # noqa: PLW0603 -- one global SDK
    providers = _providers
    has_recorded = _recorder_setup.has_recorded() or _direct_metrics.has_recorded()
    if not providers or (os.getpid() != _pid and not has_recorded):
        return
    _providers = ()  # a signal handler may call this again
    try:
        end = time.monotonic() + _timeout
        relay.flush(_timeout / 4)
        metrics = [provider for provider in providers if _notice.signal_of(provider) == "metrics"]
        _flush_until(end - _timeout / 2, [provider for provider in providers if provider not in metrics])
        if is_final:
            _recorder_setup.give_up()
        _flush_until(end, metrics)
        if is_final:
            _spool_setup.keep_in_flight()
    finally:
        _providers = providers


def _flush_until(deadline: float, providers: Sequence[Any]) -> None:
    """Flush providers at the same time. Does not wait for retries."""
    begun = time.monotonic()
    running = {_notice.signal_of(provider): _start(provider) for provider in providers}
    while time.monotonic() < deadline and any(
        thread.is_alive() for signal, thread in running.items() if _notice.failed_at(signal) < begun
    ):
        time.sleep(0.002)


def _start(provider: Any) -> threading.Thread:
    def flush() -> None:
        try:
            provider.force_flush()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("exit", error)

    thread = threading.Thread(target=flush, name="sandscope-exit", daemon=True)
    thread.start()
    return thread
