"""Puts the probe's modules around a guest that a linker instantiates."""

from __future__ import annotations

from functools import wraps
from typing import Any

from sandscope.instrumentation import Recorder, report_error
from sandscope_instrumentation_wasmtime._evidence._limit_messages import is_limit_message
from sandscope_instrumentation_wasmtime._probe import _skip_reasons
from sandscope_instrumentation_wasmtime._probe._compiled_modules import compiled_modules
from sandscope_instrumentation_wasmtime._probe._module_inspection import Imports, probed_imports
from sandscope_instrumentation_wasmtime._probe._preconditions import reason_to_skip
from sandscope_instrumentation_wasmtime._probe._skip_reasons import PLACE, SkipReasons
from sandscope_instrumentation_wasmtime._probe._store_limits import has_count_limits, room_for
from sandscope_instrumentation_wasmtime._probe._store_probe import add_probe, store_probe
from sandscope_instrumentation_wasmtime._probe._unpatched import Unpatched
from sandscope_instrumentation_wasmtime._probe._wasi_functions import FUNCTIONS, WASI


class _GuestError(Exception):
    """The guest cannot be instantiated, with or without the probe: the program gets `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Insertion:
    """Makes what replaces ``Linker.instantiate``."""

    def __init__(self, unpatched: Unpatched, recorder: Recorder, *, output: bool) -> None:
        self._unpatched = unpatched
        self._recorder = recorder
        self._output = output
        self._skipped = SkipReasons()

    def wrap(self, original: Any) -> Any:
        """Return what instantiates with the probe or, where that cannot be or fails, as wasmtime does."""

        @wraps(original)
        def instantiate(linker: Any, *args: Any, **kwargs: Any) -> Any:
            instance = reason = failure = None
            try:
                instance, reason = self._try(linker, *args, **kwargs)
            except _GuestError as error:
                failure = error.error
            except ValueError:  # something is closed: wasmtime says so
                pass
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error(PLACE, error)
            if failure is not None:
                raise failure
            if instance is None:
                instance = original(linker, *args, **kwargs)
            if reason is not None:
                self._skipped.warn(reason)
            return instance

        return instantiate

    def prepared(self, _prepared: Any, _linker: Any, module: Any) -> None:
        """Log that guests that are instantiated otherwise are skipped."""
        if probed_imports(self._unpatched.wasmtime, module) is not None:
            self._skipped.warn(_skip_reasons.PREPARED)

    def _try(
        self, linker: Any, store: Any = None, module: Any = None, *more: Any, **unknown: Any
    ) -> tuple[Any, str | None]:
        """Return an instance or None, and the reason for which there is none."""
        wasmtime = self._unpatched.wasmtime
        are_right = isinstance(store, wasmtime.Store) and isinstance(module, wasmtime.Module)
        if not are_right or more or unknown or linker.engine is not store.engine:
            return None, None  # wasmtime says what is wrong
        imports = probed_imports(wasmtime, module)
        if not isinstance(imports, Imports):
            return None, imports
        reason = reason_to_skip(linker, store)
        if reason is None and imports.may_start and has_count_limits(store):
            reason = _skip_reasons.UNKNOWN
        if reason is None and compiled_modules(self._unpatched, store.engine).is_metered:
            reason = _skip_reasons.METERED
        if reason is not None:
            return None, reason
        try:
            return self._instantiate(linker, store, module, imports), None
        except (wasmtime.WasmtimeError, wasmtime.Trap):
            return None, _skip_reasons.REFUSED  # or wasmtime raises it again without the probe

    def _instantiate(self, linker: Any, store: Any, module: Any, imports: Imports) -> Any:
        unpatched = self._unpatched
        trampolines, counting = compiled_modules(unpatched, store.engine).pair(store.engine, imports.names)
        wasi = [unpatched.linked(linker, store, WASI, name) for name in imports.names]
        others = {
            (owner, name): unpatched.linked(linker, store, owner, name)
            for owner, name in imports.all
            if owner != WASI or name not in FUNCTIONS
        }
        probe = store_probe(store)
        if probe is None:
            with room_for(unpatched, store):
                probe = add_probe(unpatched.wasmtime, store, self._recorder, output=self._output)
        probe.guests += 1
        with room_for(unpatched, store, instances=1, tables=1):
            entry = unpatched.exports(store, unpatched.instance(store, trampolines, []))
        given = [others[each] if each in others else entry[each[1]] for each in imports.all]
        guest = self._guest(store, module, given, may_start=imports.may_start)
        memory = unpatched.exports(store, guest)["memory"]
        with room_for(unpatched, store, instances=1):
            unpatched.instance(store, counting, [memory, probe.memory.memory, entry["table"], *wasi])
        return guest

    def _guest(self, store: Any, module: Any, given: list[Any], *, may_start: bool) -> Any:
        wasmtime = self._unpatched.wasmtime
        try:
            return self._unpatched.instance(store, module, given)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            # It has been counted in the store's limits: to instantiate it again would count it twice.
            if not may_start and (isinstance(error, wasmtime.Trap) or is_limit_message(error)):
                raise _GuestError(error) from error
            raise
