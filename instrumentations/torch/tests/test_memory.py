"""The memory of the process and of accelerators, read when metrics are collected; out of memory under a real limit."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry, clean_environment

pytestmark = pytest.mark.torch
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")
BOTH = pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Only Linux says what is resident.")
MIB = 1 << 20


def _by_device(telemetry: Telemetry, metric: str) -> dict[tuple[Any, Any], float]:
    return {
        (point["torch.memory.device"], point.get("torch.memory.kind")): value
        for point, value in telemetry.points(metric)
    }


@LINUX
@BOTH
def test_resident_memory_and_its_peak_are_metrics(instrumented: Telemetry, torch: Any, net: Any) -> None:
    net(torch.ones(1, 4))
    before = _by_device(instrumented, "torch.memory.usage")["cpu", "resident"]
    kept = torch.ones(64 * MIB, dtype=torch.uint8)
    after = _by_device(instrumented, "torch.memory.usage")["cpu", "resident"]
    assert after - before > 32 * MIB
    del kept
    assert _by_device(instrumented, "torch.memory.peak")["cpu", None] >= after - MIB
    assert CONTRACT.violations(instrumented) == []


@BOTH
def test_an_accelerator_that_is_in_use_is_a_device_of_its_own(
    instrumented: Telemetry, torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = {
        "allocated_bytes.all.current": 3,
        "allocated_bytes.all.peak": 7,
        "reserved_bytes.all.current": 5,
        "reserved_bytes.all.peak": 9,
    }
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda index: used if index else {})
    usage, peak = (_by_device(instrumented, metric) for metric in ("torch.memory.usage", "torch.memory.peak"))
    assert {key: value for key, value in usage.items() if key[0] != "cpu"} == {
        ("cuda:1", "allocated"): 3.0,
        ("cuda:1", "reserved"): 5.0,
    }
    assert {key: value for key, value in peak.items() if key[0] != "cpu"} == {("cuda:1", None): 7.0}
    assert CONTRACT.violations(instrumented) == []


def test_cuda_is_not_started_for_it(instrumented: Telemetry, torch: Any) -> None:
    before = torch.cuda.is_initialized()
    instrumented.points("torch.memory.usage")
    assert torch.cuda.is_initialized() == before


@LINUX
@BOTH
def test_nothing_is_reported_of_a_program_without_the_instrumentation(
    telemetry: Telemetry, instrument: Any
) -> None:
    for _ in range(2):
        with instrument():
            assert ("cpu", "resident") in _by_device(telemetry, "torch.memory.usage")
    assert telemetry.points("torch.memory.peak") == []


@LINUX
@BOTH
def test_a_load_bears_the_peak_of_the_process(
    instrumented: Telemetry, torch: Any, net: Any, tmp_path: Any
) -> None:
    torch.save(net.state_dict(), tmp_path / "net.pt")
    torch.load(tmp_path / "net.pt", weights_only=True)
    (span,) = instrumented.spans()
    assert (span.attributes or {})["torch.load.memory.peak"] > 16 * MIB
    assert CONTRACT.violations(instrumented) == []


@LINUX
@BOTH
def test_a_call_bears_the_peak_of_the_process_at_its_end(
    instrumented: Telemetry, torch: Any, calling: Any
) -> None:
    """That of a call of a millisecond or longer, and of one that fails."""

    def forward(size: int, fails: bool) -> None:
        torch.ones(size * MIB, dtype=torch.uint8)
        if fails:
            raise ValueError("canary")

    model = calling(forward)
    model(64, False)
    before = _by_device(instrumented, "torch.memory.peak")["cpu", None]
    free = int(before - _by_device(instrumented, "torch.memory.usage")["cpu", "resident"]) // MIB
    model(free + 256, False)
    with pytest.raises(ValueError, match="canary"):
        model(free + 320, True)
    peaks = [int((span.attributes or {})["torch.memory.peak"]) for span in instrumented.spans()]
    assert abs(peaks[0] - before) < 16 * MIB, "the same as the metric"
    assert peaks[1] - peaks[0] > 128 * MIB
    assert peaks[2] >= peaks[1]
    assert CONTRACT.violations(instrumented) == []


INHERITED = """if True:
    import os, sys
    if "measured" not in sys.argv:
        kept = b"x" * (700 << 20)
        os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], "measured"])
    from sandscope.instrumentation.testing import Telemetry
    from sandscope_instrumentation_torch import TorchInstrumentor
    import resource, time, torch
    telemetry = Telemetry("deferred")
    TorchInstrumentor().instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))

    class Slow(torch.nn.Linear):
        def forward(self, batch):
            time.sleep(0.002)

    Slow(1, 1)(torch.ones(1, 1))
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(inherited >> 20, telemetry.spans()[0].attributes["torch.memory.peak"] >> 20)
"""


@LINUX
def test_the_peak_is_not_that_of_the_program_before(torch: Any) -> None:
    """Linux's `ru_maxrss` begins with the peak of the program that called `exec`."""
    done = subprocess.run(
        [sys.executable, "-c", INHERITED, INHERITED],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    inherited, own = map(int, done.stdout.split())
    assert inherited >= 700
    assert 50 < own < 650


@LINUX
def test_a_forked_child_reports_its_own(instrumented: Telemetry, torch: Any) -> None:
    kept = torch.ones(MIB)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        found = b"failed"
        try:
            from sandscope_instrumentation_torch._measures import _memory

            found = ",".join(point["torch.memory.device"] for point, _ in _memory._usage()).encode()
        finally:
            os.write(writing, found)
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"cpu"
    assert kept is not None


LIMITED = """if True:
    import resource
    from sandscope.instrumentation.testing import Telemetry
    from sandscope_instrumentation_torch import TorchInstrumentor
    import torch
    telemetry = Telemetry("deferred")
    TorchInstrumentor().instrument(recorder=telemetry.recorder(TorchInstrumentor.scope))

    class Growing(torch.nn.Linear):
        def forward(self, batch):
            kept = []
            while True:
                kept.append(torch.ones(64 << 20, dtype=torch.uint8))

    model, batch = Growing(1, 1), torch.ones(1, 1)
    model.eval()
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (512 << 20), resource.RLIM_INFINITY))
    try:
        model(batch)
    except RuntimeError:
        pass
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (span,) = telemetry.spans()
    assert span.attributes["torch.memory.peak"] > 200 << 20
    print(*[span.attributes[f"sandbox.verdict.{name}"] for name in ("status", "actor", "cause")])
    print(telemetry.points("sandbox.limit.violations")[0][0]["sandbox.limit"])
"""


@LINUX
def test_out_of_memory_under_a_limit_of_the_process(torch: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == ["MLE", "engine", "mle_cpu_allocator", "memory"], done.stderr
