"""The interface ``wasi:otel/tracing`` of the proposal, for the spans of components; see `add_wasi_otel`.

It is not added to linkers automatically: a component linker can be neither read nor copied, an interface that the
program has defined would be defined twice, and other threads may be using the linker.
"""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.trace import INVALID_SPAN_CONTEXT, format_span_id, format_trace_id

from sandscope.instrumentation import GuestTelemetry, Patches

INTERFACE = "wasi:otel/tracing@0.2.0-rc.2"

_PENDING = "span"
"""The name of a span until it ends: only then does the guest pass its name."""


class _Destination:
    """Where the spans of components go: None while wasmtime is not instrumented."""

    guest: GuestTelemetry | None = None


def patch(patches: Patches, guest: GuestTelemetry) -> None:
    """Record the spans that components emit, until the patches are undone."""
    patches.replace(_Destination, "guest", lambda _none: guest)


def add_wasi_otel(linker: Any) -> None:
    """Define the interface ``wasi:otel/tracing@0.2.0-rc.2`` in a component linker.

    The spans of components are recorded only while wasmtime is instrumented.

    Args:
        linker: a `wasmtime.component.Linker`.

    Raises:
        wasmtime.WasmtimeError: if the interface is already defined, or the linker is in use.
    """
    with linker.root() as root, root.add_instance(INTERFACE) as interface:
        interface.add_func("on-start", _on_start)
        interface.add_func("on-end", _on_end)
        interface.add_func("current-span-context", _current_span_context)


def _on_start(_store: Any, context: Any) -> None:
    if _Destination.guest is not None:
        _Destination.guest.start_span(_PENDING, getattr(context, "span-id"))


def _on_end(_store: Any, span: Any) -> None:
    guest = _Destination.guest
    if guest is None:
        return
    handle = getattr(getattr(span, "span-context"), "span-id")
    for attribute in span.attributes[: guest.limits.attributes + 1]:
        guest.set_attribute(attribute.key, _text(attribute.value, guest.limits.text), handle)
    failed = span.status.tag == "error"
    guest.end_span(handle, name=span.name, error=str(span.status.payload) if failed else None)


def _current_span_context(_store: Any) -> Any:
    from wasmtime.component import Record

    guest = _Destination.guest
    context = INVALID_SPAN_CONTEXT if guest is None else guest.span_context()
    record = Record()
    vars(record).update(
        {
            "trace-id": format_trace_id(context.trace_id),
            "span-id": format_span_id(context.span_id),
            "trace-flags": {"sampled"} if context.trace_flags.sampled else set(),
            "is-remote": False,
            "trace-state": [],
        }
    )
    return record


def _text(value: str, most: int) -> str:
    """Return the text of an attribute: the value of a JSON string, or any other JSON as it is."""
    if value[:1] != '"' or len(value) > most:
        return value
    try:
        decoded = json.loads(value)
    except ValueError:
        return value
    return decoded if isinstance(decoded, str) else value
