"""Exports metrics soon after executions, because a program may be ended at any time, for example by SIGTERM."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from opentelemetry.sdk.environment_variables import OTEL_METRIC_EXPORT_INTERVAL

from sandscope._deferred._background_thread import Worker

SHORTEST, LONGEST = 0.2, 5.0
"""Seconds from an execution to the export of its metrics: doubled by each export, until no execution has ended."""


class MetricExports:
    """Exports metrics on a thread of its own. Leaves this to the SDK if the program sets the SDK's interval."""

    def __init__(self, export: Callable[[], object]) -> None:
        """Create the thread's work. The thread starts with the first measurement.

        Args:
            export: collects and exports the metrics.
        """
        self._export = export
        self._is_due = False
        self._delay, self._exported_at = SHORTEST, 0.0
        self._worker = Worker("sandscope-metrics", self._export_after_delay)
        self._left_to_sdk = bool(os.environ.get(OTEL_METRIC_EXPORT_INTERVAL))

    @property
    def is_running(self) -> bool:
        """Whether the thread has been started in this process."""
        return self._worker.is_running

    def start(self) -> None:
        """Start the thread, if it does not run. Nothing is exported because of that."""
        self._worker.start()

    def on_measurement(self) -> None:
        """Export soon."""
        if not self._left_to_sdk:
            self._is_due = True
            self._worker.wake()

    def close(self) -> None:
        """Export no more: the provider exports once more when it shuts down."""
        self._worker.close()

    def after_fork_in_child(self) -> None:
        """Start again."""
        self._is_due, self._delay = False, SHORTEST
        self._worker.after_fork_in_child()

    def _export_after_delay(self) -> None:
        if time.monotonic() - self._exported_at > self._delay:
            self._delay = SHORTEST
        if not self._is_due or self._worker.wait(self._delay):
            return
        self._is_due = False
        self._export()
        self._exported_at = time.monotonic()
        self._delay = min(2 * self._delay, LONGEST)
