"""Whether a linker and a store allow the probe: it never replaces the program's functions, nor uses up its limits."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import Any

from sandscope.instrumentation import Patches
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._measures._store_state import state_of
from sandscope_instrumentation_wasmtime._probe import _probe_memory, _skip_reasons
from sandscope_instrumentation_wasmtime._probe._skip_reasons import PLACE
from sandscope_instrumentation_wasmtime._probe._store_probe import living, store_probe
from sandscope_instrumentation_wasmtime._probe._wasi_functions import NAMES, WASI

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

_IS_WASMTIMES = "_sandscope_wasi"
"""Of a linker: its WASI functions are all wasmtime's, or some are the program's."""
_LIMITS = "_sandscope_limits"
"""Of a store: the limits that the program set last."""

_MOST_GUESTS = 1000
"""Of a store: wasmtime allows ten thousand instances in one, and each guest gets two more."""
_MOST_STORES = 4096
"""wasmtime reserves 4 GiB of addresses for any memory: this is an eighth of what most machines have."""


def patch(wasmtime: Any, patches: Patches) -> None:
    """Follow what linkers define and what stores limit."""
    patches.replace(wasmtime.Linker, "define_wasi", after_success(PLACE, _wasi_defined))
    for method in ("define", "define_func", "define_instance", "define_module"):
        patches.replace(wasmtime.Linker, method, after_success(PLACE, _defined))
    patches.replace(wasmtime.Store, "set_limits", _raising_limits)


def reason_to_skip(linker: Any, store: Any) -> str | None:
    """Return why guests of a linker and a store get no probe, or None."""
    if not getattr(linker, _IS_WASMTIMES, False):
        return _skip_reasons.OTHER_WASI
    if state_of(store) is None:
        return _skip_reasons.OLDER_STORE
    if not _leaves_room(getattr(store, _LIMITS, {})):
        return _skip_reasons.LIMITED
    probe = store_probe(store)
    if probe is not None:
        return _skip_reasons.FULL if probe.guests >= _MOST_GUESTS else None
    limited = resource is not None and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    return _skip_reasons.ADDRESS_SPACE if limited or len(living) >= _MOST_STORES else None


def _leaves_room(limits: dict[str, int]) -> bool:
    return (
        not limits.keys() & {"instances", "tables", "memories"}
        and limits.get("memory_size", _probe_memory.SIZE) >= _probe_memory.SIZE
        and limits.get("table_elements", len(NAMES)) >= len(NAMES)
    )


def _wasi_defined(_: None, linker: Any) -> None:
    vars(linker).setdefault(_IS_WASMTIMES, True)


def _defined(_: None, linker: Any, *args: Any, **kwargs: Any) -> None:
    if WASI in (*args[:2], *kwargs.values()):
        setattr(linker, _IS_WASMTIMES, False)


def _raising_limits(original: Any) -> Any:
    """Raise limits that are set later by what the probe has made, so that guests get all that the program allows."""
    signature = inspect.signature(original)

    @wraps(original)
    def set_limits(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(self, *args, **kwargs)
        except TypeError:
            return original(self, *args, **kwargs)  # which says what is wrong
        limits = {name: value for name, value in given.arguments.items() if _is_limit(value)}
        probe = store_probe(self)
        for name, count in () if probe is None else probe.made().items():
            if name in limits:
                given.arguments[name] += count
        result = original(*given.args, **given.kwargs)
        setattr(self, _LIMITS, limits)
        return result

    return set_limits


def _is_limit(value: Any) -> bool:
    return isinstance(value, int) and value >= 0
