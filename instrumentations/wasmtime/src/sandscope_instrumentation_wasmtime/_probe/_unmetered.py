"""Compiles the probe's modules without what counts fuel and checks epochs, for engines that do both or either.

Fuel and epochs are the guest's limits, so the probe must not take part in them. wasmtime compiles both into a module,
as instructions between the others: a module without them does not touch the counters of a store. But an engine accepts
only modules that were compiled with its own settings, which a section of the compiled file states. So the modules are
compiled with all of the engine's settings but these two, and get the section of a module that has these two as well.
Nothing else may differ, or the probe is not used.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Any

from sandscope_instrumentation_wasmtime._probe._uncached import engine_with, settings_of
from sandscope_instrumentation_wasmtime._probe._unpatched import Unpatched

_OFF = {"consume_fuel": False, "epoch_interruption": False}
_SECTION = b".wasmtime.engine\0"
_ELF = b"\x7fELF\x02\x01"
"""How a file for 64 bits begins whose numbers are little-endian."""


def compile_unmetered(unpatched: Unpatched, engine: Any, text: str) -> Any:
    """Return a module of an engine that neither consumes fuel nor checks epochs.

    Raises:
        WasmtimeError: if the engine's settings are not known, or do not allow the module.
    """
    settings, wasmtime = settings_of(engine), unpatched.wasmtime
    compiled = unpatched.module(engine_with(wasmtime, settings, **_OFF), text).serialize()
    stated = unpatched.module(engine_with(wasmtime, settings), "(module)").serialize()
    own, engines = _settings_section(compiled), _settings_section(stated)
    if own is None or engines is None or not _differ_in_switches(compiled[own], stated[engines]):
        raise wasmtime.WasmtimeError("the settings of a compiled module are not where they are expected")
    compiled[own] = stated[engines]
    return unpatched.deserialized(engine, compiled)


def _settings_section(elf: bytearray) -> slice | None:
    """Return where a compiled module states the settings of its engine."""
    if not elf.startswith(_ELF):
        return None
    (table,) = unpack_from("<Q", elf, 0x28)
    size, count, names_index = unpack_from("<HHH", elf, 0x3A)
    headers = [unpack_from("<IIQQQQ", elf, table + index * size) for index in range(count)]
    names = headers[names_index][4]
    for name, _, _, _, start, length in headers:
        if elf.startswith(_SECTION, names + name):
            return slice(start, start + length)
    return None


def _differ_in_switches(without: bytearray, with_them: bytearray) -> bool:
    """Return whether two sections are the same but for one or two switches that are off in the first."""
    changes = [pair for pair in zip(without, with_them, strict=False) if pair[0] != pair[1]]
    return len(without) == len(with_them) and changes in ([(0, 1)], [(0, 1)] * 2)
