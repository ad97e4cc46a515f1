"""The SDK's providers in a forked child, which inherits metrics, locks and connections of its parent."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakSet

from sandscope import _guard
from sandscope._internals._connections import abandon_connections
from sandscope._internals._provider_slots import global_providers
from sandscope._own_process._forking import watch_forks

_providers: WeakSet[Any] = WeakSet()


def reset_in_children(providers: Iterable[object]) -> None:
    """Reset providers in every forked child, in addition to the global providers. They are referenced weakly."""
    _providers.update(providers)


def reset_metrics(provider: Any) -> bool:
    """Let a meter provider of the SDK start from nothing in a forked child, with free locks and new connections.

    The child's metrics would otherwise include everything that its parent has counted before the fork.

    Returns:
        False if the SDK's version is unknown. Nothing is reset then.
    """
    consumer: Any = getattr(provider, "_measurement_consumer", None)
    readers = getattr(consumer, "_reader_storages", None)
    if not isinstance(readers, dict) or not hasattr(consumer, "add_metric_reader"):
        return False
    consumer._lock = threading.Lock()
    for reader in list(readers):
        consumer.add_metric_reader(reader)  # replaces the reader's time series with an empty set
        if hasattr(reader, "_lock"):
            reader._lock = threading.RLock()
        if hasattr(reader, "_export_lock"):
            reader._export_lock = threading.Lock()
        abandon_connections(getattr(reader, "_exporter", None))
    for meter in getattr(provider, "_meters", {}).values():
        _reset_registration(meter)
    return True


def _reset_registration(meter: Any) -> None:
    """Reset a meter whose instruments another thread may have been creating during the fork."""
    ids, instruments = (getattr(meter, f"_instrument_id{name}", None) for name in ("s", "_instrument"))
    if isinstance(ids, dict) and isinstance(instruments, dict):
        meter._instrument_ids_lock = threading.Lock()
        meter._instrument_registration_lock = threading.Lock()
        for half_created in ids.keys() - instruments.keys():
            del ids[half_created]


def exporters_of(provider: Any) -> Iterator[Any]:
    """Yield the exporters of a provider's batch processors or metric readers."""
    readers = getattr(getattr(provider, "_measurement_consumer", None), "_reader_storages", ())
    for reader in list(readers):
        yield getattr(reader, "_exporter", None)
    yield from _exporters(provider)


def _exporters(provider: Any) -> Iterator[Any]:
    """Yield the exporters of a tracer provider's or logger provider's batch processors."""
    for name in ("_active_span_processor", "_multi_log_record_processor"):
        group = getattr(provider, name, None)
        for processors in ("_span_processors", "_log_record_processors"):
            for processor in getattr(group, processors, ()):
                yield getattr(getattr(processor, "_batch_processor", None), "_exporter", None)


class _ForkedProviders:
    """Resets the providers. The SDK itself clears the queues of its batch processors."""

    def after_fork_in_child(self) -> None:
        for provider in {*global_providers(), *_providers}:
            try:
                self._reset(provider)
            except Exception as error:  # noqa: BLE001 -- the other providers are still reset
                _guard.report("fork", error)

    @staticmethod
    def _reset(provider: Any) -> None:
        kind = type(provider)
        if kind.__module__.startswith("opentelemetry.sdk.metrics") and not reset_metrics(provider):
            error = LookupError(
                "The SDK's version is unknown: forked children repeat their parent's metrics."
            )
            _guard.report("fork", error)
        for exporter in _exporters(provider):
            abandon_connections(exporter)


_forked_providers = _ForkedProviders()
watch_forks(_forked_providers)
