"""Sends what the programs of this user have kept for the endpoints that the environment configures."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from opentelemetry import context

from sandscope import _internals
from sandscope._recovery._exporters import Signal as ExporterSignal
from sandscope._recovery._exporters import exporter_of
from sandscope._spool import _undelivered_records
from sandscope._spool._place import folders_for
from sandscope._spool._replay import End, replay, waiting_in
from sandscope._spool._room import all_files
from sandscope._spool._undelivered_records import Signal

_SIGNALS: dict[ExporterSignal, Signal] = {"traces": "span", "logs": "log", "metrics": "metric"}


class Sent(NamedTuple):
    """What has become of what was kept.

    Attributes:
        delivered: the number of records that have been acknowledged.
        rejected: the number of records that the endpoint will never take, and that are removed.
        unreadable: the number of files that are torn or foreign.
        left: the number of requests for these endpoints that could not be sent.
        others: the number of requests for other endpoints.
    """

    delivered: int
    rejected: int
    unreadable: int
    left: int
    others: int


def send_spooled(base: Path) -> Sent:
    """Send what is kept in the folder of the spool.

    Args:
        base: the folder.
    """
    before, left = _undelivered_records.counts(), 0
    token = context.attach(context.Context(dict.fromkeys(_internals.SUPPRESSION_KEYS, True)))
    try:
        for signal, kept_as in _SIGNALS.items():
            left += _send(base, signal, kept_as)
    finally:
        context.detach(token)
    found = {key: count - before.get(key, 0) for key, count in _undelivered_records.counts().items()}
    delivered, rejected, unreadable = (
        sum(count for (_, outcome), count in found.items() if outcome == wanted)
        for wanted in ("delivered", "rejected", "unreadable")
    )
    return Sent(delivered, rejected, unreadable, left, max(0, len(all_files(base)) - left - unreadable))


def _send(base: Path, signal: ExporterSignal, kept_as: Signal) -> int:
    """Send what is kept of one signal. Return how many requests are left."""
    exporter = exporter_of(signal)
    client = None if exporter is None else _internals.otlp_client(exporter)
    if client is None:
        return 0
    left = 0
    try:
        for folder in folders_for(base, client.endpoint):
            if replay(folder, kept_as, client.post) is not End.ALL_SENT:
                left += len(waiting_in(folder))
    finally:
        exporter.shutdown()
    return left
