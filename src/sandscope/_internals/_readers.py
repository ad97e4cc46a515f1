"""The metric readers of a provider while the process forks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from sandscope._internals._connections import leave_connections


class Readers:
    """Keeps readers from collecting at the moment of a fork, and lets the child's begin anew.

    Where the provider is not as known here, nothing is done: the child then gets the SDK's locks as they are.
    """

    def __init__(self, provider: Any) -> None:
        """Find the readers.

        Args:
            provider: a meter provider.
        """
        self._consumer = getattr(provider, "_measurement_consumer", None)
        self._held: tuple[int, Any] | None = None

    def hold(self, timeout: float) -> None:
        """Wait until no reader collects, and let none begin.

        Args:
            timeout: seconds to wait; callbacks of the program's may be slow, or fork themselves.
        """
        lock = getattr(self._consumer, "_lock", None)
        if lock is not None and lock.acquire(timeout=timeout):
            self._held = threading.get_ident(), lock

    def let_go(self) -> bool:
        """Let readers collect.

        Returns:
            False if this thread has not held them: it could not, while another one forks.
        """
        held = self._held
        if held is None or held[0] != threading.get_ident():
            return False
        self._held = None
        held[1].release()
        return True

    def begin_anew(self) -> None:
        """Let the readers of a forked child collect and export, whatever the parent's were doing."""
        if not self.let_go():
            self._held = None
            for owner in self._owners():
                if hasattr(owner, "_lock"):
                    owner._lock = threading.RLock()
        for reader in getattr(self._consumer, "_reader_storages", ()):
            if hasattr(reader, "_export_lock"):
                reader._export_lock = threading.Lock()
            leave_connections(getattr(reader, "_exporter", None))

    def _owners(self) -> Iterator[Any]:
        """Yield all that a collection locks."""
        yield self._consumer
        for reader, storage in getattr(self._consumer, "_reader_storages", {}).items():
            yield reader
            yield storage
            for matches in storage._instrument_view_instrument_matches.values():
                for match in matches:
                    yield match
                    yield from match._attributes_aggregation.values()
