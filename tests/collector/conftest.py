from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness import collector_ports, requires_otelcol
from sandscope._collector import CollectorProcess, Composition

Start = Callable[..., CollectorProcess]


@pytest.fixture(scope="session")
def otelcol() -> Path:
    return requires_otelcol()


@pytest.fixture
def start(otelcol: Path, tmp_path: Path) -> Iterator[Start]:
    """Start Collectors on free ports with these overlays; they are stopped when the test ends."""
    with ExitStack() as running:

        def start(*overlays: str | Path) -> CollectorProcess:
            composition = Composition.of(*overlays)
            collector = CollectorProcess(
                composition, data=tmp_path / "data", ports=collector_ports(), otelcol=otelcol
            )
            return running.enter_context(collector)

        yield start
