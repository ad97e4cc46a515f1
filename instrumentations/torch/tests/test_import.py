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


_CALLS = """
import copy, sys
if "instrumented" in sys.argv:
    from sandscope_instrumentation_torch import TorchInstrumentor
    TorchInstrumentor().instrument()
import torch

class Net(torch.nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = torch.nn.ModuleList(layers)
    def forward(self, batch):
        for layer in self.layers:
            batch = layer(batch)
        return batch

def filled(value):
    linear = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.constant_(linear.weight, value)
    return linear

first, second, hooked, compiled, own = (filled(value) for value in range(1, 6))
first._call_impl = second._call_impl
copied = copy.copy(first)
copied.forward = lambda batch: batch * 100
hooked.register_forward_hook(lambda module, inputs, output: output + 1)
compiled._compiled_call_impl = lambda batch: batch - 7
own.forward = lambda batch: batch * 2
net = Net(first, copied, hooked, compiled, own)
with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], with_stack=True) as profile:
    print(net(torch.ones(1, 2)).tolist())
print([event.name for event in profile.events() if event.name.startswith("nn.Module")])
class Unready(torch.nn.Module):
    def __init__(self): pass
    def forward(self, batch): return batch
for model in (Unready(), Net(Unready())):
    try:
        model(torch.ones(1))
    except AttributeError as error:
        print(error)
"""


@pytest.mark.since_torch("2.6", "the profiler names modules")
def test_layers_are_called_as_without_instrumentation_if_it_came_before_torch(torch: Any) -> None:
    """Then the wrapper stands in the place of torch's own call."""
    plain, instrumented = (
        subprocess.run(
            [sys.executable, "-c", _CALLS, *arguments],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        for arguments in ([], ["instrumented"])
    )
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.count("nn.Module: Linear") == 5
    assert instrumented.stdout == plain.stdout, instrumented.stderr


@pytest.mark.since_torch("2.6", "the profiler names modules")
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


_PROFILES = """
import itertools, sys
from sandscope_instrumentation_torch import TorchInstrumentor
instrumentor = TorchInstrumentor()
steps = sys.argv[1:]
if steps[0] == "instrument before":
    instrumentor.instrument()
import torch
net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
for step in steps:
    if step == "instrument":
        instrumentor.instrument()
    elif step == "uninstrument":
        instrumentor.uninstrument()
    elif step == "profile":
        activities = [torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities, with_stack=True) as profile:
            net(torch.ones(1, 2))
        names = [event.name for event in profile.events() if event.name.startswith("nn.Module")]
        print([name.split()[1].rpartition("_")[0] for name in names])
"""


@pytest.mark.parametrize(
    "steps",
    [
        ["instrument before", "profile", "uninstrument", "profile", "instrument", "profile"],
        ["instrument", "profile", "uninstrument", "profile"],
        ["profile", "instrument", "profile", "uninstrument", "profile"],
    ],
    ids=" ".join,
)
@pytest.mark.since_torch("2.6", "the profiler names modules")
def test_the_profiler_names_modules_in_any_order(torch: Any, steps: list[str]) -> None:
    """It looks for the frames of the code that `Module.__call__` had when the program first profiled."""
    done = subprocess.run(
        [sys.executable, "-c", _PROFILES, *steps],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['Sequential', 'Linear', 'ReLU']"] * steps.count("profile")
