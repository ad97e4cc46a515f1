"""What is known of a store, in an attribute of it: it does not refer back, and so keeps no store alive."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from itertools import count
from types import MappingProxyType
from typing import Any

from sandscope.instrumentation import Patches, Recorder, SharedDetails, Site, report_error
from sandscope_instrumentation_wasmtime._after_call import after_success

STATE = "_sandscope_store"
"""The attribute. A `Caller` has none, nor has a store that is older than the instrumentation."""

SANDBOX_ID = "wasm.sandbox.id"

NEVER = -1
"""In place of a number of calls to skip, where none is measured."""

_LIMITS = ("memory_size", "table_elements", "instances", "tables", "memories")
"""The arguments of ``Store.set_limits``; a negative one sets no limit."""

_ids = count(1)


class StoreState(SharedDetails):
    """One sandbox: what all instances in a store, and all calls of their functions, have in common.

    A request may make a store, an instance and one call: what most stores do not have is a default of the class.

    Attributes:
        recorder: takes all measurements of the store, to its end, so that sums that rise also fall.
        number: of the store, counted in this process.
        instances: that were made in it; they end with it.
        memories: that its instances export.
        memory: bytes of these when they were last read.
        maxima: bytes that each may grow to by its own declaration, None where there is no maximum.
        limits: that were set, by the names of the arguments of ``set_limits``.
        reported_limit: bytes that the limits of its memories add to the metric.
        functions: sites of exported functions by the engine's id, where a guest or host may hand these out.
        engine_id: the engine's own number of the store, where `functions` is not None.
        fuel: the engine counts fuel, and it is to be measured.
        fuel_given: what the host put in last.
        fuel_added: what was put in during the call that runs now.
        granted: capabilities that its WASI configuration gives.
        running: a call or instantiation that is measured runs in it.
        calls: that were measured.
        skip: calls to come that are not measured, or `NEVER`.
    """

    key = SANDBOX_ID
    instances = memory = reported_limit = calls = fuel_added = engine_id = 0
    memories: tuple[Any, ...] = ()
    maxima: tuple[int | None, ...] = ()
    limits: Mapping[str, int] = MappingProxyType({})
    functions: dict[int, Site] | None = None
    fuel_given: int | None = None
    granted: frozenset[str] = frozenset()
    fuel = running = False
    skip = NEVER

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.number = next(_ids)


def patch(wasmtime: Any, patches: Patches, recorder: Recorder) -> None:
    """Give each new store its state, and keep its limits there."""

    def wrap(original: Any) -> Any:
        @wraps(original)
        def initialize(self: Any, *args: Any, **kwargs: Any) -> None:
            if kwargs or len(args) != 1:
                original(self, *args, **kwargs)
            else:  # as usual: the interpreter is faster where it knows the number of arguments
                original(self, args[0])
            try:
                self._sandscope_store = StoreState(recorder)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error("wasmtime.store", error)

        return initialize

    patches.replace(wasmtime.Store, "__init__", wrap)
    patches.replace(wasmtime.Store, "set_limits", after_success("wasmtime.store", _limited))


def state_of(store: Any) -> StoreState | None:
    """Return what is known of a store, or None."""
    state: StoreState | None = getattr(store, STATE, None)
    return state


def _limited(_: None, store: Any, *args: int, **kwargs: int) -> None:
    state = state_of(store)
    if state is not None:
        given = {**dict(zip(_LIMITS, args, strict=False)), **kwargs}
        state.limits = {name: limit for name, limit in given.items() if limit >= 0}  # all are set anew
