"""Whether a linker and a store allow the probe: it never replaces the program's functions."""

from __future__ import annotations

from typing import Any

from sandscope.instrumentation import Patches
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._measures._store_state import state_of
from sandscope_instrumentation_wasmtime._probe import _skip_reasons
from sandscope_instrumentation_wasmtime._probe._skip_reasons import PLACE
from sandscope_instrumentation_wasmtime._probe._store_probe import living, store_probe
from sandscope_instrumentation_wasmtime._probe._wasi_functions import WASI

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

_IS_WASMTIMES = "_sandscope_wasi"
"""Of a linker: its WASI functions are all wasmtime's, or some are the program's."""

_MOST_GUESTS = 1000
"""Of a store: wasmtime allows ten thousand instances in one, and each guest gets two more."""
_MOST_STORES = 4096
"""wasmtime reserves 4 GiB of addresses for any memory: this is an eighth of what most machines have."""


def patch(wasmtime: Any, patches: Patches) -> None:
    """Follow what linkers define."""
    patches.replace(wasmtime.Linker, "define_wasi", after_success(PLACE, _wasi_defined))
    for method in ("define", "define_func", "define_instance", "define_module"):
        patches.replace(wasmtime.Linker, method, after_success(PLACE, _defined))


def reason_to_skip(linker: Any, store: Any) -> str | None:
    """Return why guests of a linker and a store get no probe, or None."""
    if not getattr(linker, _IS_WASMTIMES, False):
        return _skip_reasons.OTHER_WASI
    if state_of(store) is None:
        return _skip_reasons.OLDER_STORE
    probe = store_probe(store)
    if probe is not None:
        return _skip_reasons.FULL if probe.guests >= _MOST_GUESTS else None
    limited = resource is not None and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    return _skip_reasons.ADDRESS_SPACE if limited or len(living) >= _MOST_STORES else None


def _wasi_defined(_: None, linker: Any) -> None:
    vars(linker).setdefault(_IS_WASMTIMES, True)


def _defined(_: None, linker: Any, *args: Any, **kwargs: Any) -> None:
    if WASI in (*args[:2], *kwargs.values()):
        setattr(linker, _IS_WASMTIMES, False)
