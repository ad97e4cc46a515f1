"""Reads a store's ledger where a call of one of its guests ends."""

from __future__ import annotations

from functools import wraps
from typing import Any

from sandscope.instrumentation import report_error
from sandscope_instrumentation_wasmtime._probe._backtrace import tidy
from sandscope_instrumentation_wasmtime._probe._noting import PLACE
from sandscope_instrumentation_wasmtime._probe._probed_store import Probed, probed


def reading(original: Any, error_class: type[Exception]) -> Any:
    """Return what wraps ``Func.__call__``, inside of the wrapper that records an execution.

    Args:
        original: what is wrapped.
        error_class: wasmtime's.
    """

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        store = args[1] if len(args) > 1 else kwargs.get("store")
        found = probed(store)
        entered = found is not None and _is_open(store)
        try:
            if found is not None and entered:
                _enter(found, store)
            return original(*args, **kwargs)
        except error_class as error:
            _tidy(error)
            raise
        finally:
            if found is not None and entered:
                _leave(found, store)

    return call


def _is_open(store: Any) -> bool:
    try:
        store._context()
    except ValueError:
        return False
    return True


def _enter(found: Probed, store: Any) -> None:
    try:
        found.enter(store)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error(PLACE, error)


def _tidy(error: Exception) -> None:
    try:
        tidy(error)
    except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
        report_error(PLACE, broken)


def _leave(found: Probed, store: Any) -> None:
    try:
        if _is_open(store):  # else a host function has closed it
            found.leave(store)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error(PLACE, error)
