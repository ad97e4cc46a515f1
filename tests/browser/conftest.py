"""A site, a Collector with the overlay for browsers, and a real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from browser._site import Site, serving
from harness import collector_ports, requires_otelcol
from harness._chromium import chromium
from sandscope._collector import CollectorProcess, Composition

__all__ = ["chromium"]
Collect = Callable[..., CollectorProcess]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Return a site, whose origin the Collector allows."""
    with serving() as site:
        yield site


@pytest.fixture(scope="module")
def foreign() -> Iterator[Site]:
    """Return a site whose origin the Collector does not allow."""
    with serving() as site:
        yield site


@pytest.fixture(scope="module")
def collect(site: Site) -> Iterator[Collect]:
    """Start Collectors that take telemetry from the site's pages."""
    otelcol = requires_otelcol()
    with ExitStack() as running, pytest.MonkeyPatch.context() as environment:
        environment.setenv("SANDSCOPE_BROWSER_ORIGINS", f"https://shop.example,{site.origin}")
        environment.setenv("SANDSCOPE_BROWSER_SERVICE", "shop-pages")

        def start(data: Path, *overlays: str) -> CollectorProcess:
            composition = Composition.of("local", "browser", *overlays)
            collector = CollectorProcess(composition, data=data, ports=collector_ports(), otelcol=otelcol)
            return running.enter_context(collector)

        yield start
