"""A program that calls models for weeks needs no more memory for it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from harness import ROOT, clean_environment

pytestmark = [pytest.mark.torch, pytest.mark.slow]

_CALLS = """
import sys
from benchmarks._subjects import for_instrumentations
from benchmarks.torch import _memory_grown
from sandscope_instrumentation_torch import TorchInstrumentor
subject = for_instrumentations()
TorchInstrumentor().instrument()
import torch
torch.set_num_threads(1)
torch.set_grad_enabled(False)
print(_memory_grown(torch, subject, 1_000_000))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Only Linux says what is resident.")
def test_a_million_calls_need_no_more_memory(torch: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CALLS],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=1500,
        check=True,
    )
    assert float(done.stdout) < 8, "megabytes"
