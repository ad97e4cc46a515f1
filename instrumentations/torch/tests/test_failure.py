"""A call that fails has the verdict that its exception proves, and raises the very same exception."""

from __future__ import annotations

import asyncio
import gc
import traceback
import weakref
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry

pytestmark = pytest.mark.torch
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")


def _verdicts(telemetry: Telemetry) -> list[tuple[Any, ...]]:
    names = ("sandbox.verdict.status", "sandbox.verdict.actor", "sandbox.verdict.cause")
    return [tuple((span.attributes or {})[name] for name in names) for span in telemetry.spans()]


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_the_same_exception_comes_out_with_the_users_frames(
    instrumented: Telemetry, torch: Any, calling: Any
) -> None:
    error = ValueError("mine")

    def forward() -> None:
        _raise(error)

    with pytest.raises(ValueError, match="mine") as raised:
        calling(forward)()
    assert raised.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    functions = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert functions[0] == "test_the_same_exception_comes_out_with_the_users_frames"
    assert functions[-2:] == ["forward", "_raise"]
    assert _verdicts(instrumented) == [("RE", "guest", "re_python_exception")]
    ((attributes, value),) = instrumented.points("sandbox.executions")
    assert (attributes["sandbox.verdict.status"], value) == ("RE", 1.0)
    assert CONTRACT.violations(instrumented) == []


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_a_failed_call_leaves_its_thread_as_it_was(
    instrumented: Telemetry, torch: Any, net: Any, calling: Any
) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        net(torch.ones(1, 3))
    net(torch.ones(1, 4))
    assert [verdict[0] for verdict in _verdicts(instrumented)] == ["RE", "OK"]
    assert [span.parent for span in instrumented.spans()] == [None, None]


def test_a_tensor_too_large_for_the_cpu_is_out_of_memory(
    instrumented: Telemetry, torch: Any, calling: Any
) -> None:
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        calling(torch.empty)(1 << 46)
    assert _verdicts(instrumented) == [("MLE", "engine", "mle_cpu_allocator")]
    ((attributes, value),) = instrumented.points("sandbox.limit.violations")
    assert (attributes["sandbox.limit"], value) == ("memory", 1.0)
    assert CONTRACT.violations(instrumented) == []


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_out_of_memory_inside_torchscript_is_found_too(instrumented: Telemetry, torch: Any) -> None:
    graph = torch.jit.trace(torch.nn.Linear(1, 1), torch.ones(1, 1), check_trace=False)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        graph(torch.ones(1, 1).expand(1 << 46, 1))
    assert _verdicts(instrumented) == [("MLE", "engine", "mle_cpu_allocator")]


def test_python_memory_error_is_out_of_memory(instrumented: Telemetry, torch: Any, calling: Any) -> None:
    with pytest.raises(MemoryError):
        calling(lambda: bytearray(1 << 62))()
    assert _verdicts(instrumented) == [("MLE", "engine", "mle_memory_error")]
    assert CONTRACT.violations(instrumented) == []


def test_the_accelerators_own_exception_is_out_of_memory(
    instrumented: Telemetry, torch: Any, calling: Any
) -> None:
    error = torch.OutOfMemoryError("as raised by the allocator")
    with pytest.raises(torch.OutOfMemoryError):
        calling(lambda: _raise(error))()
    assert _verdicts(instrumented) == [("MLE", "engine", "mle_cuda_oom")]
    assert CONTRACT.violations(instrumented) == []


def test_an_error_whose_message_only_mentions_memory_is_an_error(
    instrumented: Telemetry, torch: Any, calling: Any
) -> None:
    with pytest.raises(RuntimeError):
        calling(lambda: _raise(RuntimeError("no memory of that")))()
    with pytest.raises(ValueError, match="CUDA"):
        calling(lambda: _raise(ValueError("CUDA out of memory")))()
    assert _verdicts(instrumented) == [("RE", "guest", "re_python_exception")] * 2


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_an_interrupt_ends_the_call_by_the_host(
    instrumented: Telemetry, torch: Any, calling: Any, interrupt: type[BaseException]
) -> None:
    with pytest.raises(interrupt):
        calling(lambda: _raise(interrupt()))()
    assert _verdicts(instrumented) == [("IE", "host", "ie_interrupted")]
    assert CONTRACT.violations(instrumented) == []


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_tensors_of_a_failed_call_are_freed_with_its_exception(
    instrumented: Telemetry, torch: Any, calling: Any
) -> None:
    """A program that catches out of memory and tries a smaller batch needs the memory back at once."""
    kept: list[weakref.ref[Any]] = []

    def forward() -> None:
        activation = torch.ones(1000)
        kept.append(weakref.ref(activation))
        raise RuntimeError("out of luck")

    gc.disable()
    try:
        try:
            calling(forward)()
        except RuntimeError:
            assert kept[0]() is not None
        assert kept[0]() is None
    finally:
        gc.enable()


def test_a_module_whose_attributes_raise_still_runs(
    instrumented: Telemetry, torch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def training(_self: Any) -> bool:
        raise LookupError("not today")

    members = {"training": property(training, lambda _self, _value: None)}
    odd = type("Odd", (torch.nn.Linear,), members)(2, 2)
    assert odd(torch.ones(1, 2)).shape == (1, 2)
    assert instrumented.spans() == []
    components = [attributes for attributes, _ in instrumented.points("sandscope.errors")]
    assert {"sandscope.component": "torch.site"} in components
    assert CONTRACT.violations(instrumented) == []
