"""What the probe knows of a store, and does at the start and the end of each call in it."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as otel
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from sandscope.instrumentation import Recorder
from sandscope_instrumentation_wasmtime._measures._store_state import state_of
from sandscope_instrumentation_wasmtime._probe import _counts, _denied, _space
from sandscope_instrumentation_wasmtime._probe._environ import NOTHING, Environ
from sandscope_instrumentation_wasmtime._probe._layout import COUNTERS
from sandscope_instrumentation_wasmtime._probe._ledger import Entries, Ledger
from sandscope_instrumentation_wasmtime._probe._output import Output
from sandscope_instrumentation_wasmtime._wasi import carried_by

_ATTRIBUTE = "_sandscope_probe"

_DENIALS = 100
"""Records of refused paths in one outermost call; more are only counted."""


class Probed:
    """A store with guests that the probe stands around. It never refers to the store.

    Attributes:
        ledger: what the meters write.
        guests: how many there were.
        asks: one of them may ask for its environment.
    """

    __slots__ = (
        "_contexts",
        "_denials",
        "_environ",
        "_output",
        "_recorder",
        "_sandbox",
        "asks",
        "guests",
        "ledger",
    )

    def __init__(
        self, recorder: Recorder, ledger: Ledger, output: Output | None, sandbox: int | None
    ) -> None:
        self.ledger = ledger
        self.guests = 0
        self.asks = False
        self._recorder = recorder
        self._sandbox = sandbox
        self._environ = Environ()
        self._output = output
        self._contexts: list[Context | None] = []
        self._denials = 0

    def enter(self, store: Any) -> None:
        """Begin a call, in its context."""
        self._contexts.append(otel.get_current() if is_instrumentation_enabled() else None)
        if len(self._contexts) > 1:
            self._report(store, self._contexts[-2])
        else:
            self._denials = _DENIALS
            if self._output is not None:
                self._output.begin()
        self._continue(store)

    def leave(self, store: Any) -> None:
        """End a call."""
        if not self._contexts:
            return  # a signal came before it had begun
        context = self._contexts.pop()
        self._report(store, context, last=not self._contexts)
        self._continue(store)

    def _continue(self, store: Any) -> None:
        """Let guests go on in the innermost call's context, or keep and find nothing if there is none."""
        context = self._contexts[-1] if self._contexts else None
        room, block = 0, NOTHING
        if context is not None:
            carried = carried_by(store) if self.asks else None
            if carried is not None:
                block = self._environ.block(carried, context)
            if self._output is not None:
                room = self._output.room
        self.ledger.open(store, room, block)

    def _report(self, store: Any, context: Context | None, *, last: bool = False) -> None:
        entries = self.ledger.take(store)
        flush = last and self._output is not None and self._output.has_rest
        if context is None or (entries is None and not flush):
            return
        token = otel.attach(context)
        try:
            if entries is not None:
                self._record(entries)
            if last and self._output is not None:
                self._output.end()
        finally:
            otel.detach(token)

    def _record(self, entries: Entries) -> None:
        _counts.record(self._recorder, entries.counts)
        described = entries.denials[: self._denials]
        self._denials -= len(described)
        denied = entries.counts[COUNTERS.index("denied")]
        _denied.record(self._recorder, described, denied, self._sandbox)
        if self._output is not None:
            self._output.take(entries.output, is_cut=entries.is_cut)


def probed(store: Any) -> Probed | None:
    """Return what the probe knows of a store, or None."""
    found: Probed | None = getattr(store, _ATTRIBUTE, None)
    return found


def make_probed(wasmtime: Any, store: Any, recorder: Recorder, *, output: bool) -> Probed:
    """Give a store a ledger.

    Raises:
        WasmtimeError: if the store has no room for one.
    """
    ledger = Ledger(wasmtime, store)
    _space.note(ledger)
    state = state_of(store)
    made = Probed(
        recorder, ledger, Output(recorder) if output else None, None if state is None else state.number
    )
    setattr(store, _ATTRIBUTE, made)
    return made
