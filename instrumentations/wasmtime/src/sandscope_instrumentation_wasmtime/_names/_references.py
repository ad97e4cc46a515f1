"""Names of functions that do not come from an instance's exports: from tables, results, arguments, globals.

wasmtime makes a new object for each, but with the engine's own id of the function. The state of each store has a
table from these ids to sites. It is filled when it is used first, which is rare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import ref

from sandscope.instrumentation import report_error
from sandscope_instrumentation_wasmtime._measures._store_state import STATE, Functions, StoreState
from sandscope_instrumentation_wasmtime._sites import TAG, UNNAMED

_by_store: dict[int, ref[StoreState]] = {}
"""The states of living stores by the engine's id, for those with such functions."""

_MOST_EXPORTED = 16
"""Instances whose exports are kept until the table is used: a store may have many."""


def remember(store: Any, externs: Sequence[Any], functions: Functions) -> None:
    """Remember exported functions that their guest or its host may hand out.

    Args:
        store: their store, or the `Caller` of a call in it: then only if other exports of the store are remembered.
        externs: what the instance exports.
        functions: the functions among the exports; at least one.
    """
    state = getattr(store, STATE, None)
    if state is None or not state.engine_id:
        number = externs[functions[0][0]]._func.store_id
        if state is None:
            state = _state_by(number)
            if state is None:
                return
        state.engine_id = number
        _by_store[number] = ref(state)
    state.exported += ((externs, functions),)
    if len(state.exported) > _MOST_EXPORTED:
        _fill_table(state)


def _fill_table(state: StoreState) -> None:
    table = dict(state.functions)
    for externs, functions in state.exported:
        for position, site in functions:
            table[getattr(externs[position]._func, "__private")] = site
    state.functions, state.exported = table, ()


def forget(state: StoreState) -> None:
    """Forget a store that has ended; also in a finaliser."""
    _by_store.pop(state.engine_id, None)
    state.exported = ()


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
            if state is not None:
                if state.exported:
                    _fill_table(state)
                site = state.functions.get(getattr(raw, "__private"), UNNAMED)
            setattr(function, TAG, site)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("wasmtime.names", error)
        return site


def _state_by(number: int) -> StoreState | None:
    found = _by_store.get(number)
    return None if found is None else found()
