"""Address space: wasmtime reserves four gigabytes of it for a memory of any size."""

from __future__ import annotations

from weakref import WeakSet

from sandscope_instrumentation_wasmtime._probe._ledger import Ledger

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

_MOST = 4096
"""Ledgers at a time: an eighth of what a process may have on most machines."""

_living: WeakSet[Ledger] = WeakSet()


def is_left() -> bool:
    """Return whether a ledger more takes nothing that guests will need."""
    limited = resource is not None and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    return not limited and len(_living) < _MOST


def note(ledger: Ledger) -> None:
    """Count a ledger for as long as its store lives."""
    _living.add(ledger)
