"""Puts the probe's modules around a guest that a linker instantiates."""

from __future__ import annotations

from functools import wraps
from typing import Any

from sandscope.instrumentation import Recorder, report_error
from sandscope_instrumentation_wasmtime._probe import _skip_reasons
from sandscope_instrumentation_wasmtime._probe._compiled_modules import compiled_modules
from sandscope_instrumentation_wasmtime._probe._module_inspection import Imports, probed_imports
from sandscope_instrumentation_wasmtime._probe._preconditions import reason_to_skip
from sandscope_instrumentation_wasmtime._probe._skip_reasons import PLACE, SkipReasons
from sandscope_instrumentation_wasmtime._probe._store_probe import add_probe, store_probe
from sandscope_instrumentation_wasmtime._probe._unpatched import Unpatched
from sandscope_instrumentation_wasmtime._probe._wasi_functions import FUNCTIONS, WASI


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
            instance = reason = None
            try:
                instance, reason = self._try(linker, *args, **kwargs)
            except ValueError:  # something is closed: wasmtime says so
                pass
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error(PLACE, error)
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
        probe = store_probe(store) or add_probe(
            unpatched.wasmtime, store, self._recorder, output=self._output
        )
        probe.guests += 1
        entry = unpatched.exports(store, unpatched.instance(store, trampolines, []))
        guest = unpatched.instance(
            store, module, [others[each] if each in others else entry[each[1]] for each in imports.all]
        )
        memory = unpatched.exports(store, guest)["memory"]
        unpatched.instance(store, counting, [memory, probe.memory.memory, entry["table"], *wasi])
        return guest
