"""The probe: two wasm modules between a guest and WASI that count calls and keep what the host is to record.

The guest's imports from ``wasi_snapshot_preview1`` lead to *trampolines*, through their table to the *counting
module*, and from there to wasmtime. The counting module writes to a memory that the host reads after each call.

    guest --> trampolines --table--> counting module --> wasmtime's WASI
                                          |
                                     probe's memory <-- host, when a call begins and ends

No Python runs inside a call of WASI: wasmtime's callback would lose what a signal's handler raises there.
"""

from __future__ import annotations

from typing import Any

from sandscope.instrumentation import Patches, Recorder
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._probe import (
    _module_inspection,
    _preconditions,
    _store_limits,
    _uncached,
)
from sandscope_instrumentation_wasmtime._probe._insertion import Insertion
from sandscope_instrumentation_wasmtime._probe._skip_reasons import PLACE
from sandscope_instrumentation_wasmtime._probe._store_probe import reading, store_probe
from sandscope_instrumentation_wasmtime._probe._unpatched import Unpatched


def patch(wasmtime: Any, patches: Patches, recorder: Recorder, *, output: bool) -> None:
    """Switch the probe on; to be called before anything else is patched.

    Args:
        wasmtime: the package.
        patches: takes what is replaced.
        recorder: gets metrics and log records.
        output: also record what guests write to stdout and stderr.
    """
    insertion = Insertion(Unpatched(wasmtime), recorder, output=output)
    _module_inspection.patch(wasmtime, patches)
    _preconditions.patch(wasmtime, patches)
    _store_limits.patch(wasmtime, patches)
    _uncached.patch(wasmtime, patches)
    patches.replace(wasmtime.Store, "set_wasi", after_success(PLACE, _wasi_set))
    patches.replace(wasmtime.Linker, "instantiate", insertion.wrap)
    patches.replace(wasmtime.Linker, "instantiate_pre", after_success(PLACE, insertion.prepared))
    patches.replace(wasmtime.Func, "__call__", reading)


def _wasi_set(_: None, store: Any, *_args: Any, **_kwargs: Any) -> None:
    probe = store_probe(store)
    if probe is not None:
        probe.memory.reset_streams(store)
