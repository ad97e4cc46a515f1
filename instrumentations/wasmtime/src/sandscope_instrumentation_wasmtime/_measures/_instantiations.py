"""Instantiations that run code of the guest, or fail: each is an execution, as a call is."""

from __future__ import annotations

from time import time_ns
from typing import Any

from sandscope.instrumentation import Execution, Recorder, report_error
from sandscope_instrumentation_wasmtime._evidence import _capabilities
from sandscope_instrumentation_wasmtime._evidence._host_errors import comes_from_engine
from sandscope_instrumentation_wasmtime._evidence._violations import unknown_import
from sandscope_instrumentation_wasmtime._measures._store_state import StoreState
from sandscope_instrumentation_wasmtime._nesting import nesting
from sandscope_instrumentation_wasmtime._settings import WasmtimeSettings
from sandscope_instrumentation_wasmtime._sites import COUNTED_INSTANTIATION, Guest, guest_of


class Instantiations:
    """Records instantiations. No method raises."""

    def __init__(self, recorder: Recorder, settings: WasmtimeSettings) -> None:
        self._recorder = recorder
        self._spans = settings.spans

    def begin(self, guest: Guest, state: StoreState | None) -> Execution | None:
        """Begin an instantiation that runs code.

        Args:
            guest: that is instantiated.
            state: of the store, if it is known.
        """
        traced = self._is_traced()
        execution = self._recorder.begin(guest.instantiation() if traced else COUNTED_INSTANTIATION)
        if execution is not None and traced:
            execution.details = state  # type: ignore[misc] # a slot of each recorder's class
            nesting.inside = self._spans == "outer"
        return execution

    def finish(self, execution: Execution) -> None:
        """End an instantiation that has made an instance."""
        self._leave(execution)
        execution.finish()

    def fail(
        self,
        execution: Execution | None,
        state: StoreState | None,
        source: Any,
        error: BaseException,
        seconds: float,
    ) -> None:
        """Record an instantiation that raised.

        Args:
            execution: what `begin` returned; None if the instantiation runs no code, as far as it is known.
            state: of the store, if it is known.
            source: the module, component or prepared instance.
            error: the exception.
            seconds: that it took.
        """
        if execution is not None:
            self._leave(execution)
        elif not comes_from_engine(error):
            return  # wasmtime has rejected the arguments
        else:
            execution = self._begin_late(state, source, seconds)
        if execution is not None:
            execution.fail(error)

    def refuse(self, state: StoreState | None, linker: Any, source: Any, error: BaseException) -> None:
        """Count the capabilities that a guest requested which was not started, as it has an unknown import."""
        try:
            if unknown_import(error) is not None:
                self._recorder.measure_all(_capabilities.requests(state, linker, source, linked=False))
        except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("wasmtime.instantiate", broken)

    def _begin_late(self, state: StoreState | None, source: Any, seconds: float) -> Execution | None:
        traced, site = self._is_traced(), COUNTED_INSTANTIATION
        try:
            site = guest_of(source).instantiation() if traced else site
        except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("wasmtime.instantiate", broken)
        execution = self._recorder.begin_at(site, time_ns() - int(seconds * 1e9))
        if execution is not None and traced and state is not None:
            execution.details = state  # type: ignore[misc] # as above
        return execution

    def _is_traced(self) -> bool:
        return self._spans == "all" or (self._spans == "outer" and not nesting.inside)

    def _leave(self, execution: Execution) -> None:
        if execution.site.traced:
            nesting.inside = False
