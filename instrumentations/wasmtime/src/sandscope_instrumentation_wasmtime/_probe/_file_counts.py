"""The metrics of calls on files and sockets."""

from __future__ import annotations

from collections.abc import Mapping

from sandscope.instrumentation import Metric, Recorder

# Bytes have no unit here: Prometheus would repeat it in the name.
_METRICS = (
    ("file.operations", "{operation}", "Calls on files by WASI guests under the probe"),
    ("file.errors", "{error}", "Calls on files that WASI answered with an error"),
    ("file.bytes_read", "", "Bytes that WASI guests under the probe read from files"),
    ("file.bytes_written", "", "Bytes that WASI guests under the probe wrote to files"),
    ("network.requests", "{request}", "Calls on sockets by WASI guests under the probe"),
    ("network.errors", "{error}", "Calls on sockets that WASI answered with an error"),
    ("network.bytes_sent", "", "Bytes that WASI guests under the probe sent"),
    ("network.bytes_received", "", "Bytes that WASI guests under the probe received"),
)
METRICS = {counter: Metric(f"wasm.{counter}", "counter", unit, brief) for counter, unit, brief in _METRICS}
"""By the names in `COUNTERS`."""


def record(recorder: Recorder, counts: Mapping[str, int]) -> None:
    """Add what was counted. Where a guest has made a call on a file, all metrics of files exist, if only with 0."""
    for counter, metric in METRICS.items():
        calls = "file.operations" if counter.startswith("file.") else "network.requests"
        if counts[calls]:
            recorder.measure(metric, counts[counter])
