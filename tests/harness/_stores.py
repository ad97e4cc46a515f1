"""The real stores, started once for all tests of a session."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness._contract import ROOT
from harness._ports import free_ports
from harness._requires import lacking
from sandscope import _stores

CONFIGURATION = ROOT / "collector-config"


@dataclass(frozen=True)
class Stores:
    """Where the stores of this session are.

    Attributes:
        prometheus: the address of its HTTP interface, as for the others.
        jaeger: as above.
        loki: as above.
        collector: the variables by which a Collector's overlays find them.
        scraped: the port on which Prometheus expects the Collector's metrics page.
    """

    prometheus: str
    jaeger: str
    loki: str
    collector: dict[str, str]
    scraped: int


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Run Prometheus, Jaeger and Loki on free ports until the session ends."""
    names = ("prometheus", "jaeger", "loki")
    requires_stores(*names)
    scraped = free_ports(["collector"])["collector"]
    with running(
        tmp_path_factory.mktemp("stores") / "data", *names, scrape=f"127.0.0.1:{scraped}"
    ) as entries:
        urls = {name: entry.url for name, entry in entries.items()}
        yield Stores(**urls, collector=_stores.collector_environment(entries.values()), scraped=scraped)


@contextmanager
def running(data: Path, *names: str, scrape: str = "127.0.0.1:1") -> Iterator[dict[str, _stores.Running]]:
    """Run stores on free ports for as long as a ``with`` block."""
    wanted = _stores.chosen(names)
    ports = free_ports(port.name for store in _stores.STORES.values() for port in store.ports)
    try:
        yield _stores.up(
            wanted, CONFIGURATION, data, _stores.Progress(io.StringIO()), ports=ports, scrape=scrape
        )
    finally:
        _stores.down(data)


def requires_stores(*names: str) -> None:
    """Skip, or fail in CI, when one of these stores is neither built nor installed."""
    for store in _stores.chosen(names):
        if not _stores.find_binary(store, CONFIGURATION):
            lacking(f"{store.name} is absent: `{'make stores' if store.packages else store.hint}`")
