"""Sends what the black boxes in a folder hold, once, and removes them. What cannot be sent now goes to the spool."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME

from sandscope import _guard, _internals
from sandscope._locks import new_lock
from sandscope._recovery import _contents, _late_telemetry
from sandscope._recovery._contents import Contents
from sandscope._recovery._dead_files import DeadFile, files_in, taken
from sandscope._recovery._exporters import at_once, keeping_exporter_of, send

_SPANS, _LOGS, _METRICS = 1, 2, 4
_TRIES = 10
"""After so many tries, a black box is removed: nobody receives what it holds."""

_lock = new_lock()
"""Locks of files do not exclude another thread of the same process."""


@dataclass
class Recovered:
    """What has been sent, or kept in the spool.

    Attributes:
        processes: the number of dead processes whose black boxes have been sent or kept, and removed.
        running: the number of executions that were running when their process died.
        ended: the number of executions that had ended and had not been delivered.
        unreadable: the number of records that make no sense, and of black boxes without a legend.
        left: the number of black boxes that could not be sent or kept, and are left for the next try.
        given_up: the number of black boxes that have been removed after too many tries.
    """

    processes: int = 0
    running: int = 0
    ended: int = 0
    unreadable: int = 0
    left: int = 0
    given_up: int = 0


def recover(folder: Path, service: str | None = None) -> Recovered:
    """Send what the black boxes of dead processes in a folder hold, and remove them.

    Args:
        folder: the folder.
        service: send only those whose ``service.name`` this is.
    """
    result = Recovered()
    _internals.note_kept(kept=False)
    with _lock:
        for path in files_in(folder):
            try:
                with taken(path) as file:
                    if file is not None and not _tell(file, path, service, result):
                        break
            except Exception as error:  # noqa: BLE001 -- the other files are still sent
                _guard.report("recovery", error)
    return result


def _tell(file: DeadFile, path: Path, service: str | None, result: Recovered) -> bool:
    """Send a file's content, and remove it. Return False if nobody receives it."""
    try:
        contents = _contents.read(file.content)
    except _contents.UnreadableError as error:
        _guard.report("recovery", error)
        result.unreadable += 1
        path.unlink(missing_ok=True)
        return True
    if service is not None and contents.resource.attributes.get(SERVICE_NAME) != service:
        return True
    if not _send(file, contents):
        if file.tries + 1 >= _TRIES:
            result.given_up += 1
            path.unlink(missing_ok=True)
        else:
            result.left += 1
        return False
    path.unlink(missing_ok=True)
    result.processes += 1
    result.running += sum(execution.outcome is None for execution in contents.executions)
    result.ended += sum(execution.outcome is not None for execution in contents.executions)
    result.unreadable += contents.unreadable
    return True


def _send(file: DeadFile, contents: Contents) -> bool:
    """Send or keep the signals that have not been sent yet, and note each in the file."""
    sent, service = file.sent, str(contents.resource.attributes.get(SERVICE_NAME, ""))
    steps: tuple[tuple[int, Callable[[], bool]], ...] = (
        (_SPANS, lambda: send("traces", _late_telemetry.spans_of(contents), service)),
        (_LOGS, lambda: send("logs", _late_telemetry.logs_of(contents), service)),
        (_METRICS, lambda: _send_metrics(contents, service)),
    )
    for signal, send_signal in steps:
        if not sent & signal:
            if not send_signal():
                file.note_sent(sent, file.tries + 1)
                return False
            sent |= signal
            file.note_sent(sent, file.tries)
    return True


def _send_metrics(contents: Contents, service: str) -> bool:
    has_any = contents.executions or contents.unreadable
    exporter = keeping_exporter_of("metrics", service) if has_any else None
    if exporter is None:
        return True
    results: list[MetricExportResult] = []
    export = exporter.export

    def observed(*args: Any, **kwargs: Any) -> MetricExportResult:
        with at_once():
            results.append(export(*args, **kwargs))
        return results[-1]

    exporter.export = observed  # the SDK's reader does not tell the result
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    provider = MeterProvider([reader], _late_telemetry.resource_of(contents), shutdown_on_exit=False)
    _late_telemetry.write_metrics(contents, provider)
    provider.force_flush()
    provider.shutdown()
    return results == [MetricExportResult.SUCCESS]
