"""The capabilities that guests request by their imports, and those that their WASI configuration grants."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from sandscope.instrumentation import CAPABILITY_REQUESTS, Measurement, Patches, Value
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._measures._store_state import StoreState, state_of

CAPABILITY = "sandbox.capability"
GRANTED = "sandbox.capability.granted"
_COMPONENT = "wasmtime.capabilities"

REQUESTED = "_sandscope_capabilities"
"""An attribute of a module, component or prepared instance: the capabilities that it requests."""
_GRANTED = "_sandscope_granted"
"""An attribute of a WASI configuration: the capabilities that it grants."""

_BY_PREVIEW_1 = (  # by prefix of the function's name; the first match counts
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
_BY_INTERFACE = (  # by prefix of the component's import; the first match counts
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
_WITHOUT_CAPABILITY = ("wasi:io/",)
"""Prefixes of interfaces that give access to nothing by themselves."""
_CONFIGURED = {"arguments", "environment", "filesystem", "network", "stdio"}
"""Capabilities that the store's WASI configuration has to grant; a linked guest has all others in any case."""

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
    """Record what WASI configurations grant, and to which store."""
    for name, capability in _GRANTS.items():
        patches.replace(wasmtime.WasiConfig, name, after_success(_COMPONENT, _grant(capability)))
    patches.replace(wasmtime.Store, "set_wasi", after_success(_COMPONENT, _wasi_set))
    patches.replace(wasmtime.Store, "set_wasi_http", after_success(_COMPONENT, _wasi_http_set))
    patches.replace(wasmtime.Linker, "instantiate_pre", after_success(_COMPONENT, _prepared))


def requests(state: StoreState | None, linker: Any, source: Any, *, linked: bool) -> tuple[Measurement, ...]:
    """Return the counts of the capabilities that a guest requests when it is instantiated.

    Args:
        state: of its store, if it is known.
        linker: the linker that resolves its imports, if there is one.
        source: a module, a component, or an instance that was prepared from a module.
        linked: whether all its imports are defined.
    """
    requested = requested_by(source, linker)
    return counts(requested, frozenset() if state is None else state.granted, linked=linked)


@lru_cache(1024)
def counts(requested: frozenset[str], configured: frozenset[str], *, linked: bool) -> tuple[Measurement, ...]:
    """Return the counts of requested capabilities, of which a WASI configuration grants some."""
    return tuple(
        (
            CAPABILITY_REQUESTS,
            1,
            _REQUESTS[capability, linked and (capability not in _CONFIGURED or capability in configured)],
        )
        for capability in requested
    )


def capability_of(module: str, name: str) -> str | None:
    """Return the capability that a guest requests by an import, or None if the import gives access to nothing.

    Args:
        module: of a core module's import; empty for a component's.
        name: of the import.
    """
    if module in _PREVIEW_1:
        return next((found for prefix, found in _BY_PREVIEW_1 if name.startswith(prefix)), "process")
    interface = module or name  # core modules of a component import an interface as a module
    if interface.startswith(_WITHOUT_CAPABILITY):
        return None
    return next((found for prefix, found in _BY_INTERFACE if interface.startswith(prefix)), "host")


def requested_by(source: Any, linker: Any = None) -> frozenset[str]:
    """Return the capabilities that a module, component or prepared instance requests."""
    requested: frozenset[str] | None = getattr(source, REQUESTED, None)
    if requested is None:
        found = {capability_of(module, name) for module, name in _imports(source, linker)}
        requested = frozenset(capability for capability in found if capability is not None)
        setattr(source, REQUESTED, requested)
    return requested


def _imports(source: Any, linker: Any) -> Iterable[tuple[str, str]]:
    from wasmtime import Module

    if isinstance(source, Module):
        return [(one.module, one.name or "") for one in source.imports]
    return [("", name) for name in source.type.imports(linker.engine)]


def _prepared(prepared: Any, _linker: Any, module: Any) -> None:
    setattr(prepared, REQUESTED, requested_by(module))


def _grant(capability: str) -> Callable[..., None]:
    def grant(_: None, config: Any, *_args: Any, **_kwargs: Any) -> None:
        config.__dict__.setdefault(_GRANTED, set()).add(capability)

    return grant


def _wasi_set(_: None, store: Any, wasi: Any) -> None:
    state = state_of(store)
    if state is not None:
        state.granted |= getattr(wasi, _GRANTED, frozenset())


def _wasi_http_set(_: None, store: Any) -> None:
    state = state_of(store)
    if state is not None:
        state.granted |= {"network"}
