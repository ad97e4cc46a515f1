"""Limits that the host sets and that the engine's messages do not tell: an epoch deadline, and the stack's size."""

from __future__ import annotations

from typing import Any

from sandscope.instrumentation import Patches
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._measures._store_state import state_of

_COMPONENT = "wasmtime.limits"
_STACK = "_sandscope_stack"
"""The attribute of a configuration, and then of its engine: bytes of the guests' stack, if the host has set it."""


def patch(wasmtime: Any, patches: Patches) -> None:
    """Remember the limits."""
    patches.replace(wasmtime.Store, "set_epoch_deadline", after_success(_COMPONENT, _deadline_set))
    patches.replace(wasmtime.Config, "max_wasm_stack", after_success(_COMPONENT, _stack_set))
    patches.replace(wasmtime.Engine, "__init__", after_success(_COMPONENT, _engine_made))


def stack_size(store: Any) -> int | None:
    """Return the bytes of the stack of a store's guests, or None if the host has not set it."""
    return getattr(getattr(store, "engine", None), _STACK, None)


def _deadline_set(_: None, store: Any, ticks_after_current: int) -> None:
    state = state_of(store)
    if state is not None:
        state.epoch_deadline = ticks_after_current


def _stack_set(_: None, config: Any, size: int) -> None:
    setattr(config, _STACK, size)


def _engine_made(_: None, engine: Any, config: Any = None) -> None:
    size = getattr(config, _STACK, None)
    if size is not None:
        setattr(engine, _STACK, size)
