"""The settings of the instrumentation: arguments of ``instrument()``, or environment variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sandscope.instrumentation import Settings, choice, flag


@dataclass(frozen=True)
class WasmtimeSettings(Settings):
    """What is recorded.

    Attributes:
        spans: which calls have a span and a log record: all, the outermost only, or none. Metrics count all calls.
        host_spans: also record a span for each call of a host function.
        fuel: measure the fuel that calls consume, if the engine counts fuel.
        cpu: measure the CPU time of calls.
        probe: count file operations and bytes of WASI guests, by two modules between the guest and WASI.
        output: also record what a guest writes to stdout and stderr as log records.
        bounds: whether a memory or table access out of bounds is a security violation or a failure of the guest.
        guest_telemetry: provide the host functions by which guests emit telemetry.
    """

    spans: Literal["all", "outer", "off"] = choice("SANDSCOPE_WASMTIME_SPANS", "all", "outer", "off")
    host_spans: bool = flag("SANDSCOPE_WASMTIME_HOST_SPANS")
    fuel: bool = flag("SANDSCOPE_WASMTIME_FUEL")
    cpu: bool = flag("SANDSCOPE_WASMTIME_CPU")
    probe: bool = flag("SANDSCOPE_WASMTIME_PROBE")
    output: bool = flag("SANDSCOPE_WASMTIME_OUTPUT")
    bounds: Literal["violation", "failure"] = choice("SANDSCOPE_WASMTIME_BOUNDS", "violation", "failure")
    guest_telemetry: bool = flag("SANDSCOPE_WASMTIME_GUEST_TELEMETRY", default=True)
