"""The probe of one store: reads its memory where a call of a guest begins and ends, and records what it finds."""

from __future__ import annotations

from functools import wraps
from typing import Any
from weakref import WeakSet

from opentelemetry import context as otel
from opentelemetry.context import Context

from sandscope.instrumentation import Recorder, is_instrumentation_enabled, report_error
from sandscope_instrumentation_wasmtime._measures._store_state import state_of
from sandscope_instrumentation_wasmtime._probe import _denied_paths, _file_counts
from sandscope_instrumentation_wasmtime._probe._guest_output import GuestOutput
from sandscope_instrumentation_wasmtime._probe._probe_memory import Entries, ProbeMemory
from sandscope_instrumentation_wasmtime._probe._skip_reasons import PLACE

_ATTRIBUTE = "_sandscope_probe"

_DENIALS = 100
"""Records of denied paths in one outermost call; more are only counted."""


class StoreProbe:
    """What is known of a store whose guests have the probe. It never refers to the store.

    Attributes:
        memory: that the guests' counting modules write.
        guests: that have the probe.
        context: of the innermost call that runs in the store, or None.
    """

    def __init__(self, memory: ProbeMemory, recorder: Recorder, output: GuestOutput | None) -> None:
        self.memory = memory
        self.guests = 0
        self.context: Context | None = None
        self._recorder = recorder
        self._output = output
        self._denials_left = _DENIALS

    def enter(self, store: Any, outer: Context | None) -> None:
        """Begin a call. Never raises.

        Args:
            store: whose probe this is.
            outer: the context of the call around this one; None if it is the outermost.
        """
        self._read(store, outer)
        self.context = otel.get_current()
        if outer is None:
            self._denials_left = _DENIALS
            if self._output is not None:
                self._output.begin()

    def leave(self, store: Any, outer: Context | None) -> None:
        """End a call. Never raises.

        Args:
            store: whose probe this is.
            outer: as for `enter`.
        """
        context, self.context = self.context, outer
        self._read(store, context, is_end=outer is None)

    def _read(self, store: Any, context: Context | None, *, is_end: bool = False) -> None:
        try:
            entries = self.memory.take(store)
            if context is None:
                return  # it was written while wasmtime was not instrumented
            if entries is not None or (is_end and self._output is not None):
                self._record(store, entries, context, is_end=is_end)
        except ValueError:
            pass  # the store is closed
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error(PLACE, error)

    def _record(self, store: Any, entries: Entries | None, context: Context, *, is_end: bool) -> None:
        token = otel.attach(context)
        try:
            if not is_instrumentation_enabled():
                return
            if entries is not None:
                self._record_entries(store, entries)
            if is_end and self._output is not None:
                self._output.end()
        finally:
            otel.detach(token)

    def _record_entries(self, store: Any, entries: Entries) -> None:
        _file_counts.record(self._recorder, entries.counts)
        denials = entries.denials[: self._denials_left]
        self._denials_left -= len(denials)
        state = state_of(store)
        sandbox = None if state is None else state.number
        _denied_paths.record(self._recorder, denials, entries.counts["denied"], sandbox)
        if self._output is not None:
            self._output.take(entries.output, is_cut=entries.is_cut)


living: WeakSet[StoreProbe] = WeakSet()
"""The probes of all stores that live."""


def store_probe(store: Any) -> StoreProbe | None:
    """Return the probe of a store, or None."""
    probe: StoreProbe | None = getattr(store, _ATTRIBUTE, None)
    return probe


def add_probe(wasmtime: Any, store: Any, recorder: Recorder, *, output: bool) -> StoreProbe:
    """Give a store a probe.

    Raises:
        WasmtimeError: if the store cannot have another memory.
    """
    memory = ProbeMemory(wasmtime, store, output=output)
    probe = StoreProbe(memory, recorder, GuestOutput(recorder) if output else None)
    living.add(probe)
    setattr(store, _ATTRIBUTE, probe)
    return probe


def reading(original: Any) -> Any:
    """Return what wraps ``Func.__call__``, inside of the wrapper that records an execution."""

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        store = args[1] if len(args) > 1 else kwargs.get("store")
        probe = store_probe(store)
        if probe is None:
            return original(args[0], store) if len(args) == 2 and not kwargs else original(*args, **kwargs)
        outer = probe.context
        try:
            probe.enter(store, outer)
            if (
                len(args) == 2 and not kwargs
            ):  # takes less of the stack, which guests and host functions share
                return original(args[0], store)
            return original(*args, **kwargs)
        finally:  # even if the handler of a signal has raised in `enter`
            probe.leave(store, outer)

    return call
