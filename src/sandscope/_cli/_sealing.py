"""Seal the security log beside a Collector, each second, and once more when it has stopped."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from sandscope._audit import Entry, read_key, seal
from sandscope._errors import SandscopeError
from sandscope._say import say
from sandscope._settings import audit_key

_INTERVAL = 1.0


class Sealing:
    """A context manager, which seals once more at its end."""

    def __init__(self) -> None:
        """Read the key.

        Raises:
            SandscopeError: if there is to be one, and it cannot be used.
        """
        path = audit_key()
        self._key = None if path is None else read_key(path)
        self._data: Path | None = None
        self._said = ""
        self._last: Entry | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandscope-seal", daemon=True)

    def start(self, data: Path) -> None:
        """Begin to seal the log of a folder."""
        self._data = data
        self._thread.start()

    def __enter__(self) -> Sealing:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._data is not None:
            self._thread.join()
            self._seal(self._data)

    def _run(self) -> None:
        while self._data is not None and not self._stop.wait(_INTERVAL):
            self._seal(self._data)

    def _seal(self, data: Path) -> None:
        try:
            self._last = seal(data, self._key, after=self._last)[1]
        except SandscopeError as error:
            if str(error) != self._said:  # once
                self._said = str(error)
                say(f"sandscope: {error}")
