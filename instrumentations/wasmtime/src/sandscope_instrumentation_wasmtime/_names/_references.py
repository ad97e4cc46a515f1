"""Names of functions that do not come from an instance's exports: from tables, results, arguments, globals.

wasmtime makes a new object for each, but with the engine's own id of the function. The state of each store has a
table from these ids to sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import ref

from sandscope.instrumentation import Site, report_error
from sandscope_instrumentation_wasmtime._measures._store_state import STATE, StoreState
from sandscope_instrumentation_wasmtime._sites import TAG, UNNAMED

_by_store: dict[int, ref[StoreState]] = {}
"""The states of living stores by the engine's id, for those with a table."""


def remember(store: Any, functions: Sequence[tuple[Any, Site]]) -> None:
    """Remember exported functions that their guest or its host may hand out.

    Args:
        store: their store, or the `Caller` of a call in it: then only a table that there is already grows.
        functions: with the sites of their calls.
    """
    if not functions:
        return
    number = functions[0][0]._func.store_id
    state = getattr(store, STATE, None) or _state_by(number)
    if state is None:
        return
    if state.functions is None:
        state.functions, state.engine_id = {}, number
        _by_store[number] = ref(state)
    for function, site in functions:
        state.functions[getattr(function._func, "__private")] = site


def forget(state: StoreState) -> None:
    """Forget a store that has ended; also in a finaliser."""
    _by_store.pop(state.engine_id, None)


class Tag:
    """The tag of a function that has none: looked up at its first call, and kept from then on."""

    def __get__(self, function: Any, _owner: object = None) -> Any:
        """Return the site of the function's calls."""
        if function is None:
            return self
        site = UNNAMED
        try:
            raw = function._func
            state = _state_by(raw.store_id)
            if state is not None and state.functions is not None:
                site = state.functions.get(getattr(raw, "__private"), UNNAMED)
            setattr(function, TAG, site)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("wasmtime.names", error)
        return site


def _state_by(number: int) -> StoreState | None:
    found = _by_store.get(number)
    return None if found is None else found()
