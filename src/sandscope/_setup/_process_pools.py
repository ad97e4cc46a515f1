"""Finds out whether executions run in the workers of a ``ProcessPoolExecutor``: its workers tell.

Without that, a pool that computes something else would be reported as workers of a sandbox.
"""

from __future__ import annotations

import functools
import multiprocessing
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sandscope import _guard
from sandscope._own_process import _pool_worker


def watch_process_pools(executor: Any) -> None:
    """Replace ``__init__`` and ``submit`` of the class ``ProcessPoolExecutor``."""
    init, submit = executor.__init__, executor.submit

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 -- takes the place of one
        import inspect  # not needed by a program without such a pool

        with suppress(Exception):  # the program's own mistake, or a version without these names
            kwargs, args = (
                _with_semaphore(self, inspect.signature(init).bind(self, *args, **kwargs).arguments),
                (),
            )
        init(self, *args, **kwargs)

    @functools.wraps(submit)
    def submit_watched(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        future = submit(self, *args, **kwargs)
        pool = vars(self).get("_sandscope_pool")
        if pool is not None:
            future.add_done_callback(pool.on_done)
        return future

    executor.__init__, executor.submit = __init__, submit_watched


def _with_semaphore(executor: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    arguments = {name: value for name, value in given.items() if name != "self"}
    initializer = arguments.get("initializer")
    if initializer is None or callable(initializer):
        context: Any = arguments.get("mp_context") or multiprocessing.get_context()
        seen = context.Semaphore(0)
        arguments["initializer"] = functools.partial(_pool_worker.start, seen, initializer)
        executor._sandscope_pool = _Pool(executor, seen)
    return arguments


class _Pool:
    """A pool, and whether one of its workers has told that an execution ran in it."""

    def __init__(self, executor: Any, semaphore: Any) -> None:
        self._executor = weakref.ref(executor)
        self._semaphore = semaphore
        self._recorder: Any = None
        self._is_seen = False

    def on_done(self, _future: Any) -> None:
        """Look at the semaphore when a future is done, and from then on, export metrics soon."""
        try:
            if not self._is_seen and self._semaphore.acquire(block=False):
                self._is_seen = True
                # On its own thread: the program waits for this one's results.
                threading.Thread(target=self._report, name="sandscope-pool", daemon=True).start()
            if self._recorder is not None:
                self._recorder.export_soon()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("process_pool", error)

    def _report(self) -> None:
        try:
            from sandscope._manual import get_recorder  # sets up the SDK, if nothing else has needed it
            from sandscope._recording._executors import note_process_pool

            executor = self._executor()
            if executor is not None:
                note_process_pool(executor)
                self._recorder = get_recorder()
                if self._recorder is not None:
                    self._recorder.export_soon()
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("process_pool", error)
