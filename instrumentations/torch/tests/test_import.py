"""Installed before torch, the instrumentation waits for it; it never imports torch itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from harness import clean_environment

pytestmark = pytest.mark.torch

_PROGRAM = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sandscope_instrumentation_torch import TorchInstrumentor
before, memory = InMemorySpanExporter(), InMemorySpanExporter()
for exporter in (before, memory):
    TorchInstrumentor().uninstrument()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    TorchInstrumentor().instrument(tracer_provider=provider)
assert "torch" not in sys.modules

import torch
assert "torch._dynamo" not in sys.modules
net = torch.nn.Linear(2, 2).eval()
net(torch.ones(1, 2))
try:
    torch.load("missing.pt")
except FileNotFoundError:
    pass
assert before.get_finished_spans() == (), "it was uninstrumented before the program imported torch"
print([span.name for span in memory.get_finished_spans()])

# The profiler takes the code of Module.__call__ the first time that it runs.
with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], with_stack=True) as profile:
    net(torch.ones(1, 2))
print([event.name for event in profile.events() if event.name.startswith("nn.Module")])
"""


def test_instrumented_before_the_program_imports_torch(torch: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['inference Linear', 'load torch']", "['nn.Module: Linear_0']"]
