"""Whose WASI a linker has: wasmtime's own, or something that the program made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import Patches
from sandscope_instrumentation_wasmtime._after_call import after_success
from sandscope_instrumentation_wasmtime._probe._noting import PLACE, before
from sandscope_instrumentation_wasmtime._probe._syscalls import WASI

_ATTRIBUTE = "_sandscope_wasi"
_WASMTIMES, _PROGRAMS = "wasmtime", "program"


def patch(wasmtime: Any, patches: Patches) -> None:
    """Note what is defined under WASI's name."""
    patches.replace(wasmtime.Linker, "define_wasi", after_success(PLACE, _defined_wasi))
    patches.replace(wasmtime.Linker, "define_func", before(_defined_at(0)))
    for method in ("define", "define_instance", "define_module"):
        patches.replace(wasmtime.Linker, method, before(_defined_at(1)))


def has_plain_wasi(linker: Any) -> bool:
    """Return whether the linker's WASI functions are all wasmtime's own."""
    return getattr(linker, _ATTRIBUTE, None) == _WASMTIMES


def _defined_wasi(_: None, linker: Any) -> None:
    if not hasattr(linker, _ATTRIBUTE):
        setattr(linker, _ATTRIBUTE, _WASMTIMES)


def _defined_at(position: int) -> Callable[..., None]:
    # Before it is defined: what fails may have defined some of it.
    def defined(linker: Any, *args: Any, **kwargs: Any) -> None:
        named = kwargs.get("module"), kwargs.get("name"), *args[position : position + 1]
        if WASI in named:
            setattr(linker, _ATTRIBUTE, _PROGRAMS)

    return defined
