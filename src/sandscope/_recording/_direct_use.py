"""Who is told that executions are recorded directly: what they measure may have to be exported soon."""

from __future__ import annotations

from typing import Protocol


class Listener(Protocol):
    """Is notified of executions that a direct recorder records."""

    def on_begin(self) -> None:
        """Note that one begins."""

    def on_measurement(self) -> None:
        """Note that one has ended, or that another value has changed."""


class _Nobody:
    def on_begin(self) -> None:
        pass

    on_measurement = on_begin


_listener: Listener = _Nobody()


def listen(listener: Listener) -> None:
    """Tell a listener from now on, instead of the one before."""
    global _listener  # noqa: PLW0603 -- one global SDK
    _listener = listener


def on_begin() -> None:
    """Tell the listener."""
    _listener.on_begin()


def on_measurement() -> None:
    """Tell the listener."""
    _listener.on_measurement()
