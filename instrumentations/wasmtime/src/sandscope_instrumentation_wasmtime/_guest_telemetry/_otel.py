"""The host functions that guests import from the module ``otel``; the README documents them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandscope.instrumentation import GuestTelemetry, Refusal
from sandscope_instrumentation_wasmtime._guest_telemetry._guest_memory import read
from sandscope_instrumentation_wasmtime._guest_telemetry._host_function import HostFunction, HostFunctions

MODULE = "otel"


def functions(guest: GuestTelemetry) -> HostFunctions:
    """Return the host functions.

    Args:
        guest: gets the telemetry that guests emit.
    """
    most = guest.limits.text

    def span_start(caller: Any, name: int, name_size: int) -> int:
        text = read(caller, name, name_size, most)
        return guest.refuse("span", Refusal.ADDRESS) if text is None else guest.start_span(text)

    def span_end(_caller: Any, span: int) -> int:
        return guest.end_span(span)

    def span_set_attribute(  # noqa: PLR0917 -- the guest passes these arguments
        caller: Any, span: int, key: int, key_size: int, value: int, value_size: int
    ) -> int:
        name, text = read(caller, key, key_size, most), read(caller, value, value_size, most)
        if name is None or text is None:
            return guest.refuse("attribute", Refusal.ADDRESS)
        return guest.set_attribute(name, text, span)

    def log(caller: Any, severity: int, body: int, body_size: int) -> int:
        text = read(caller, body, body_size, most)
        return guest.refuse("log", Refusal.ADDRESS) if text is None else guest.log(severity, text)

    def counter_add(caller: Any, name: int, name_size: int, value: float) -> int:
        text = read(caller, name, name_size, most)
        return guest.refuse("count", Refusal.ADDRESS) if text is None else guest.count(text, value)

    named: dict[str, tuple[str, Callable[..., int]]] = {
        "span_start": ("i32 i32", span_start),
        "span_end": ("i32", span_end),
        "span_set_attribute": ("i32 i32 i32 i32 i32", span_set_attribute),
        "log": ("i32 i32 i32", log),
        "counter_add": ("i32 i32 f64", counter_add),
    }
    return {
        (MODULE, name): HostFunction(tuple(types.split()), ("i32",), call)
        for name, (types, call) in named.items()
    }
