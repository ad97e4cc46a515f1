"""The metrics of calls on files and sockets, from the ledger's counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sandscope.instrumentation import Metric, Recorder
from sandscope_instrumentation_wasmtime._probe._layout import COUNTERS


def _counter(name: str, unit: str, description: str) -> Metric:
    return Metric(f"wasm.{name}", "counter", unit, description)


# Bytes have no unit here: Prometheus would say it once more in the name.
METRICS: Mapping[str, Metric] = {
    "operations": _counter("file.operations", "{operation}", "Calls on files by WASI guests under the probe"),
    "errors": _counter("file.errors", "{error}", "Calls on files that WASI answered with an error"),
    "read": _counter("file.bytes_read", "", "Bytes that WASI guests under the probe read from files"),
    "written": _counter("file.bytes_written", "", "Bytes that WASI guests under the probe wrote to files"),
    "requests": _counter("network.requests", "{request}", "Calls on sockets by WASI guests under the probe"),
    "failed": _counter("network.errors", "{error}", "Calls on sockets that WASI answered with an error"),
    "sent": _counter("network.bytes_sent", "", "Bytes that WASI guests under the probe sent"),
    "received": _counter("network.bytes_received", "", "Bytes that WASI guests under the probe received"),
}
"""By the ledger's counter."""

# Once a guest has called on a file, its metrics are all there, if only with 0.
_TOGETHER = {
    name: "operations" if metric.name.startswith("wasm.file.") else "requests"
    for name, metric in METRICS.items()
}


def record(recorder: Recorder, counts: Sequence[int]) -> None:
    """Add what was counted.

    Args:
        recorder: of the instrumentation.
        counts: by `COUNTERS`.
    """
    counted = dict(zip(COUNTERS, counts, strict=True))
    for name, metric in METRICS.items():
        if counted[_TOGETHER[name]]:
            recorder.measure(metric, counted[name])
