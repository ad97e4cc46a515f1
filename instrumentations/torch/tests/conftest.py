"""Fixtures: torch if it is installed, its instrumentation, and a model to call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from harness import Telemetry, lacking
from sandscope_instrumentation_torch import TorchInstrumentor

OLD = (
    "ignore:You are using .torch.load. with .weights_only=False.:FutureWarning",
    "ignore:.torch.cpu.amp.autocast.args..... is deprecated:FutureWarning",
)
"""What torch before 2.6 warns of, whoever calls it."""
READS_BYTES = "ignore:The given buffer is not writable:UserWarning"
"""What `torch.export.load` of torch 2.9 warns of."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let an old torch say what it says to every program, and skip what it does not have."""
    try:
        installed = version_of("torch")
    except PackageNotFoundError:
        return
    for item in items:
        if not item.path.is_relative_to(Path(__file__).parent):
            continue
        for each in OLD if installed < (2, 6) else ():
            item.add_marker(pytest.mark.filterwarnings(each))
        if installed < (2, 15):
            item.add_marker(pytest.mark.filterwarnings(READS_BYTES))
        needed = item.get_closest_marker("since_torch")
        if needed and installed < tuple(map(int, needed.args[0].split("."))):
            item.add_marker(pytest.mark.skip(f"since torch {needed.args[0]}: {needed.args[1]}"))


def version_of(package: str) -> tuple[int, int]:
    """Return the major and minor version of a package."""
    major, minor = version(package).split(".")[:2]
    return int(major), int(minor)


@pytest.fixture(scope="session")
def torch() -> Any:
    try:
        import torch
    except ImportError:
        lacking("torch is not installed: `make torch`")
    return torch


@pytest.fixture
def recorder_kind() -> str:
    """Return the default recorder; a test of what is recorded takes both as parameters."""
    return "deferred"


@pytest.fixture
def telemetry(recorder_kind: str) -> Iterator[Telemetry]:
    memory = Telemetry(recorder_kind)
    yield memory
    memory.shutdown()


@pytest.fixture
def instrument(torch: Any, telemetry: Telemetry) -> Callable[[], AbstractContextManager[None]]:
    """Return a context manager within which torch is instrumented."""

    @contextmanager
    def instrumented() -> Iterator[None]:
        instrumentor = TorchInstrumentor()
        instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))
        try:
            yield
        finally:
            instrumentor.uninstrument()

    return instrumented


@pytest.fixture
def instrumented(
    telemetry: Telemetry, instrument: Callable[[], AbstractContextManager[None]]
) -> Iterator[Telemetry]:
    with instrument():
        yield telemetry


@pytest.fixture
def net(torch: Any) -> Any:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))

        def forward(self, batch: Any) -> Any:
            return self.layers(batch)

    return Net()


@pytest.fixture
def calling(torch: Any) -> Any:
    """Return a class of models whose forward is the given function."""

    class Calling(torch.nn.Module):
        def __init__(self, function: Any) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.function = function

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return self.function(*args, **kwargs)

    return Calling
