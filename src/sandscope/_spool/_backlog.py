"""The requests of one signal that wait until their endpoint takes them, and the thread that sends them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from opentelemetry import context

from sandscope import _internals, _settings
from sandscope._deferred._background_thread import Worker
from sandscope._internals import Answer
from sandscope._locks import new_lock
from sandscope._say import say
from sandscope._spool import _batch_file, _records, _replay, _spool_metrics, _undelivered_records
from sandscope._spool._batch_file import Waiting
from sandscope._spool._place import Spool, folder_for, is_private, make_private
from sandscope._spool._replay import End
from sandscope._spool._room import Room
from sandscope._spool._undelivered_records import Signal

_SHORTEST, _LONGEST = 1.0, 5.0
"""Seconds between two looks at whether the endpoint answers."""
_PAUSE = 0.005
"""Seconds between two requests, at least: live telemetry goes first, and so do others who have waited."""

_SCAN = 0.1
"""Seconds for which a list of files is good enough: several metrics are made of it."""

_has_told: set[str] = set()
_rooms: dict[Path, Room] = {}


class Endpoint(Protocol):
    """Where requests go; see `Sender`."""

    endpoint: str
    signal: Signal
    is_away: bool
    is_ending: bool
    is_repeating: bool

    def post(self, request: bytes) -> Answer:
        """See `Sender.post`."""

    def post_again(self, request: bytes) -> Answer:
        """See `Sender.post_again`."""


class Backlog:
    """The folder of one signal, endpoint and service."""

    def __init__(self, sender: Endpoint, spool: Spool) -> None:
        """Create nothing yet.

        Args:
            sender: sends to the endpoint.
            spool: where the folder is.
        """
        self.folder = folder_for(spool.base, sender.endpoint, spool.service)
        self.signal = sender.signal
        self._sender, self._spool = sender, spool
        self._room = _rooms.setdefault(spool.base, Room(spool.base, spool.limit))
        self._last: Path | None = None
        self._lock = new_lock()
        self._is_busy = False
        self._scanned: tuple[float, list[Waiting]] = (-_SCAN, [])
        self._worker = Worker("sandscope-spool", self._send_all)
        _spool_metrics.show(self)

    def keep(self, request: bytes) -> list[Path] | None:
        """Keep a request. Return its files; None if it cannot be kept, which is said once."""
        records = 0
        try:
            with self._lock:
                if self.signal != "metric" or not self._sender.is_repeating:
                    records = _internals.records_in(self.signal, request)
                    kept = [self._write(request, records)]
                else:
                    delta, records, others, rest = _records.split_by_temporality(request)
                    kept = [self._write(delta, records)] if records else []
                    if rest:
                        self._replace_last(others, rest)
        except OSError as error:
            _undelivered_records.add(self.signal, "not_kept", records)
            self._tell(error)
            return None
        self._wake()
        return kept

    def waiting(self) -> list[Waiting]:
        """Return the files that wait, the oldest first."""
        at, files = self._scanned
        if time.monotonic() >= at + _SCAN:
            files = _replay.waiting_in(self.folder)
            self._scanned = time.monotonic(), files
        return files

    def send_soon(self) -> None:
        """Send what waits, on a thread, if something does."""
        if is_private(self.folder) and self.waiting():
            self._wake()

    def on_delivery(self) -> None:
        """Note that a request has been acknowledged: the next process need not send what it repeats."""
        if self._last is not None:
            with self._lock:
                self._remove_last()

    def finish(self, has_time: Callable[[], bool]) -> None:
        """Send what waits while there is time, and stop. The request under way is waited for, if there is time."""
        while self._is_busy and not self._sender.is_away and has_time():
            time.sleep(_PAUSE)
        self._worker.close()
        deadline = time.monotonic() + _SHORTEST / 2
        while self._is_busy and not self._sender.is_away and time.monotonic() < deadline:
            time.sleep(_PAUSE)

    def after_fork_in_child(self) -> None:
        """Leave the files to the parent process. The next request that is kept starts a thread."""
        self._last, self._is_busy = None, False
        self._worker.after_fork_in_child()

    def _wake(self) -> None:
        if not self._sender.is_ending:
            self._is_busy = True
            self._worker.wake()

    def _write(self, request: bytes, records: int) -> Path:
        path = self._write_file(_batch_file.pack(request, records))
        _undelivered_records.add(self.signal, "kept", records)
        return path

    def _write_file(self, content: bytes, *, last: bool = False) -> Path:
        for is_second in (False, True):
            if not is_private(self.folder):
                make_private(self.folder)
            self._room.make(len(content))
            try:
                return _batch_file.write(self.folder, self.signal, content, last=last)
            except FileNotFoundError:  # another process has found the folder empty, and removed it
                if is_second:
                    raise
        raise AssertionError("not reached")

    def _replace_last(self, request: bytes, records: int) -> None:
        """Keep cumulative metrics, until the next export repeats them: they are sent if there is none."""
        path = self._write_file(_batch_file.pack(request, records), last=True)
        _replay.own_last.add(path)
        self._remove_last()
        self._last = path

    def _remove_last(self) -> None:
        if self._last is not None:
            self._last.unlink(missing_ok=True)
            _replay.own_last.discard(self._last)
            self._last = None

    def _send_all(self) -> None:
        token = context.attach(context.Context(dict.fromkeys(_internals.SUPPRESSION_KEYS, True)))
        try:
            self._send_until_all_is_sent()
        finally:
            self._is_busy = False
            context.detach(token)

    def _send_until_all_is_sent(self) -> None:
        pause = _SHORTEST
        while True:
            if self._sender.is_away:
                if self._worker.wait(pause):
                    return
                answer = self._sender.post(
                    b""
                )  # an empty request: if its answer is lost, nothing is sent twice
                self._sender.is_away = answer.status is None or not answer.is_final
                if not self._sender.is_away:
                    self._send_last()
                pause = max(min(2 * pause, _LONGEST), min(answer.retry_after, 12 * _LONGEST))
                continue
            end = _replay.replay(self.folder, self.signal, self._sender.post_again, self._has_to_stop)
            if end is End.ALL_SENT or end is End.STOPPED:
                return
            self._sender.is_away |= end is End.AWAY
            if end is End.TAKEN and (self._worker.wait(_SHORTEST) or not _replay.waiting_in(self.folder)):
                return

    def _send_last(self) -> None:
        """Send the last cumulative metrics: if the program does nothing, the next export is a minute away."""
        with self._lock:
            found = None if self._last is None else _batch_file.read(self._last)
            if found is None:
                return
            request, records = found
            answer = self._sender.post_again(request)
            if answer.is_success:
                _undelivered_records.add(self.signal, "delivered", records)
                self._remove_last()

    def _has_to_stop(self, seconds: float) -> bool:
        return self._worker.wait(max(_PAUSE, min(seconds, _SHORTEST)))

    def _tell(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        if reason not in _has_told:
            _has_told.add(reason)
            say(
                f"sandscope: Cannot keep telemetry in {self._spool.base} until it can be delivered: {reason}. "
                f"Free some space there, or set {_settings.SPOOL} to another folder, or to off."
            )
