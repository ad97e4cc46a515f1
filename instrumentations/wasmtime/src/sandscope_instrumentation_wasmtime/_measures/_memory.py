"""The linear memories that guests export: their size, and the size that limits let them grow to.

A size is read on the thread that makes a call, after the call: no other thread may touch a store.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sandscope.instrumentation import Measurement, Metric, Patches
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._measures._living_stores import living_stores
from sandscope_instrumentation_wasmtime._measures._store_state import StoreState, state_of

USAGE = Metric("wasm.memory.usage", "updowncounter", "By", "Memory that living guests export")
LIMIT = Metric("wasm.memory.limit", "updowncounter", "By", "Memory that limits let living guests have")
PAGE = 65536
"""Bytes of a page, where a memory type does not say."""

_MOST = 1 << 48
"""Bytes: a guest may declare a maximum beyond any address space, and beyond OTLP's integers."""


def patch(wasmtime: Any, patches: Patches) -> None:
    """Follow the memories of stores."""
    patches.replace(wasmtime.Store, "set_limits", after_success("wasmtime.memory", _limited))
    patches.replace(wasmtime.Memory, "grow", after_success("wasmtime.memory", _grown))


def read(state: StoreState, store: Any) -> int | None:
    """Return the bytes of a store's memories now, or None if it has none, and let the metric follow."""
    if not state.memories:
        return None
    size = 0
    for memory in state.memories:
        size += memory.data_len(store)
    if size != state.memory:
        living_stores.add(state)
        state.recorder.measure_all(_usage(size - state.memory))
        state.memory = size
    return size


@lru_cache(1024)
def _usage(change: int) -> tuple[Measurement, ...]:
    return ((USAGE, change, None),)


def follow(state: StoreState, store: Any, memories: tuple[Any, ...], maxima: tuple[int | None, ...]) -> None:
    """Follow memories that an instance exports.

    Args:
        state: of the store.
        store: that they are in.
        memories: no two of them the same, and none that is followed already.
        maxima: of the memories, as `maximum_of` returns them.
    """
    state.memories += memories
    state.maxima += maxima
    state.skip = 0
    read(state, store)
    _report_limit(state)


def follow_others(state: StoreState, store: Any, memories: Sequence[tuple[Any, int | None]]) -> None:
    """Follow those memories that an instance exports and that are not followed already."""
    known = {identity_of(memory) for memory in state.memories}
    others = [each for each in memories if identity_of(each[0]) not in known]
    if others:
        follow(state, store, tuple(memory for memory, _ in others), tuple(maximum for _, maximum in others))


def release(state: StoreState) -> tuple[int, int]:
    """Stop following a store's memories. Return the bytes that they and their limits had in the metrics."""
    reported = state.memory, state.reported_limit
    state.memory = state.reported_limit = 0
    state.memories = state.maxima = ()
    return reported


def maximum_of(memory: Any, store: Any) -> int | None:
    """Return the bytes that a memory may grow to by its own declaration; None if there is no maximum."""
    kind = memory.type(store)
    pages: int | None = kind.limits.max
    return None if pages is None else pages * int(getattr(kind, "page_size", PAGE))


def identity_of(memory: Any) -> tuple[int, ...]:
    """Return what tells the memories of one store apart: a guest may export one under many names."""
    raw = memory._memory
    return getattr(raw._anon_1, "__private1"), getattr(raw, "__private2")


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
    maxima = state.maxima or (None,)
    if of_store is None and maxima == (None,) and not state.reported_limit:
        return
    limits = [_smaller(maximum, of_store) for maximum in maxima]
    limit = sum(limit for limit in limits if limit is not None)
    if limit != state.reported_limit:
        living_stores.add(state)
        state.recorder.measure(LIMIT, limit - state.reported_limit)
        state.reported_limit = limit


def _smaller(*limits: int | None) -> int | None:
    known = [limit for limit in limits if limit is not None]
    return min(*known, _MOST) if known else None
