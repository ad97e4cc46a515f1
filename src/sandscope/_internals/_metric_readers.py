"""Exports the metrics of a provider at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry import context
from opentelemetry.context import Context

from sandscope._locks import new_lock

_exporting: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""The lock of each reader that is held while its metrics are collected and exported, until it shuts down."""


def export_metrics(provider: Any) -> bool:
    """Collect and export now, as the SDK's periodic readers do at each interval, unless they are shut down.

    Not by ``provider.force_flush``, which also collects for readers of other kinds, such as those of the program.

    Args:
        provider: a meter provider.

    Returns:
        False if the provider's version is unknown. Metrics are then exported at the SDK's interval only.
    """
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    readers = getattr(getattr(provider, "_measurement_consumer", None), "_reader_storages", None)
    if readers is None:
        return False
    for reader in list(readers):
        if type(reader) is PeriodicExportingMetricReader:
            _prepare(reader)
            with _exporting[reader]:
                if not getattr(reader, "_shutdown", True):
                    reader.collect()
    return True


def _prepare(reader: Any) -> None:
    """Let a reader collect outside of any trace, and shut down only when what has been collected is exported.

    Observable instruments would otherwise have the parent process's span as their exemplar, because it is the
    current span of every thread. And the exporter would refuse what other threads have collected, which with delta
    temporality nobody collects again.
    """
    if reader in _exporting:
        return
    lock = new_lock()
    collect, shutdown, force_flush = reader.collect, reader.shutdown, reader.force_flush

    def collect_outside_of_traces(*args: Any, **kwargs: Any) -> None:
        token = context.attach(Context())
        try:
            collect(*args, **kwargs)
        finally:
            context.detach(token)

    def shut_down(timeout_millis: float = 30_000, **more: Any) -> None:
        acquired = lock.acquire(timeout=timeout_millis / 1000)
        try:
            shutdown(timeout_millis=timeout_millis, **more)
        finally:
            if acquired:
                lock.release()

    def flush(timeout_millis: float = 10_000) -> bool:
        with lock:
            return getattr(reader, "_shutdown", False) or bool(force_flush(timeout_millis=timeout_millis))

    reader.collect, reader.shutdown, reader.force_flush = collect_outside_of_traces, shut_down, flush
    _exporting[reader] = lock


def is_shut_down(provider: Any) -> bool:
    """Return whether a meter provider has shut down. It warns if it is asked for a meter after that."""
    return bool(getattr(provider, "_shutdown", False))


def watch_exports(provider: Any, on_export: Callable[[], object]) -> bool:
    """Call a function whenever metrics have been exported, by whomever, on the thread that has collected them.

    Args:
        provider: a meter provider.
        on_export: the function.

    Returns:
        False if nothing exports them, or the provider's version is unknown.
    """
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    readers = getattr(getattr(provider, "_measurement_consumer", None), "_reader_storages", ())
    exporting = [
        reader
        for reader in list(readers)
        if type(reader) is PeriodicExportingMetricReader and hasattr(reader, "_exporter")
    ]
    for reader in exporting:
        _prepare(reader)
        _watch(reader._exporter, on_export)
    return bool(exporting)


def _watch(exporter: Any, on_export: Callable[[], object]) -> None:
    export = exporter.export

    def watched(*args: Any, **kwargs: Any) -> Any:
        result = export(*args, **kwargs)
        if getattr(result, "name", "") == "SUCCESS":
            on_export()
        return result

    exporter.export = watched
