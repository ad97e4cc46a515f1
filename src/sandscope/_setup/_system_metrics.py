"""Metrics of the machine, the process and the interpreter, by OpenTelemetry's own instrumentation."""

from __future__ import annotations

import os
from typing import Any

from opentelemetry.util._importlib_metadata import EntryPoint

from sandscope import _guard
from sandscope._own_process._forking import watch_forks
from sandscope._setup._defaults import temporary_environment

_EXCLUDED = "OTEL_PYTHON_SYSTEM_METRICS_EXCLUDED_METRICS"
_TOO_SLOW_OR_OLD = "system.network.connections,system.thread_count,process.runtime.*"
"""By default: the first two read all processes, each time that metrics are exported; the others are deprecated."""

_process: _Process | None = None


def record_system_metrics(entry_point: EntryPoint) -> None:
    """Load and start the instrumentation. Errors are reported, and not raised.

    Args:
        entry_point: that of ``opentelemetry-instrumentation-system-metrics``.
    """
    global _process  # noqa: PLW0603 -- forks are watched weakly
    try:
        excluded = {} if _EXCLUDED in os.environ else {_EXCLUDED: _TOO_SLOW_OR_OLD}
        with temporary_environment(excluded):
            instrumentor: Any = entry_point.load()()
        instrumentor.instrument()
        _process = _Process(instrumentor)
        watch_forks(_process)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("instrument.system_metrics", error)


class _Process:
    """Lets a forked child record its own figures, and not its parent's."""

    def __init__(self, instrumentor: Any) -> None:
        self._instrumentor = instrumentor

    def after_fork_in_child(self) -> None:
        import psutil

        if hasattr(self._instrumentor, "_proc"):
            self._instrumentor._proc = psutil.Process()
