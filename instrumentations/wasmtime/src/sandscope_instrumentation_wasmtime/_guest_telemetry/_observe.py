"""The host functions of Dylibso's Observe API, by their current and by their former names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import GuestTelemetry, Refusal
from sandscope_instrumentation_wasmtime._guest_telemetry._guest_memory import read
from sandscope_instrumentation_wasmtime._guest_telemetry._host_function import HostFunction, HostFunctions

MODULE = "dylibso:observe/api"
FORMER_MODULE = "dylibso_observe"

_SEVERITIES = {1: 17, 2: 13, 3: 9, 4: 5, 5: 1}
"""OpenTelemetry's severity numbers by the API's levels, which go from error to trace."""
_STATSD = 1
_COUNTER = re.compile(rb"([^:|@]{1,63}):([0-9.eE+-]{1,32})\|c(?:\|#[^|]*)?\n?")


def functions(guest: GuestTelemetry) -> HostFunctions:
    """Return the host functions.

    Args:
        guest: gets the telemetry that guests emit.
    """
    most = guest.limits.text

    def span_enter(caller: Any, name: int, size: int) -> None:
        text = read(caller, name, size, most)
        if text is None:
            guest.refuse("span", Refusal.ADDRESS)
        else:
            guest.start_span(text)

    def span_exit(_caller: Any) -> None:
        guest.end_span()

    def span_tags(caller: Any, tags: int, size: int) -> None:
        text = read(caller, tags, size, most)
        if text is None:
            guest.refuse("attribute", Refusal.ADDRESS)
            return
        for tag in text.split(b",", guest.limits.attributes)[: guest.limits.attributes]:
            key, _, value = tag.partition(b":")
            guest.set_attribute(key, value)

    def log(caller: Any, level: int, message: int, size: int) -> None:
        text = read(caller, message, size, most)
        if text is None:
            guest.refuse("log", Refusal.ADDRESS)
        else:
            guest.log(_SEVERITIES.get(level, 0), text)

    def metric(caller: Any, form: int, line: int, size: int) -> None:
        text = read(caller, line, size, most)
        counter = None if text is None or form != _STATSD else _COUNTER.fullmatch(text)
        if text is None:
            guest.refuse("count", Refusal.ADDRESS)
        elif counter is None:
            guest.refuse("count", Refusal.INVALID)
        else:
            guest.count(counter[1], _number(counter[2]))

    named: dict[str, tuple[str, Callable[..., None]]] = {
        "span-enter": ("pointer i32", span_enter),
        "span-exit": ("", span_exit),
        "span-tags": ("pointer i32", span_tags),
        "log": ("i32 pointer i32", log),
        "metric": ("i32 pointer i32", metric),
    }
    current = {(MODULE, name): _host_function(types, "i32", call) for name, (types, call) in named.items()}
    former = {
        (FORMER_MODULE, name.replace("-", "_")): _host_function(types, "i64", call)
        for name, (types, call) in named.items()
    }
    return {**current, **former}


def _host_function(types: str, pointer: str, call: Callable[..., None]) -> HostFunction:
    return HostFunction(tuple(types.replace("pointer", pointer).split()), (), call)


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
