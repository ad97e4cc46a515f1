"""Exports the metrics of executions that are recorded directly as soon as those of others: see docs/decisions/0009."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import metrics

from sandscope import _internals
from sandscope._locks import new_lock
from sandscope._own_process._forking import watch_forks
from sandscope._recording import _direct_use

if TYPE_CHECKING:
    from sandscope._deferred._metric_exports import MetricExports


class _DirectMetrics:
    """Exports the metrics of a provider soon after executions."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._lock = new_lock()
        self.exports: MetricExports | None = None

    def on_begin(self) -> None:
        """Start the thread, which must not be started where an execution may end: in a finalizer."""
        if self.exports is None:
            with self._lock:
                if self.exports is None:
                    self.exports = self._created()
        self.exports.start()

    def on_measurement(self) -> None:
        """Export soon, unless no execution has begun in this process."""
        if self.exports is not None:
            self.exports.on_measurement()

    def _created(self) -> MetricExports:
        # Not imported before: most programs have another recorder.
        from sandscope._deferred._metric_exports import MetricExports

        exports = MetricExports(self._export)
        watch_forks(exports)
        return exports

    def _export(self) -> None:
        if metrics.get_meter_provider() is self._provider:  # the program may replace it
            _internals.export_metrics(self._provider)


_direct_metrics: _DirectMetrics | None = None


def export_after_executions(provider: Any) -> None:
    """Export the metrics of a provider soon after each execution that is recorded directly.

    Args:
        provider: a meter provider that this process has set up by Sandscope's defaults.
    """
    global _direct_metrics  # noqa: PLW0603 -- one global SDK
    _direct_metrics = _DirectMetrics(provider)
    _direct_use.listen(_direct_metrics)


def has_recorded() -> bool:
    """Return whether an execution has begun in this process, with a direct recorder."""
    exports = None if _direct_metrics is None else _direct_metrics.exports
    return exports is not None and exports.is_running
