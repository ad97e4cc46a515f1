"""The host functions of Dylibso's Observe API, by its present names and by those that it had before."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import GuestTelemetry, Refusal
from sandscope_instrumentation_wasmtime._guest_telemetry._guest_memory import read
from sandscope_instrumentation_wasmtime._guest_telemetry._host_function import Offered, Offers

MODULE = "dylibso:observe/api"
OLD_MODULE = "dylibso_observe"

_SEVERITIES = {1: 17, 2: 13, 3: 9, 4: 5, 5: 1}
"""From the API's levels, error to trace, to OpenTelemetry's numbers."""
_STATSD = 1
_COUNTER = re.compile(rb"([^:|@]{1,63}):([0-9.eE+-]{1,32})\|c(?:\|#[^|]*)?\n?")


def functions(guest: GuestTelemetry) -> Offers:
    """Return the functions by the module and name that guests import them by.

    Args:
        guest: takes what they emit.
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

    offers: dict[str, tuple[str, Callable[..., None]]] = {
        "span-enter": ("pointer i32", span_enter),
        "span-exit": ("", span_exit),
        "span-tags": ("pointer i32", span_tags),
        "log": ("i32 pointer i32", log),
        "metric": ("i32 pointer i32", metric),
    }
    present = {(MODULE, name): _offered(types, "i32", call) for name, (types, call) in offers.items()}
    former = {
        (OLD_MODULE, name.replace("-", "_")): _offered(types, "i64", call)
        for name, (types, call) in offers.items()
    }
    return {**present, **former}


def _offered(types: str, pointer: str, call: Callable[..., None]) -> Offered:
    return Offered(tuple(types.replace("pointer", pointer).split()), (), call)


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
