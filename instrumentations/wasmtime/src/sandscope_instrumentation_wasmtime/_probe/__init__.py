"""The probe: wasm of our own around a guest's WASI, which counts, and keeps what the host is to record.

The guest's imports from ``wasi_snapshot_preview1`` lead to a *gate*, through its table to a *meter*, and from
there to wasmtime. The meter writes a *ledger*, a memory of the store's, that the host reads after each call.

    guest --> gate --table--> meter --> wasmtime's WASI
                                |
                              ledger <-- host, before and after a call

No Python runs inside a WASI call, so no signal, lock or exception of Python's can get into one.
"""

from __future__ import annotations

from typing import Any

from sandscope.instrumentation import Patches, Recorder
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._probe import _binary, _limits, _linkers
from sandscope_instrumentation_wasmtime._probe._insert import Insertion
from sandscope_instrumentation_wasmtime._probe._noting import PLACE
from sandscope_instrumentation_wasmtime._probe._originals import Originals
from sandscope_instrumentation_wasmtime._probe._probed_store import probed
from sandscope_instrumentation_wasmtime._probe._wasi_calls import reading


def patch(wasmtime: Any, patches: Patches, recorder: Recorder, *, output: bool) -> None:
    """Switch the probe on; to be called before anything else is patched.

    Args:
        wasmtime: the package.
        patches: takes what is replaced.
        recorder: gets metrics and log records.
        output: also record what guests write to stdout and stderr.
    """
    insertion = Insertion(Originals(wasmtime), recorder, output=output)
    _binary.patch(wasmtime, patches)
    _linkers.patch(wasmtime, patches)
    _limits.patch(wasmtime, patches)
    patches.replace(wasmtime.Store, "set_wasi", after_success(PLACE, _streams_renewed))
    patches.replace(wasmtime.Linker, "instantiate", insertion.wrap)
    patches.replace(wasmtime.Linker, "instantiate_pre", after_success(PLACE, insertion.prepared))
    patches.replace(wasmtime.Func, "__call__", lambda original: reading(original, wasmtime.WasmtimeError))


def _streams_renewed(_: None, store: Any, *_args: Any, **_kwargs: Any) -> None:
    found = probed(store)
    if found is not None:
        found.ledger.trust_stdio(store)
