"""Exports the metrics of a provider at any time."""

from __future__ import annotations

from typing import Any


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
        if type(reader) is PeriodicExportingMetricReader and not getattr(reader, "_shutdown", True):
            reader.collect()
    return True
