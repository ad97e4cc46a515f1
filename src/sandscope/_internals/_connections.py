"""The connections of the SDK's exporters."""

from __future__ import annotations

from typing import Any

_left: list[object] = []
"""Kept: to close them takes locks that another thread of the parent may have held at the fork."""


def leave_connections(exporter: Any) -> bool:
    """Let an OTLP exporter in a forked child open connections of its own: it shares the parent's.

    Returns:
        False if its connections are not where this knows them.
    """
    if hasattr(exporter, "_initialize_channel_and_stub") and hasattr(exporter, "_channel"):
        _left.append((exporter._channel, exporter._client))
        exporter._channel, exporter._client = None, _NewClient(exporter)
        return True
    transport = getattr(getattr(exporter, "_client", None), "_transport", exporter)
    adapters = getattr(getattr(transport, "_session", None), "adapters", None)
    if not isinstance(adapters, dict):
        return False
    from requests.adapters import HTTPAdapter

    for prefix, adapter in list(adapters.items()):
        if type(adapter) is HTTPAdapter:
            _left.append(adapter)
            adapters[prefix] = HTTPAdapter()
    return True


class _NewClient:
    """Stands for a gRPC exporter's client until the first call: many a child only executes a program."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter

    def Export(self, **request: Any) -> Any:  # noqa: N802 -- the protocol's name
        """Make channel and client, and call the latter."""
        self._exporter._initialize_channel_and_stub()
        return self._exporter._client.Export(**request)
