"""The network connections of the SDK's exporters."""

from __future__ import annotations

from typing import Any

_abandoned: list[object] = []
"""Connections of the parent process. Not closed, as closing acquires locks that may have been held during the fork."""


def abandon_connections(exporter: Any) -> bool:
    """Let an OTLP exporter in a forked child open new connections instead of sharing those of the parent.

    Returns:
        False if the exporter is of an unknown type or version.
    """
    if hasattr(exporter, "_initialize_channel_and_stub") and hasattr(exporter, "_channel"):
        _abandoned.append((exporter._channel, exporter._client))
        exporter._channel, exporter._client = None, _NewClient(exporter)
        return True
    transport = getattr(getattr(exporter, "_client", None), "_transport", exporter)
    session = getattr(transport, "_session", None)
    adapters = getattr(session, "adapters", None)
    if session is None or not isinstance(adapters, dict):
        return False
    from requests.adapters import HTTPAdapter
    from requests.cookies import RequestsCookieJar

    session.cookies = RequestsCookieJar()  # has a lock, too

    for prefix, adapter in list(adapters.items()):
        if type(adapter) is HTTPAdapter:
            _abandoned.append(adapter)
            adapters[prefix] = HTTPAdapter()
    return True


class _NewClient:
    """Replaces a gRPC client and connects at the first call: most children only execute another program."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter

    def Export(self, **request: Any) -> Any:  # noqa: N802 -- the name of the gRPC method
        """Create the channel and the client, and forward the call."""
        self._exporter._initialize_channel_and_stub()
        return self._exporter._client.Export(**request)
