"""The metric readers of a provider during a fork."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from sandscope._internals._connections import abandon_connections


class Readers:
    """Prevents collections during a fork, and resets the readers in the child.

    Does nothing if the provider's version is unknown. The child then inherits the SDK's locks in their current state.
    """

    def __init__(self, provider: Any) -> None:
        """Find the readers of a provider.

        Args:
            provider: a meter provider.
        """
        self._consumer = getattr(provider, "_measurement_consumer", None)
        self._held: tuple[int, Any] | None = None

    def hold(self, timeout: float) -> None:
        """Wait for running collections, and prevent new ones.

        Args:
            timeout: the maximum time to wait in seconds. Callbacks of the program may be slow, or may fork.
        """
        lock = getattr(self._consumer, "_lock", None)
        if lock is not None and lock.acquire(timeout=timeout):
            self._held = threading.get_ident(), lock

    def release(self) -> bool:
        """Allow collections again.

        Returns:
            False if this thread did not hold the readers, because `hold` timed out or another thread is forking.
        """
        held = self._held
        if held is None or held[0] != threading.get_ident():
            return False
        self._held = None
        held[1].release()
        return True

    def reset_in_child(self) -> None:
        """Reset locks and connections in a forked child, so that its readers can collect and export."""
        if not self.release():
            self._held = None
            for locked in self._locked_objects():
                if hasattr(locked, "_lock"):
                    locked._lock = threading.RLock()
        for reader in getattr(self._consumer, "_reader_storages", ()):
            if hasattr(reader, "_export_lock"):
                reader._export_lock = threading.Lock()
            abandon_connections(getattr(reader, "_exporter", None))

    def _locked_objects(self) -> Iterator[Any]:
        """Yield the objects whose locks a collection acquires."""
        yield self._consumer
        for reader, storage in getattr(self._consumer, "_reader_storages", {}).items():
            yield reader
            yield storage
            for matches in storage._instrument_view_instrument_matches.values():
                for match in matches:
                    yield match
                    yield from match._attributes_aggregation.values()
