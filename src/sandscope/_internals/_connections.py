"""The connections of the SDK's exporters."""

from __future__ import annotations

from typing import Any

_left: list[object] = []
"""Kept: to close them takes locks that another thread of the parent may have held at the fork."""


def leave_connections(exporter: Any) -> bool:
    """Let an OTLP/HTTP exporter in a forked child open connections of its own: it shares the parent's.

    Returns:
        False if its connections are not where this knows them.
    """
    adapters = getattr(getattr(exporter, "_session", None), "adapters", None)
    if not isinstance(adapters, dict):
        return False
    from requests.adapters import HTTPAdapter

    for prefix, adapter in list(adapters.items()):
        if type(adapter) is HTTPAdapter:
            _left.append(adapter)
            adapters[prefix] = HTTPAdapter()
    return True
