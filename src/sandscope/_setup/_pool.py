"""Lets the workers of `multiprocessing.Pool` send their telemetry before the pool terminates them with a signal.

A pool ends idle workers as it ends busy ones, mostly right after their last result. So the pool waits, as a program
does at exit, and not the workers: results are not delayed, and no signal handler is installed.
"""

from __future__ import annotations

import functools
import inspect
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import util
from multiprocessing.connection import Connection, wait
from multiprocessing.pool import ThreadPool
from struct import Struct
from typing import Any, get_args

from sandscope import _first_use, _guard, _settings
from sandscope._relay import _relay_choice as relay
from sandscope._setup import _notice

_PID = Struct("i")
_SIGNALS: tuple[_notice.Signal, ...] = get_args(_notice.Signal)
_GRACE = 0.5
"""Seconds for a worker to take a request. A worker that is still starting does not, and has nothing to send."""
_RECOVERY = 1.0
"""The most seconds for which a pool sends what workers have left behind that did not answer."""


def create_pool(wrapped: Callable[..., None], pool: Any, args: Any, kwargs: Any) -> None:
    """Call ``Pool.__init__``, bound to the pool, so that the pool flushes its workers before it terminates them."""
    with suppress(
        Exception
    ):  # the program's own mistake, or a version of multiprocessing without these names
        kwargs, args = _with_flush(pool, inspect.signature(wrapped).bind(*args, **kwargs).arguments), ()
    wrapped(*args, **kwargs)


def _with_flush(pool: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    initializer = arguments.get("initializer")
    if isinstance(pool, ThreadPool) or not (initializer is None or callable(initializer)):
        return arguments
    workers = _Workers(arguments.get("context") or multiprocessing.get_context())
    pool._terminate_pool = functools.partial(workers.flush_and_terminate, pool._terminate_pool)
    return {**arguments, "initializer": functools.partial(_start, *workers.ends, initializer)}


class _Workers:
    """Two pipes between a pool and its workers: a byte asks a worker to flush, its process id is the answer.

    Attributes:
        ends: the workers' ends of the pipes.
        timed_out: whether the workers of the last pool did not answer in time. The next pool does not wait then.
    """

    timed_out = False

    def __init__(self, context: Any) -> None:
        request_reader, self._request = context.Pipe(duplex=False)
        self._answer, answer_writer = context.Pipe(duplex=False)
        self.ends: tuple[Connection, Connection] = (request_reader, answer_writer)

    def flush_and_terminate(self, terminate: Callable[..., None], *args: Any) -> None:
        """Flush the workers, call the pool's own method, and send what is in the workers' black boxes."""
        try:
            # The pool may drop a worker that has ended: the reference here keeps its sentinel open.
            self._flush({worker.sentinel: worker for worker in args[3] if worker.exitcode is None})
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("multiprocessing.pool", error)
        terminate(*args)
        try:
            self._recover()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("multiprocessing.pool", error)

    def _recover(self) -> None:
        if _settings.black_box_folder() is None:
            return
        if _Workers.timed_out or _first_use.OPENTELEMETRY in sys.modules:
            from sandscope._setup import _recorder_setup  # imports OpenTelemetry

            _recorder_setup.recover_workers(_RECOVERY if _Workers.timed_out else 0)

    def _flush(self, running: dict[int, Any]) -> None:
        begun = time.monotonic()
        end = begun + (0 if _Workers.timed_out else _settings.exit_timeout())
        count = len(running)
        # Twice as many as needed: workers that replace those that are ending may take some.
        os.write(self._request.fileno(), b"?" * 2 * count)
        self._wait(running, min(begun + _GRACE, end))
        starting = max(0, self._take_back() - count)
        self._wait(running, end, starting)
        _Workers.timed_out = len(running) > starting

    def _wait(self, running: dict[int, Any], end: float, starting: int = 0) -> None:
        """Wait until each worker has answered or ended, except those that are still starting."""
        while len(running) > starting and (left := end - time.monotonic()) > 0:
            done: set[Any] = set(wait([self._answer, *running], left))
            if self._answer in done:
                answers = os.read(self._answer.fileno(), _PID.size * len(running))
                pids = {pid for (pid,) in _PID.iter_unpack(answers)}
                done |= {sentinel for sentinel, worker in running.items() if worker.pid in pids}
            for sentinel in done & running.keys():
                del running[sentinel]

    def _take_back(self) -> int:
        """Read the requests that no worker has taken, and return how many these are."""
        reader = self.ends[0].fileno()
        os.set_blocking(reader, False)
        try:
            return len(os.read(reader, 65536))
        except BlockingIOError:
            return 0


def _start(
    request: Connection, answer: Connection, initializer: Callable[..., object] | None, *initargs: Any
) -> None:
    """Initialize a worker."""
    flushing = threading.Lock()
    threading.Thread(
        target=_serve, args=(request, answer, flushing), name="sandscope-worker", daemon=True
    ).start()
    # A worker that ends by itself does not shut down its providers while they are being flushed.
    util.Finalize(None, flushing.acquire, kwargs={"timeout": _settings.exit_timeout()}, exitpriority=0)
    if initializer is not None:
        initializer(*initargs)


def _serve(request: Connection, answer: Connection, flushing: threading.Lock) -> None:
    """Wait for the request to flush. Not answered if the worker is ending by itself, for which the pool waits too."""
    try:
        os.read(request.fileno(), 1)
        if flushing.acquire(blocking=False):
            _flush_until_failure()
            os.write(answer.fileno(), _PID.pack(os.getpid()))
            flushing.release()
    except BlockingIOError:
        pass  # the request has been taken back
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("multiprocessing.worker", error)


def _flush_until_failure() -> None:
    begun = time.monotonic()
    flush = threading.Thread(target=_flush, name="sandscope-flush", daemon=True)
    flush.start()
    while flush.is_alive() and max(map(_notice.failed_at, _SIGNALS)) < begun:
        flush.join(0.005)


def _flush() -> None:
    relay.flush(_settings.exit_timeout() / 4)
    if _first_use.OPENTELEMETRY not in sys.modules:
        return
    from sandscope import _internals  # imports OpenTelemetry

    for provider in _internals.global_providers():
        try:
            provider.force_flush()
        except Exception as error:  # noqa: BLE001 -- the other signals are still flushed
            _guard.report("multiprocessing.worker", error)
