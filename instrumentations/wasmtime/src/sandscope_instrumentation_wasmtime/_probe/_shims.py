"""The compiled modules of one engine."""

from __future__ import annotations

from typing import Any

from sandscope_instrumentation_wasmtime._probe._gate import gate
from sandscope_instrumentation_wasmtime._probe._meter import meter
from sandscope_instrumentation_wasmtime._probe._originals import Originals

_MOST = 32
"""Pairs of modules an engine: the authors of guests choose the sets of functions."""

_ATTRIBUTE = "_sandscope_shims"

# Where fuel or epochs are on, a new store has neither left.
_METERED = "(module (func $start) (start $start))"


class Shims:
    """Gates and meters of one engine, each pair compiled once.

    Attributes:
        metered: the engine counts fuel or looks at epochs; more code would cost the guest some of it.
    """

    def __init__(self, originals: Originals, engine: Any) -> None:
        self._originals = originals
        self._pairs: dict[tuple[str, ...], tuple[Any, Any]] = {}
        self.metered = _is_metered(originals, engine)

    def pair(self, engine: Any, names: tuple[str, ...]) -> tuple[Any, Any]:
        """Return the gate and the meter for a set of functions.

        Raises:
            WasmtimeError: if the engine's configuration refuses them.
        """
        pair = self._pairs.get(names)
        if pair is None:
            compile_ = self._originals.compile
            pair = compile_(engine, gate(names)), compile_(engine, meter(names))
            if len(self._pairs) >= _MOST:
                self._pairs.pop(next(iter(self._pairs)), None)
            self._pairs[names] = pair
        return pair


def shims_of(originals: Originals, engine: Any) -> Shims:
    """Return the shims of an engine, which keeps them."""
    shims = getattr(engine, _ATTRIBUTE, None)
    if shims is None:
        shims = Shims(originals, engine)
        setattr(engine, _ATTRIBUTE, shims)
    return shims


def _is_metered(originals: Originals, engine: Any) -> bool:
    try:
        originals.instantiate(originals.new_store(engine), originals.compile(engine, _METERED), [])
    except (originals.wasmtime.Trap, originals.wasmtime.WasmtimeError):
        return True
    return False
