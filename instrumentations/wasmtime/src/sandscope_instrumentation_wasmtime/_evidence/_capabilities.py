"""What guests ask for by their imports, and what their WASI configuration gives them of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sandscope.instrumentation import CAPABILITY_REQUESTS, Patches, Recorder, Value
from sandscope_instrumentation_wasmtime._after_call import following
from sandscope_instrumentation_wasmtime._measures._store_state import StoreState, state_of

CAPABILITY = "sandbox.capability"
GRANTED = "sandbox.capability.granted"

_WANTED = "_sandscope_capabilities"
"""The attribute of a module, component or prepared instance that keeps what it asks for."""
_GRANTED = "_sandscope_granted"
"""The attribute of a WASI configuration that keeps what it gives."""

_BY_PREVIEW_1 = (  # the first prefix of a function's name that fits
    ("fd_write", "stdio"),
    ("fd_readdir", "filesystem"),
    ("fd_read", "stdio"),
    ("fd_", "filesystem"),
    ("path_", "filesystem"),
    ("sock_", "network"),
    ("environ_", "environment"),
    ("args_", "arguments"),
    ("clock_", "clock"),
    ("poll_", "clock"),
    ("random_", "random"),
    ("proc_", "process"),
    ("sched_", "process"),
)
_BY_INTERFACE = (  # the first prefix of a component's import that fits
    ("wasi:cli/environment", "environment"),
    ("wasi:cli/exit", "process"),
    ("wasi:cli/", "stdio"),
    ("wasi:clocks/", "clock"),
    ("wasi:filesystem/", "filesystem"),
    ("wasi:http/", "network"),
    ("wasi:random/", "random"),
    ("wasi:sockets/", "network"),
)
_PREVIEW_1 = {"wasi_snapshot_preview1", "wasi_unstable"}
_MECHANISMS = ("wasi:io/",)
"""Interfaces that give nothing by themselves."""
_CONFIGURED = {"arguments", "environment", "filesystem", "network", "stdio"}
"""What a linked guest has only if its store's WASI configuration gives it; it always has all else."""

_GRANTS = {
    "preopen_dir": "filesystem",
    "argv": "arguments",
    "inherit_argv": "arguments",
    "env": "environment",
    "inherit_env": "environment",
    **{
        f"{how}_{stream}" if how == "inherit" else f"{stream}_{how}": "stdio"
        for stream in ("stdin", "stdout", "stderr")
        for how in ("file", "custom", "inherit")
    },
}
_REQUESTS: dict[tuple[str, bool], dict[str, Value]] = {
    (capability, granted): {"sandbox.runtime": "wasmtime", CAPABILITY: capability, GRANTED: granted}
    for capability in (*dict.fromkeys(found for _, found in (*_BY_PREVIEW_1, *_BY_INTERFACE)), "host")
    for granted in (True, False)
}


def patch(wasmtime: Any, patches: Patches) -> None:
    """Note what WASI configurations give, and to which store."""
    for name, capability in _GRANTS.items():
        patches.replace(wasmtime.WasiConfig, name, following("wasmtime.capabilities", _giving(capability)))
    patches.replace(wasmtime.Store, "set_wasi", following("wasmtime.capabilities", _given))
    patches.replace(wasmtime.Store, "set_wasi_http", following("wasmtime.capabilities", _given_http))
    patches.replace(wasmtime.Linker, "instantiate_pre", following("wasmtime.capabilities", _prepared))


def requested(
    recorder: Recorder, state: StoreState | None, linker: Any, source: Any, *, linked: bool
) -> None:
    """Count what a guest asks for when it gets an instance.

    Args:
        recorder: gets the counts.
        state: of its store, if that is known.
        linker: that looks its imports up, if one does.
        source: a module, a component, or an instance that was prepared from a module.
        linked: all its imports were there.
    """
    given = () if state is None else state.granted
    for capability in _wanted_by(source, linker):
        granted = linked and (capability not in _CONFIGURED or capability in given)
        recorder.measure(CAPABILITY_REQUESTS, 1, _REQUESTS[capability, granted])


def capability_of(module: str, name: str) -> str | None:
    """Return what a guest asks for by an import, or None if it is nothing by itself.

    Args:
        module: of a core module's import; empty for a component's.
        name: of the import.
    """
    if module in _PREVIEW_1:
        return next((found for prefix, found in _BY_PREVIEW_1 if name.startswith(prefix)), "process")
    interface = module or name  # a component's core modules import interfaces as modules
    if interface.startswith(_MECHANISMS):
        return None
    return next((found for prefix, found in _BY_INTERFACE if interface.startswith(prefix)), "host")


def _wanted_by(source: Any, linker: Any = None) -> frozenset[str]:
    wanted: frozenset[str] | None = getattr(source, _WANTED, None)
    if wanted is None:
        found = {capability_of(module, name) for module, name in _imports(source, linker)}
        wanted = frozenset(capability for capability in found if capability is not None)
        setattr(source, _WANTED, wanted)
    return wanted


def _imports(source: Any, linker: Any) -> Iterable[tuple[str, str]]:
    from wasmtime import Module

    if isinstance(source, Module):
        return [(one.module, one.name or "") for one in source.imports]
    return [("", name) for name in source.type.imports(linker.engine)]


def _prepared(prepared: Any, _linker: Any, module: Any) -> None:
    setattr(prepared, _WANTED, _wanted_by(module))


def _giving(capability: str) -> Callable[..., None]:
    def giving(_: None, config: Any, *_args: Any, **_kwargs: Any) -> None:
        config.__dict__.setdefault(_GRANTED, set()).add(capability)

    return giving


def _given(_: None, store: Any, wasi: Any) -> None:
    state = state_of(store)
    if state is not None:
        state.granted |= getattr(wasi, _GRANTED, set())


def _given_http(_: None, store: Any) -> None:
    state = state_of(store)
    if state is not None:
        state.granted.add("network")
