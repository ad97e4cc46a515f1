"""Puts gate and meter around a guest that a linker instantiates."""

from __future__ import annotations

from functools import wraps
from typing import Any

from sandscope.instrumentation import Recorder, report_error
from sandscope_instrumentation_wasmtime._probe import _limits, _skip_reasons, _space
from sandscope_instrumentation_wasmtime._probe._linkers import has_plain_wasi
from sandscope_instrumentation_wasmtime._probe._noting import PLACE
from sandscope_instrumentation_wasmtime._probe._originals import Originals
from sandscope_instrumentation_wasmtime._probe._plan import Plan, plan_of
from sandscope_instrumentation_wasmtime._probe._probed_store import make_probed, probed
from sandscope_instrumentation_wasmtime._probe._shims import shims_of
from sandscope_instrumentation_wasmtime._probe._skip_reasons import Aside
from sandscope_instrumentation_wasmtime._probe._syscalls import SYSCALLS, WASI

_MOST_GUESTS = 1000
"""A store: wasmtime allows ten thousand instances in one, and each guest gets two more."""


class Insertion:
    """Makes what replaces ``Linker.instantiate``."""

    def __init__(self, originals: Originals, recorder: Recorder, *, output: bool) -> None:
        self._originals = originals
        self._recorder = recorder
        self._output = output
        self._aside = Aside()

    def wrap(self, original: Any) -> Any:
        """Return what tries with the probe and, where that cannot be or fails, does what wasmtime does."""

        @wraps(original)
        def instantiate(linker: Any, *args: Any, **kwargs: Any) -> Any:
            instance = None
            try:
                instance = self._try(linker, *args, **kwargs)
            except ValueError:  # something is closed: wasmtime says so
                pass
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error(PLACE, error)
            return original(linker, *args, **kwargs) if instance is None else instance

        return instantiate

    def prepared(self, _prepared: Any, _linker: Any, module: Any) -> None:
        """Say that guests instantiated otherwise are left alone."""
        if plan_of(self._originals.wasmtime, module) is not None:
            self._aside.say(_skip_reasons.PREPARED)

    def _try(self, linker: Any, store: Any = None, module: Any = None, *more: Any, **unknown: Any) -> Any:
        wasmtime = self._originals.wasmtime
        right = isinstance(store, wasmtime.Store) and isinstance(module, wasmtime.Module)
        if not right or more or unknown or linker.engine is not store.engine:
            return None  # wasmtime says what is wrong
        plan = plan_of(wasmtime, module)
        if plan is None:
            return None
        reason = plan if isinstance(plan, str) else self._obstacle(linker, store)
        if reason is not None:
            self._aside.say(reason)
            return None
        assert isinstance(plan, Plan)  # noqa: S101 -- or there was a reason
        try:
            return self._instantiate(linker, store, module, plan)
        except (wasmtime.WasmtimeError, wasmtime.Trap):
            return None  # wasmtime says why, in its own words

    def _obstacle(self, linker: Any, store: Any) -> str | None:
        if not has_plain_wasi(linker):
            return _skip_reasons.OTHER_WASI
        if not _limits.is_known(store):
            return _skip_reasons.OLDER_STORE
        if not _limits.leaves_room(store):
            return _skip_reasons.LIMITED
        if shims_of(self._originals, store.engine).metered:
            return _skip_reasons.METERED
        found = probed(store)
        if found is None:
            return None if _space.is_left() else _skip_reasons.SPACE
        return _skip_reasons.FULL if found.guests >= _MOST_GUESTS else None

    def _instantiate(self, linker: Any, store: Any, module: Any, plan: Plan) -> Any:
        originals = self._originals
        try:
            gate, meter = shims_of(originals, store.engine).pair(store.engine, plan.names)
        except originals.wasmtime.WasmtimeError:
            self._aside.say(_skip_reasons.REFUSED)
            return None
        real = {name: originals.get(linker, store, WASI, name) for name in plan.names}
        others = [
            None if owner == WASI and name in SYSCALLS else originals.get(linker, store, owner, name)
            for owner, name in plan.imports
        ]
        found = probed(store)
        if found is None:
            found = make_probed(originals.wasmtime, store, self._recorder, output=self._output)
            _limits.take(store, memories=1)
        found.guests += 1
        found.asks = found.asks or "environ_get" in plan.names
        _limits.take(store, instances=2, tables=1)
        opened = originals.instantiate(store, gate, [])
        imports = [
            originals.export(store, opened, name) if other is None else other
            for (_, name), other in zip(plan.imports, others, strict=True)
        ]
        guest = originals.instantiate(store, module, imports)
        memory, table = originals.export(store, guest, "memory"), originals.export(store, opened, "table")
        fixed = [memory, found.ledger.memory, table]
        originals.instantiate(store, meter, [*fixed, *(real[name] for name in plan.names)])
        return guest
