"""The probe's two modules, compiled once for each engine and set of functions."""

from __future__ import annotations

from typing import Any

from sandscope_instrumentation_wasmtime._probe._uncached import compile_uncached
from sandscope_instrumentation_wasmtime._probe._unmetered import compile_unmetered
from sandscope_instrumentation_wasmtime._probe._unpatched import Unpatched
from sandscope_instrumentation_wasmtime._probe._wasm_modules import counting_module, trampolines

_ATTRIBUTE = "_sandscope_probe_modules"

_MOST = 32
"""Sets of functions of an engine: the authors of guests choose them."""

# A new store of an engine that counts fuel, or that interrupts by epochs, has none left and traps.
_STARTS = "(module (func $start) (start $start))"


class CompiledModules:
    """The modules of one engine.

    Attributes:
        is_metered: the probe's code would consume the guest's fuel, or be interrupted.
    """

    def __init__(self, unpatched: Unpatched, engine: Any) -> None:
        self._unpatched = unpatched
        self._pairs: dict[tuple[str, ...], tuple[Any, Any]] = {}
        self._compile = compile_uncached
        if not self._starts(engine):
            self._compile = compile_unmetered
        self.is_metered = self._compile is compile_unmetered and not self._starts(engine)

    def _starts(self, engine: Any) -> bool:
        unpatched = self._unpatched
        try:
            unpatched.instance(unpatched.store(engine), self._compile(unpatched, engine, _STARTS), [])
        except (unpatched.wasmtime.Trap, unpatched.wasmtime.WasmtimeError):
            return False
        return True

    def pair(self, engine: Any, names: tuple[str, ...]) -> tuple[Any, Any]:
        """Return the trampolines and the counting module for a set of functions.

        Raises:
            WasmtimeError: if the engine's configuration does not allow them.
        """
        pair = self._pairs.get(names)
        if pair is None:
            texts = trampolines(names), counting_module(names)
            before, behind = [self._compile(self._unpatched, engine, text) for text in texts]
            pair = before, behind
            if len(self._pairs) >= _MOST:
                self._pairs.clear()
            self._pairs[names] = pair
        return pair


def compiled_modules(unpatched: Unpatched, engine: Any) -> CompiledModules:
    """Return the modules of an engine, which keeps them."""
    found: CompiledModules | None = getattr(engine, _ATTRIBUTE, None)
    if found is None:
        found = CompiledModules(unpatched, engine)
        setattr(engine, _ATTRIBUTE, found)
    return found
