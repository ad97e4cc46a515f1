"""Sends the requests of an exporter, and keeps those that its endpoint does not take now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandscope import _guard, _internals
from sandscope._internals import Answer, OtlpClient
from sandscope._locks import new_lock
from sandscope._own_process import _forking
from sandscope._spool._place import Spool

if TYPE_CHECKING:
    from sandscope._spool._backlog import Backlog
    from sandscope._spool._undelivered_records import Signal


class _Flight:
    """A request to which there is no answer yet, and the files in which it is kept."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.kept: list[Path] | None = None


class Sender:
    """Takes the place of an exporter's own sending, until the exporter shuts down.

    Attributes:
        endpoint: the URL.
        signal: of the exporter's requests.
        is_ending: whether the process ends: what is kept now is for the next one.
        is_repeating: whether the next export repeats cumulative metrics.
        is_away: whether the endpoint has not answered lately. Requests are kept at once then.
    """

    def __init__(self, exporter: Any, client: OtlpClient, spool: Spool, *, sends_once: bool = False) -> None:
        """Replace the exporter's sending.

        Args:
            exporter: an OTLP exporter.
            client: its `otlp_client`.
            spool: where requests are kept.
            sends_once: whether the exporter sends only what a dead process has left.
        """
        self.endpoint = client.endpoint
        self.signal: Signal = client.signal
        self.is_away, self.is_ending, self.is_repeating = False, sends_once, not sends_once
        self._spool, self._has_answered = spool, False
        self._client = client
        self._backlog: Backlog | None = None
        self._flights: set[_Flight] = set()
        self._lock = new_lock()
        client.replace_export(self.export)
        _internals.set_keeper(exporter, self)
        _forking.watch_forks(self)

    def export(self, request: bytes) -> tuple[bool, Answer]:
        """Send or keep a request. Return whether it has been taken care of, and the answer."""
        _internals.note_kept(kept=False)
        if (self.is_away or _internals.is_keeping()) and self._keep(request) is not None:
            return True, Answer(None, "kept")
        if _internals.is_keeping():
            return False, Answer(None, "not kept")
        flight = _Flight(request)
        with self._lock:
            self._flights.add(flight)
        try:
            answer = self.post(request)
        finally:
            with self._lock:
                self._flights.discard(flight)
        if answer.is_final:
            return self._finish(flight, answer)
        self.is_away = True
        if flight.kept is None and self._keep(request) is None:
            self.is_away = False
            return self._client.export_as_before(request, answer)  # for some seconds: nothing can be kept
        _internals.note_kept(kept=True)
        self._client.log_failure(answer, f", kept in {self._spool.base}")
        return True, answer

    def post(self, request: bytes) -> Answer:
        """Send a request once."""
        return self._client.post(request)

    def post_again(self, request: bytes) -> Answer:
        """Send a request that was kept. A rejection is logged."""
        answer = self.post(request)
        if answer.status is not None and answer.is_final and not answer.is_success:
            self._client.log_failure(answer)
        return answer

    def keep_in_flight(self) -> bool:
        """See `Keeper`. Those that are acknowledged nevertheless are removed, if the process lives so long."""
        with self._lock:
            flights = list(self._flights)
        for flight in flights:
            if flight.kept is None:
                flight.kept = self._keep(flight.request)
        return bool(flights) and all(flight.kept is not None for flight in flights)

    def send_waiting(self) -> None:
        """Send what has been kept before, on a thread, if there is something."""
        self.backlog().send_soon()

    def backlog(self) -> Backlog:
        """Return what has been kept."""
        if self._backlog is None:
            from sandscope._spool._backlog import Backlog

            with self._lock:
                if self._backlog is None:
                    self._backlog = Backlog(self, self._spool)
        return self._backlog

    def finish(self, has_time: Callable[[], bool]) -> None:
        """Send what waits while there is time, and stop: the process ends."""
        if self._backlog is not None:
            self._backlog.finish(has_time)

    def after_fork_in_child(self) -> None:
        """Leave requests under way to the parent process."""
        self._flights.clear()
        if self._backlog is not None:
            self._backlog.after_fork_in_child()

    def _keep(self, request: bytes) -> list[Path] | None:
        """Keep a request. Return its files; None if it cannot be kept."""
        if not (self._spool.is_expected or self._has_answered):
            return None
        try:
            kept = self.backlog().keep(request)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report("spool", error)
            return None
        _internals.note_kept(kept=kept is not None)
        return kept

    def _finish(self, flight: _Flight, answer: Answer) -> tuple[bool, Answer]:
        for path in flight.kept or ():
            path.unlink(missing_ok=True)
        if not answer.is_success:
            self._client.log_failure(answer)
            return answer.status is not None and 300 <= answer.status < 400, answer  # as the client has it
        self._has_answered, self.is_away = True, False
        if self._backlog is not None:
            self._backlog.on_delivery()
        return True, answer
