"""Compilations are measured, and are events of the calls that wait for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry

pytestmark = pytest.mark.torch
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")


@pytest.fixture(autouse=True)
def compiler(torch: Any) -> Iterator[Any]:
    import torch._dynamo

    torch._dynamo.reset()
    yield torch._dynamo
    torch._dynamo.reset()


def _compilations(telemetry: Telemetry) -> dict[tuple[Any, Any], float]:
    points = telemetry.points("torch.compile.duration")
    return {(each["torch.compile.trigger"], each["torch.compile.again"]): count for each, count in points}


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
@pytest.mark.since_torch("2.6", "compilations are not recorded before")
def test_first_and_further_compilations_of_a_model(instrumented: Telemetry, torch: Any, net: Any) -> None:
    model = torch.compile(net, backend="eager", dynamic=False)
    for size in (1, 1, 2):
        model(torch.ones(size, 4))
    spans = instrumented.spans("training Net")
    events = [[event for event in span.events if event.name == "torch.compile"] for span in spans]
    assert [len(each) for each in events] == [1, 0, 1]
    ((first,), _, (second,)) = events
    assert (first.attributes or {})["torch.compile.again"] is False
    assert (second.attributes or {})["torch.compile.again"] is True
    assert (first.attributes or {})["torch.compile.duration"] > 0
    assert _compilations(instrumented) == {("call", False): 1.0, ("call", True): 1.0}
    assert CONTRACT.violations(instrumented) == []


@pytest.mark.since_torch("2.6", "compilations are not recorded before")
def test_compilations_are_seen_after_the_compiler_is_reset(
    instrumented: Telemetry, torch: Any, net: Any, compiler: Any
) -> None:
    compiler.reset()
    function = torch.compile(lambda batch: batch * 2, backend="eager")
    assert function(torch.ones(2)).tolist() == [2, 2]
    assert _compilations(instrumented) == {("call", False): 1.0}


@pytest.mark.since_torch("2.6", "its callbacks have arguments")
def test_callbacks_of_the_program_are_called_once(
    instrumented: Telemetry, torch: Any, net: Any, compiler: Any
) -> None:
    called: list[str] = []
    compiler.on_compile_start(lambda _args: called.append("start"))
    compiler.on_compile_end(lambda _args: called.append("end"))
    torch.compile(net, backend="eager")(torch.ones(1, 4))
    assert called == ["start", "end"]


@pytest.mark.since_torch("2.6", "compilations are not recorded before")
def test_a_compilation_that_fails_raises_as_before(instrumented: Telemetry, torch: Any) -> None:
    def broken(_graph: Any, _inputs: Any) -> Any:
        raise ValueError("no such backend")

    function = torch.compile(lambda batch: batch * 2, backend=broken)
    with pytest.raises(Exception, match="no such backend"):
        function(torch.ones(2))
    assert _compilations(instrumented) == {("call", False): 1.0}


def test_the_size_of_the_cache(instrumented: Telemetry, torch: Any, net: Any, compiler: Any) -> None:
    model = torch.compile(net, backend="eager", dynamic=False)
    for size in (1, 2, 2):
        model(torch.ones(size, 4))
    assert [value for _, value in instrumented.points("torch.compile.cache.entries")] == [2]
    assert CONTRACT.violations(instrumented) == []
    compiler.reset()
    assert [value for _, value in instrumented.points("torch.compile.cache.entries")] == [0]


def test_metrics_are_collected_while_the_program_imports_the_compiler(
    instrumented: Telemetry, torch: Any, compiler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of ours collects them; modules that are being imported lack what they do not define yet."""
    monkeypatch.setitem(sys.modules, "torch._dynamo.convert_frame", ModuleType("torch._dynamo.convert_frame"))
    assert instrumented.points("torch.compile.cache.entries") == []
    assert instrumented.points("sandscope.errors") == []
