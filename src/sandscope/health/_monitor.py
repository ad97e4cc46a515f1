"""Runs the checks at intervals, each on a thread of its own: one that hangs does not hang the others."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from sandscope import _guard
from sandscope._errors import SandscopeError
from sandscope._locks import new_lock
from sandscope._own_process._forking import watch_forks
from sandscope.health._check import MAX_CHECKS, Check, registered
from sandscope.health._health_server import Server
from sandscope.health._health_telemetry import HealthTelemetry
from sandscope.health._result import Result, Status, unhealthy
from sandscope.health._state import State, is_ready, overall

Results: TypeAlias = "SimpleQueue[tuple[str, Result, float]]"
"""The name of a check, what it found, and how many seconds it took."""


class Monitor:
    """The checks of a program, and what they last said.

    Attributes:
        url: where the JSON is served, or None.
    """

    def __init__(self, checks: list[Check], interval: float, port: int | None) -> None:
        """Start the checks; see `start`."""
        self._states = {check.name: State(check) for check in checks}
        self._interval = interval
        self._running: dict[str, threading.Thread] = {}
        self._telemetry = HealthTelemetry()
        self._status: Status = "unknown"
        self._lock = new_lock()
        self._stopped = threading.Event()
        self._last_round = time.monotonic()
        self._server = None if port is None else Server(port, self._answer)
        self.url = self._server.url if self._server else None
        self._thread = threading.Thread(target=self._run, name="sandscope-health", daemon=True)
        watch_forks(self)
        self._thread.start()

    @property
    def status(self) -> Status:
        """The status of the program."""
        return self._status

    def report(self) -> dict[str, Any]:
        """Return the status of the program and of each check, as it is served."""
        with self._lock:
            checks = {name: state.as_json() for name, state in self._states.items()}
        return {"status": self._status, "checks": checks}

    @property
    def alive(self) -> bool:
        """Whether the checks are still run."""
        longest = max((state.check.timeout for state in self._states.values()), default=0.0)
        return time.monotonic() - self._last_round < 3 * self._interval + longest

    def stop(self) -> None:
        """Stop the checks and the server. Returns at once, also if a check hangs."""
        self._stopped.set()
        if self._server:
            self._server.stop()

    def after_fork_in_child(self) -> None:
        """Leave the checks and the port to the parent, and know nothing."""
        self._stopped = threading.Event()  # a thread of the parent may hold the lock of the old one
        self._stopped.set()
        self._states = {name: State(state.check) for name, state in self._states.items()}
        self._status, self.url = "unknown", None
        if self._server:
            self._server.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                _guard.report("health", error)
            self._stopped.wait(self._interval)

    def _round(self) -> None:
        """Run all checks at the same time, and wait for each as long as it may take."""
        started = time.monotonic()
        results: Results = SimpleQueue()
        until = {
            name: started + state.check.timeout if self._begin(state.check, results) else started
            for name, state in self._states.items()
        }
        while until:
            name = min(until, key=until.__getitem__)
            try:
                name, result, duration = results.get(timeout=max(until[name] - time.monotonic(), 0))
            except Empty:
                result, duration = _hangs(self._states[name].check)
            if until.pop(name, None) is not None:  # otherwise it has come too late
                self._add(self._states[name], result, duration)

    def _add(self, state: State, result: Result, duration: float) -> None:
        with self._lock:
            changed = state.add(result, duration)
            self._last_round = time.monotonic()
        if not self._stopped.is_set():
            self._telemetry.measured(state)
            if changed:
                self._telemetry.check_changed(state)
        self._update_overall()

    def _begin(self, check: Check, results: Results) -> bool:
        """Start a check, unless its last run has not ended: a check that hangs does not pile up threads."""
        previous = self._running.get(check.name)
        if previous is not None and previous.is_alive():
            return False
        thread = threading.Thread(
            target=_timed, args=(check, results), name=f"sandscope-health-{check.name}", daemon=True
        )
        self._running[check.name] = thread
        thread.start()
        return True

    def _update_overall(self) -> None:
        with self._lock:
            before, self._status = self._status, overall(list(self._states.values()))
        if before != self._status and not self._stopped.is_set():
            self._telemetry.overall_changed(self._status)

    def _answer(self, path: str) -> tuple[int, dict[str, Any]] | None:
        if path == "/health":
            return (503 if self._status == "unhealthy" else 200), self.report()
        if path == "/health/ready":
            with self._lock:
                ready = is_ready(list(self._states.values()))
            return (200 if ready else 503), {"status": self._status}
        if path == "/health/live":
            return (200 if self.alive else 503), {"alive": self.alive}
        return None


def _timed(check: Check, results: Results) -> None:
    start = time.perf_counter()
    try:
        result = check.run()
    except BaseException as error:  # noqa: BLE001 -- such as SystemExit: this thread is the check's own
        result = unhealthy(type(error).__name__)
    results.put((check.name, result, time.perf_counter() - start))


def _hangs(check: Check) -> tuple[Result, float]:
    return unhealthy(f"no result within {check.timeout:g} s"), check.timeout


def start(*checks: Check, interval: float = 30.0, port: int | None = None) -> Monitor:
    """Run checks at intervals: those given, and those that the program has registered with `check`.

    Args:
        checks: such as `disk()` and `memory()`.
        interval: seconds from the end of a round to the next.
        port: serve ``/health``, ``/health/ready`` and ``/health/live`` on this port of 127.0.0.1; 0 takes a free one.

    Raises:
        SandscopeError: if there is no check, there are too many, two have one name, or the port is in use.
    """
    every = [*checks, *registered.values()]
    names = [check.name for check in every]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SandscopeError(
            f"Cannot start health checks: two have the name {twice!r}. Give each its own name."
        )
    if not 0 < len(every) <= MAX_CHECKS:
        raise SandscopeError(f"Cannot start {len(every)} health checks. Give 1 to {MAX_CHECKS}.")
    if interval <= 0:
        raise SandscopeError(
            f"Cannot run health checks every {interval!r} s. Give a positive number of seconds."
        )
    return Monitor(every, interval, port)
