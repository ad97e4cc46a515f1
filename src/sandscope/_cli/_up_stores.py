"""The stores of `sandscope up --stores`, in a folder of their own beside the Collector's files."""

from __future__ import annotations

import sys
from pathlib import Path

from sandscope._errors import SandscopeError

OVERLAYS = ("prometheus", "jaeger", "loki")
"""Of the Collector, and the names of the stores."""


def start_stores(data: Path, page: int) -> dict[str, str]:
    """Start them, and return the variables that tell the Collector where they are.

    Args:
        data: the Collector's folder.
        page: the port of the Collector's page for Prometheus.

    Raises:
        SandscopeError: if they cannot be started.
    """
    try:
        from sandscope_collector import configuration
        from sandscope_collector.stores import Progress, StoresError, collector_environment, select, up
    except ImportError as error:
        raise SandscopeError(
            f"Cannot find the stores: {error}. Run `pip install 'sandscope[collector]'`."
        ) from error
    try:
        running = up(
            select(OVERLAYS),
            configuration(),
            data / "stores",
            Progress(sys.stderr, every=2),
            scrape=f"127.0.0.1:{page}",
        )
    except StoresError as error:
        raise SandscopeError(str(error)) from error
    return dict(collector_environment(running.values()))


def stop_stores(data: Path) -> None:
    """Stop those that run, and remove their data.

    Raises:
        SandscopeError: if their folder is in use.
    """
    from sandscope_collector.stores import StoresError, down

    try:
        down(data / "stores")
    except StoresError as error:
        raise SandscopeError(str(error)) from error
