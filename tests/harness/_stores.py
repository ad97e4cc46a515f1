"""The real stores, started once for all tests of a session."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness._contract import ROOT
from harness._ports import free_ports
from harness._requires import lacking
from sandscope_collector.stores import (
    STORES,
    Progress,
    StartedStore,
    collector_environment,
    down,
    find_binary,
    select,
    up,
)

CONFIGURATION = ROOT / "collector-config"


@dataclass(frozen=True)
class Stores:
    """The addresses of the stores of this session.

    Attributes:
        prometheus: the address of its HTTP interface, as for the others.
        jaeger: as above.
        loki: as above.
        collector: the environment variables that tell a Collector's overlays these addresses.
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
        yield Stores(**urls, collector=collector_environment(entries.values()), scraped=scraped)


@contextmanager
def running(
    data: Path, *names: str, scrape: str = "127.0.0.1:1", configuration: Path = CONFIGURATION
) -> Iterator[dict[str, StartedStore]]:
    """Run stores on free ports for the duration of a ``with`` block."""
    wanted = select(names)
    ports = free_ports(port.name for store in STORES.values() for port in store.ports)
    try:
        yield up(wanted, configuration, data, Progress(io.StringIO()), ports=ports, scrape=scrape)
    finally:
        down(data)


def hurried_configuration(folder: Path) -> Path:
    """Copy the configuration of Prometheus and Alertmanager, with one second in place of every wait."""
    for name in ("prometheus", "alertmanager"):
        shutil.copytree(CONFIGURATION / name, folder / name)
    for file in folder.rglob("*.yaml"):
        waits = r"\b((?:(?:scrape|evaluation|group)_)?interval|group_wait|for): \d+[smh]"
        file.write_text(re.sub(waits, r"\1: 1s", file.read_text()))
    return folder


def requires_stores(*names: str) -> None:
    """Skip, or fail in CI, if one of these stores is neither built nor installed."""
    for store in select(names):
        if not find_binary(store, CONFIGURATION):
            lacking(
                f"{store.name} is not installed: `{'make stores' if store.packages else store.installation}`"
            )
