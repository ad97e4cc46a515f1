"""An instance's exports, when the program first asks for them: functions get their sites, memories are followed.

What a module exports is the same in each of its instances: it is looked at once, and kept with the module.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from sandscope.instrumentation import Patches, report_error
from sandscope_instrumentation_wasmtime._measures import _memory
from sandscope_instrumentation_wasmtime._measures._store_state import STATE
from sandscope_instrumentation_wasmtime._names._references import remember
from sandscope_instrumentation_wasmtime._sites import TAG, Exports, Guest, guest_of


def patch(wasmtime: Any, patches: Patches, *, named: bool) -> None:
    """Look at exports.

    Args:
        wasmtime: the module.
        patches: takes what is replaced.
        named: functions get their sites.
    """
    patches.replace(
        wasmtime._instance.InstanceExports, "__init__", _exporting(wasmtime.Func, wasmtime.Memory, named)
    )


def _exporting(func: type, memory: type, named: bool) -> Any:
    def wrap(original: Any) -> Any:
        @wraps(original)
        def initialize(self: Any, *args: Any, **kwargs: Any) -> None:
            if kwargs or len(args) != 2:
                original(self, *args, **kwargs)
                args = _arguments(*args, **kwargs)
            else:  # as usual: the interpreter is faster where it knows the number of arguments
                original(self, args[0], args[1])
            try:
                store, instance = args
                guest: Guest = getattr(instance, TAG, None) or guest_of(instance)
                found, externs = guest.exports, self._extern_seq
                if found is None or found.number != len(externs):
                    found = guest.exports = _exports_of(guest, self, store, func, memory)
                if named:
                    for position, site in found.functions:
                        externs[position]._sandscope = site
                    if found.reached:
                        remember(store, externs, found.functions)
                if found.memories:
                    _follow(found, self, store, memory)
            except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
                report_error("wasmtime.exports", error)

        return initialize

    return wrap


def _follow(found: Exports, exports: Any, store: Any, memory: type) -> None:
    state = getattr(store, STATE, None)
    if state is None:
        return
    if found.fixed and not state.memories:
        memories = tuple([exports._extern_seq[position] for position in found.memories])
        _memory.follow(state, store, memories, found.maxima)
    else:
        _memory.follow_others(state, store, _memories_of(exports, store, memory))


def _arguments(store: Any, instance: Any) -> tuple[Any, Any]:
    return store, instance


def _exports_of(guest: Guest, exports: Any, store: Any, func: type, memory: type) -> Exports:
    functions = [
        (position, guest.site(name))
        for position, (name, export) in enumerate(exports._extern_map.items())
        if isinstance(export, func)
    ]
    externs, traits = exports._extern_seq, guest.traits
    memories = _memories_of(exports, store, memory)
    return Exports(
        number=len(externs),
        functions=tuple(functions),
        reached=bool(functions) and (traits is None or not traits.isolated),
        memories=tuple(externs.index(each) for each, _ in memories),
        maxima=tuple(maximum for _, maximum in memories),
        fixed=traits is not None and traits.own_memories,
    )


def _memories_of(exports: Any, store: Any, memory: type) -> list[tuple[Any, int | None]]:
    """Return the memories of an instance, each once, with their maxima."""
    found = {_memory.identity_of(each): each for each in exports._extern_seq if isinstance(each, memory)}
    return [(each, _memory.maximum_of(each, store)) for each in found.values()]
