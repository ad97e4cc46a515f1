"""The thread that reads what children write to their pipes."""

from __future__ import annotations

import atexit
import selectors
import signal
import threading
import time
from collections import deque

from opentelemetry import context

from sandscope import _guard, _internals, _settings
from sandscope._execution import Execution
from sandscope._locks import new_lock
from sandscope._own_process._forking import watch_forks
from sandscope._relay import _relayed_records
from sandscope._relay._budget import Budget
from sandscope._relay._channel import Channel
from sandscope._relay._child_requests import check
from sandscope._relay._origin import origin_of
from sandscope._relay._outbox import Outbox

_TICK = 0.1
"""Seconds after which the thread looks for new children, and for those that have ended."""
_RATE, _MOST = 8 << 20, 16 << 20
"""Bytes a second, and at once, of all children."""
_PER_REQUEST, _PER_RECORD = 256, 512
"""What a request and a record cost in addition to their bytes, to take small ones for what they are."""
_MOST_CHILDREN = 1000


class Relay:
    """Sends on what children write. A program without such children has neither the thread nor a descriptor."""

    def __init__(self, outbox: Outbox) -> None:
        """Begin without a child.

        Args:
            outbox: sends requests.
        """
        self._outbox = outbox
        self._budget = Budget(_RATE, _MOST)
        self._selector = selectors.PollSelector()  # has no descriptor of its own
        self._channels: set[Channel] = set()
        self._new: deque[Channel] = deque()
        self._flushes: deque[threading.Event] = deque()
        self._due = threading.Event()
        self._lock = new_lock()
        self._thread: threading.Thread | None = None
        self._is_closing = False
        watch_forks(self)
        atexit.register(self.close)

    @property
    def children(self) -> int:
        """The number of children whose pipes are open."""
        return len(self._channels) + len(self._new)

    def add(self, descriptor: int, execution: Execution) -> bool:
        """Read a pipe from now on, until the execution has ended or nobody can write any more.

        Args:
            descriptor: the reading end, which does not block. It belongs to the relay if this returns True.
            execution: of the child; not begun to run yet.
        """
        origin = origin_of(execution)
        if origin is None or self._is_closing or self.children >= _MOST_CHILDREN:
            return False
        channel = Channel(descriptor, origin)
        self._new.append(channel)

        def on_end(*_: object) -> None:
            channel.has_ended = True

        execution.on_end(on_end)
        return self._start()

    def close(self) -> None:
        """Read what has been written, send it, and stop: the program ends."""
        self._is_closing = True
        self._due.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_settings.exit_timeout() / 4)

    def flush(self, timeout: float) -> None:
        """Read what has been written, and send it. Not in the thread of the relay itself.

        Args:
            timeout: the most seconds to wait for it.
        """
        thread = self._thread
        if self._is_closing or thread in {None, threading.current_thread()}:
            return
        is_done = threading.Event()
        self._flushes.append(is_done)
        self._due.set()
        is_done.wait(timeout)

    def after_fork_in_child(self) -> None:
        """Close the descriptors: these are children of the forked process's parent."""
        for channel in (*self._channels, *self._new):
            channel.close()
        self._selector = selectors.PollSelector()
        self._channels, self._new, self._due = set(), deque(), threading.Event()
        self._flushes = deque()
        self._thread = None
        self._outbox = Outbox()

    def _start(self) -> bool:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sandscope-relay", daemon=True)
                self._thread.start()
        self._due.set()
        return True

    def _run(self) -> None:
        # The program's signals are for its own threads.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        context.attach(context.Context(dict.fromkeys(_internals.SUPPRESSION_KEYS, True)))
        while not self._is_closing:
            try:
                self._run_once()
            except Exception as error:  # noqa: BLE001 -- the thread must keep running
                _guard.report("relay", error)
                time.sleep(_TICK)
        self._finish()

    def _run_once(self) -> None:
        if not self._channels and not self._new:
            self._outbox.send()
            self._due.wait()
        self._due.clear()
        while self._new:
            channel = self._new.popleft()
            self._channels.add(channel)
            self._selector.register(channel.descriptor, selectors.EVENT_READ, channel)
        for key, _ in self._selector.select(_TICK):
            self._serve(key.data)
        now = time.monotonic()
        for channel in [each for each in self._channels if each.rests_until or each.has_ended]:
            self._resume(channel, now)
        self._outbox.send_if_due()
        self._flush()

    def _flush(self) -> None:
        if not self._flushes:
            return
        for channel in [each for each in self._channels if not each.rests_until]:
            self._serve(channel)
        self._outbox.send()
        while self._flushes:
            self._flushes.popleft().set()

    def _resume(self, channel: Channel, now: float) -> None:
        if channel.rests_until > now:
            return
        if channel.rests_until:
            channel.rests_until = 0.0
            self._selector.register(channel.descriptor, selectors.EVENT_READ, channel)
        if channel.has_ended:
            self._serve(channel)

    def _serve(self, channel: Channel) -> None:
        """Read once. If that fails, no more is read of this child, and others do not notice."""
        try:
            self._read(channel)
        except Exception as error:  # noqa: BLE001 -- whatever a child may have found
            _guard.report("relay", error)
            self._remove(channel)

    def _read(self, channel: Channel) -> None:
        has_ended, data = channel.has_ended, channel.read()
        if data is None or (not data and has_ended):
            self._remove(channel)
            return
        cost = len(data)
        for received in channel.requests_in(data):
            cost += _PER_REQUEST
            if received.lost:
                _relayed_records.add(received.signal, "lost", received.lost)
            elif not received.request:
                _relayed_records.add(received.signal, "too_large")
            else:
                accepted = check(received.signal, received.request, channel.origin, self._outbox.resource)
                cost += accepted.seen * _PER_RECORD
                if accepted.records:
                    self._outbox.add(received.signal, accepted)
        rest = max(channel.budget.charge(cost), self._budget.charge(cost))
        if rest and not self._is_closing:
            channel.rests_until = time.monotonic() + rest
            self._selector.unregister(channel.descriptor)

    def _remove(self, channel: Channel) -> None:
        self._channels.discard(channel)
        if channel.descriptor in self._selector.get_map():
            self._selector.unregister(channel.descriptor)
        channel.close()

    def _finish(self) -> None:
        """Read each pipe once more: it is empty then, unless the child has made it larger."""
        for channel in (*self._channels, *self._new):
            channel.has_ended = True
            self._channels.add(channel)
            self._serve(channel)
            self._channels.discard(channel)
            channel.close()
        self._flush()
        self._outbox.send()
