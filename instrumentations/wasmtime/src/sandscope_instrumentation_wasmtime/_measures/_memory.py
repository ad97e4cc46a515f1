"""The linear memories that guests export: their size, and the size that limits let them grow to.

A size is read on the thread that makes a call, when that has ended: no other may touch a store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import Metric, Patches
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._measures._store_state import StoreState, state_of

USAGE = Metric("wasm.memory.usage", "updowncounter", "By", "Memory that living guests export")
LIMIT = Metric("wasm.memory.limit", "updowncounter", "By", "Memory that limits let living guests have")
SIZE = "wasm.memory.size"

PAGE = 65536
"""Bytes of a page, where a memory type does not say."""

_MOST = 1 << 48
"""Bytes: a guest may declare a maximum beyond any address space, and beyond OTLP's integers."""


def patch(wasmtime: Any, patches: Patches) -> None:
    """Follow the memories of stores."""
    exports = wasmtime._instance.InstanceExports
    patches.replace(exports, "__init__", after_success("wasmtime.memory", _exported(wasmtime.Memory)))
    patches.replace(wasmtime.Store, "set_limits", after_success("wasmtime.memory", _limited))
    patches.replace(wasmtime.Memory, "grow", after_success("wasmtime.memory", _grown))


def read(state: StoreState, store: Any) -> int | None:
    """Return the bytes of a store's memories now, or None if it has none, and let the metric follow."""
    if not state.memories:
        return None
    size: int = sum(memory.data_len(store) for memory in state.memories.values())
    if size != state.memory:
        state.recorder.measure(USAGE, size - state.memory)
        state.memory = size
    return size


def release(state: StoreState) -> None:
    """Take what a store had out of the metrics; also in a finaliser."""
    if state.memory:
        state.recorder.measure(USAGE, -state.memory)
    if state.reported_limit:
        state.recorder.measure(LIMIT, -state.reported_limit)
    state.memory = state.reported_limit = 0
    state.memories, state.maxima = {}, []


def _exported(memory: Any) -> Callable[..., None]:
    def exported(_: None, exports: Any, store: Any, instance: Any) -> None:
        state = state_of(store)
        if state is None:
            return
        for export in exports.by_index:
            if isinstance(export, memory) and (identity := _identity(export)) not in state.memories:
                state.memories[identity] = export
                state.maxima.append(_maximum(export.type(store)))
                state.skip = 0
        read(state, store)
        _report_limit(state)

    return exported


def _limited(_: None, store: Any, *_args: Any, **_kwargs: Any) -> None:
    state = state_of(store)
    if state is not None:
        _report_limit(state)


def _grown(_before: int, _memory: Any, store: Any, *_args: Any, **_kwargs: Any) -> None:
    state = state_of(store)
    if state is not None:
        read(state, store)


def _report_limit(state: StoreState) -> None:
    of_store = state.limits.get("memory_size")
    limits = [_smaller(maximum, of_store) for maximum in state.maxima or [None]]
    limit = sum(limit for limit in limits if limit is not None)
    if limit != state.reported_limit:
        state.recorder.measure(LIMIT, limit - state.reported_limit)
        state.reported_limit = limit


def _smaller(*limits: int | None) -> int | None:
    known = [limit for limit in limits if limit is not None]
    return min(*known, _MOST) if known else None


def _maximum(kind: Any) -> int | None:
    pages: int | None = kind.limits.max
    return None if pages is None else pages * int(getattr(kind, "page_size", PAGE))


def _identity(memory: Any) -> tuple[int, ...]:
    """Tell memories of one store apart: a guest may export one under many names."""
    raw = memory._memory
    return getattr(raw._anon_1, "__private1"), getattr(raw, "__private2")
