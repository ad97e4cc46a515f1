"""What is known of a store, in an attribute of it: it does not refer back, and so keeps no store alive."""

from __future__ import annotations

from itertools import count
from typing import Any

from sandscope.instrumentation import Patches, Recorder
from sandscope_instrumentation_wasmtime._after_call import after_success

STATE = "_sandscope_store"
"""The attribute. A `Caller` has none, nor has a store that is older than the instrumentation."""

SANDBOX_ID = "wasm.sandbox.id"

_LIMITS = ("memory_size", "table_elements", "instances", "tables", "memories")
"""The arguments of ``Store.set_limits``; what is negative is no limit."""

_ids = count(1)


class StoreState:
    """One sandbox: what all instances in a store share.

    Attributes:
        recorder: takes all that is measured of it, to its end: what was added is subtracted where it was.
        id: counts the stores of this process.
        instances: made in it so far; they end with it.
        memories: that its instances export, by their identity.
        memory: bytes of these when they were last read.
        maxima: bytes that each may grow to by its own declaration, if that says so.
        limits: that were set, by the names of the arguments of ``set_limits``.
        reported_limit: bytes that are in the metric for all of its memories.
        fuel: the engine counts fuel, and it is to be measured.
        fuel_given: what the host put in last.
        fuel_added: what was put in during the call that runs now.
        granted: capabilities that its WASI configuration gives.
        running: a call or instantiation that is measured runs in it.
        calls: measured so far.
        skip: calls to come that are not measured.
    """

    __slots__ = (
        "calls",
        "fuel",
        "fuel_added",
        "fuel_given",
        "granted",
        "id",
        "instances",
        "limits",
        "maxima",
        "memories",
        "memory",
        "recorder",
        "reported_limit",
        "running",
        "skip",
    )

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.id = next(_ids)
        self.instances = self.memory = self.reported_limit = self.calls = self.skip = self.fuel_added = 0
        self.memories: dict[tuple[int, ...], Any] = {}
        self.maxima: list[int | None] = []
        self.limits: dict[str, int] = {}
        self.fuel_given: int | None = None
        self.granted: set[str] = set()
        self.fuel = self.running = False


def patch(wasmtime: Any, patches: Patches, recorder: Recorder) -> None:
    """Give each new store its state, and keep its limits there."""

    def made(_: None, store: Any, *_args: Any, **_kwargs: Any) -> None:
        setattr(store, STATE, StoreState(recorder))

    patches.replace(wasmtime.Store, "__init__", after_success("wasmtime.store", made))
    patches.replace(wasmtime.Store, "set_limits", after_success("wasmtime.store", _limited))


def state_of(store: Any) -> StoreState | None:
    """Return what is known of a store, or None."""
    state: StoreState | None = getattr(store, STATE, None)
    return state


def _limited(_: None, store: Any, *args: int, **kwargs: int) -> None:
    state = state_of(store)
    if state is not None:
        given = {**dict(zip(_LIMITS, args, strict=False)), **kwargs}
        state.limits.update({name: limit for name, limit in given.items() if limit >= 0})
