"""Fixtures: torch if it is installed, and a model to call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness import Telemetry, lacking
from sandscope_instrumentation_torch import TorchInstrumentor


@pytest.fixture(scope="session")
def torch() -> Any:
    try:
        import torch
    except ImportError:
        lacking("torch is not installed: `make torch`")
    return torch


@pytest.fixture
def instrumented(torch: Any, telemetry: Telemetry) -> Iterator[Telemetry]:
    instrumentor = TorchInstrumentor()
    instrumentor.instrument(**telemetry.providers)
    yield telemetry
    instrumentor.uninstrument()


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
    """Return a function that makes a model whose forward is the given function."""

    class Calling(torch.nn.Module):
        def __init__(self, function: Any) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.function = function

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return self.function(*args, **kwargs)

    return Calling
