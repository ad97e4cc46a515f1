"""Names of functions that come from elsewhere than an export: tables, results, arguments, globals.

wasmtime makes a new object for each, but with the engine's own id of the function. Each store has a table
from these ids to sites, which dies with it.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

from sandscope.instrumentation import Site, report_error
from sandscope_instrumentation_wasmtime._sites import TAG, UNNAMED

_TABLE = "_sandscope_functions"


class _Functions(dict[int, Site]):
    """The sites of a store's functions by the engine's id."""

    __slots__ = ("__weakref__",)


_by_store: WeakValueDictionary[int, _Functions] = WeakValueDictionary()


def remember(store: Any, function: Any, site: Site) -> None:
    """Remember an exported function that its guest or its host may hand out.

    Args:
        store: a store; of a caller only what its store remembers already grows.
        function: the export.
        site: of its calls.
    """
    number, private = _id_of(function)
    functions = _by_store.get(number)
    if functions is None:
        import wasmtime

        if not isinstance(store, wasmtime.Store):
            return
        functions = _by_store[number] = _Functions()
        setattr(store, _TABLE, functions)
    functions[private] = site


class Tag:
    """The tag of a function that has none: looked up at its first call, and then kept by itself."""

    def __get__(self, function: Any, _owner: object = None) -> Any:
        """Return the site of the function's calls."""
        if function is None:
            return self
        site = UNNAMED
        try:
            number, private = _id_of(function)
            functions = _by_store.get(number)
            if functions is not None:
                site = functions.get(private, UNNAMED)
            setattr(function, TAG, site)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("wasmtime.names", error)
        return site


def _id_of(function: Any) -> tuple[int, int]:
    raw = function._func
    return raw.store_id, getattr(raw, "__private")
