"""Installed before torch, the instrumentation waits for it; it never imports torch itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from harness import clean_environment

pytestmark = pytest.mark.torch

_BEGIN = """
import sys, warnings
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sandscope_instrumentation_torch import TorchInstrumentor
memory, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(memory))
TorchInstrumentor().instrument(tracer_provider=provider)
assert "torch" not in sys.modules
"""


def _run(source: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN + source],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_patched_when_the_program_imports_torch(torch: Any) -> None:
    source = """
import torch
assert "torch._dynamo" not in sys.modules
torch.nn.Linear(2, 2).eval()(torch.ones(1, 2))
try:
    torch.load("missing.pt")
except FileNotFoundError:
    pass
print([span.name for span in memory.get_finished_spans()])
"""
    assert _run(source) == "['inference Linear', 'load torch']"


def test_not_patched_when_uninstrumented_before(torch: Any) -> None:
    source = """
TorchInstrumentor().uninstrument()
import torch
torch.nn.Linear(2, 2).eval()(torch.ones(1, 2))
print([span.name for span in memory.get_finished_spans()])
"""
    assert _run(source) == "[]"
