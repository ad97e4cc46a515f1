"""The probe takes nothing of what a store limits: limits are higher by what it has made, as soon as it makes it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from sandscope.instrumentation import Patches
from sandscope_instrumentation_wasmtime._measures._store_state import StoreState, state_of
from sandscope_instrumentation_wasmtime._probe._unpatched import Unpatched

_COUNTS = frozenset(("instances", "tables", "memories"))
"""The arguments of ``Store.set_limits`` that limit numbers, not sizes."""
_MOST = (1 << 63) - 1


def patch(wasmtime: Any, patches: Patches) -> None:
    """Raise the limits that a program sets later."""
    patches.replace(wasmtime.Store, "set_limits", _raising)


def has_count_limits(store: Any) -> bool:
    """Return whether the program limits how many instances, tables or memories a store has."""
    state = state_of(store)
    return state is not None and not _COUNTS.isdisjoint(state.limits)


@contextmanager
def room_for(unpatched: Unpatched, store: Any, **made: int) -> Iterator[None]:
    """Make something of the probe's, of which no limit of the store is in the way.

    Args:
        unpatched: wasmtime's methods.
        store: whose limits are raised by what is made, and lifted meanwhile if they limit sizes.
        made: how many instances and tables. A memory that the host makes is not counted.
    """
    state = state_of(store)
    if state is None:
        yield
        return
    before = state.probe_made
    state.probe_made = {**before, **{name: before.get(name, 0) + number for name, number in made.items()}}
    if not state.limits:
        yield
        return
    counts = {name: limit for name, limit in _raised(state).items() if name in _COUNTS}
    unpatched.set_limits(store, **counts)
    try:
        yield
    finally:
        unpatched.set_limits(store, **_raised(state))


def _raised(state: StoreState) -> dict[str, int]:
    return {name: min(limit + state.probe_made.get(name, 0), _MOST) for name, limit in state.limits.items()}


def _raising(original: Any) -> Any:
    signature = inspect.signature(original)

    @wraps(original)
    def set_limits(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(self, *args, **kwargs)
        except TypeError:
            return original(self, *args, **kwargs)  # which says what is wrong
        state = state_of(self)
        for name, count in () if state is None else state.probe_made.items():
            value = given.arguments.get(name)
            if isinstance(value, int) and value >= 0:
                given.arguments[name] = min(value + count, _MOST)
        return original(*given.args, **given.kwargs)

    return set_limits
