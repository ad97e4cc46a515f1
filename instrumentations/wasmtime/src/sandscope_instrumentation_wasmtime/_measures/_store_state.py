"""What is known of a store, in an attribute of it: it does not refer back, and so keeps no store alive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import wraps
from itertools import count
from types import MappingProxyType
from typing import Any, TypeAlias

from sandscope.instrumentation import Metric, Patches, Recorder, SharedDetails, Site, report_error
from sandscope_instrumentation_wasmtime._after_call import after_success

STATE = "_sandscope_store"
"""The attribute. A `Caller` has none, nor has a store that is older than the instrumentation."""

SANDBOX_ID = "wasm.sandbox.id"
_BYTES = tuple(float(1 << exponent) for exponent in (16, 18, 20, 22, 24, 26, 28, 30, 32))
PEAK = Metric(
    "wasm.memory.peak", "histogram", "By", "Memory that a store's guests export, when a call ends", _BYTES
)
"""Also an attribute. Linear memory never shrinks: its size is its peak."""
SANDBOX_PEAK = Metric(
    "wasm.sandbox.memory.peak",
    "histogram",
    "By",
    "Memory that a store's guests export, when the store ends",
    _BYTES,
)

_LIMITS = ("memory_size", "table_elements", "instances", "tables", "memories")
"""The arguments of ``Store.set_limits``; a negative one sets no limit."""

_ids = count(1)

Functions: TypeAlias = "tuple[tuple[int, Site], ...]"
"""Functions that a module exports: their positions among the exports, and the sites of their calls."""


class StoreState(SharedDetails):
    """One sandbox: what all instances in a store, and all calls of their functions, have in common.

    A request may make a store, an instance and one call: what most stores do not have is a default of the class.

    Attributes:
        recorder: takes all measurements of the store, to its end, so that sums that rise also fall.
        instances: that were made in it; they end with it.
        memories: that its instances export.
        memory: bytes of these when they were last read.
        sized: the details of calls after which the memories had the size that was read last.
        maxima: bytes that each may grow to by its own declaration, None where there is no maximum.
        limits: that were set, by the names of the arguments of ``set_limits``.
        probe_made: what the probe has made of what limits count, by the names of the arguments of ``set_limits``.
        reported_limit: bytes that the limits of its memories add to the metric.
        exported: exports that the guest or host may hand out, each with the sites of its functions by position.
        functions: the sites of such functions by the engine's id, of exports that are no longer in `exported`.
        engine_id: the engine's own number of the store, if it has such exports.
        fuel: the engine counts fuel, and it is to be measured.
        fuel_given: what the host put in last.
        epoch_deadline: ticks after which the engine interrupts, as the host set it last.
        fuel_added: what was put in during the call that runs now.
        granted: capabilities that its WASI configuration gives.
        calls: that were measured.
    """

    keys = (SANDBOX_ID,)
    instances = memory = reported_limit = calls = fuel_added = engine_id = 0
    memories: tuple[Any, ...] = ()
    maxima: tuple[int | None, ...] = ()
    limits: Mapping[str, int] = MappingProxyType({})
    probe_made: Mapping[str, int] = MappingProxyType({})
    sized: _SizedDetails | None = None
    exported: tuple[tuple[Sequence[Any], Functions], ...] = ()
    functions: Mapping[int, Site] = MappingProxyType({})
    fuel_given: int | None = None
    epoch_deadline: int | None = None
    granted: frozenset[str] = frozenset()
    fuel = False

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.numbers = (next(_ids),)

    @property
    def number(self) -> int:
        """The number of the store, counted in this process."""
        return self.numbers[0]

    def with_memory(self, size: int) -> SharedDetails:
        """Return the details of a call after which the memories of the store had a size, in bytes."""
        if self.sized is None or self.sized.numbers[1] != size:
            self.sized = _SizedDetails(self.number, size)
        return self.sized


class _SizedDetails(SharedDetails):
    """What calls of a store have in common while the size of its memories does not change."""

    __slots__ = ("numbers",)

    keys = (SANDBOX_ID, PEAK.name)

    def __init__(self, number: int, size: int) -> None:
        self.numbers = (number, size)

    @property
    def measurements(self) -> Mapping[Metric, float]:  # type: ignore[override]
        """The peak as a measurement of each call."""
        return {PEAK: self.numbers[1]}


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
