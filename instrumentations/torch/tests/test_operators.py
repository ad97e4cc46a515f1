"""The operators of one in so many calls are timed, unless the program itself watches them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry
from sandscope.instrumentation import SandscopeError
from sandscope_instrumentation_torch import TorchInstrumentor

pytestmark = pytest.mark.torch
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")


@contextmanager
def _timing(telemetry: Telemetry, every: int = 1) -> Iterator[None]:
    instrumentor = TorchInstrumentor()
    instrumentor.instrument(recorder=telemetry.recorder(TorchInstrumentor.scope), operators=every)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def _operators(telemetry: Telemetry) -> list[dict[str, int]]:
    """Return the calls of each operator, for each execution."""
    return [
        {
            str((event.attributes or {})["torch.operator.name"]): int(
                event.attributes["torch.operator.calls"]
            )
            for event in span.events
            if event.name == "torch.operator"
        }
        for span in telemetry.spans()
    ]


@pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
def test_one_in_so_many_calls_is_timed(torch: Any, telemetry: Telemetry, net: Any) -> None:
    batch = torch.ones(1, 4)
    plain = net(batch)
    with _timing(telemetry, 2), torch.no_grad():
        results = [net(batch) for _ in range(4)]
    assert all(torch.equal(result, plain) for result in results)
    none, first, still_none, second = _operators(telemetry)
    assert none == still_none == {}
    assert first == second
    assert (first["aten::addmm"], first["aten::relu"]) == (2, 1)
    durations = [(event.attributes or {})["torch.operator.duration"] for event in telemetry.spans()[1].events]
    assert durations == sorted(durations, reverse=True)
    assert CONTRACT.violations(telemetry) == []


def test_no_call_is_timed_by_default(instrumented: Telemetry, torch: Any, net: Any) -> None:
    net(torch.ones(1, 4))
    assert _operators(instrumented) == [{}]


def test_gradients_are_as_without(torch: Any, telemetry: Telemetry, net: Any) -> None:
    def gradients() -> list[Any]:
        net.zero_grad()
        net(torch.ones(2, 4)).sum().backward()
        return [parameter.grad.clone() for parameter in net.parameters()]

    plain = gradients()
    with _timing(telemetry):
        assert all(torch.equal(*pair) for pair in zip(plain, gradients(), strict=True))


def test_what_a_call_has_done_before_it_fails(torch: Any, telemetry: Telemetry, calling: Any) -> None:
    def fail(batch: Any) -> None:
        torch.relu(batch)
        raise error

    error = ValueError("canary")
    with _timing(telemetry), pytest.raises(ValueError, match="canary") as caught:
        calling(fail)(torch.ones(1, 4))
    assert caught.value is error
    assert _operators(telemetry)[0]["aten::relu"] == 1


def test_it_steps_aside_while_the_program_profiles(torch: Any, telemetry: Telemetry, net: Any) -> None:
    with _timing(telemetry), torch.autograd.profiler.profile() as profile:
        net(torch.ones(1, 4))
    assert _operators(telemetry) == [{}]
    assert "aten::addmm" in {event.key for event in profile.key_averages()}


def test_it_steps_aside_for_a_dispatch_mode_and_a_transform(
    torch: Any, telemetry: Telemetry, net: Any
) -> None:
    class Mode(torch.utils._python_dispatch.TorchDispatchMode):  # type: ignore[misc]
        seen = 0

        def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            Mode.seen += 1
            return function(*args, **(kwargs or {}))

    with _timing(telemetry):
        with Mode():
            net(torch.ones(1, 4))
        torch.func.vmap(net)(torch.ones(3, 4))
    assert Mode.seen > 2
    assert _operators(telemetry) == [{}, {}]


def test_compiled_models_are_left_out(torch: Any, telemetry: Telemetry, net: Any) -> None:
    import torch._dynamo

    torch._dynamo.reset()
    net.layers[0] = torch.compile(net.layers[0], backend="eager")
    with _timing(telemetry), torch.no_grad():
        net(torch.ones(1, 4))
        net.layers[0] = torch.nn.Linear(4, 8)
        net.layers[2].compile(backend="eager")
        net(torch.ones(1, 4))
    assert _operators(telemetry) == [{}, {}]
    torch._dynamo.reset()


@pytest.mark.parametrize("wrong", [0, -1, True, "many"])
def test_a_wrong_number_is_refused(torch: Any, wrong: Any) -> None:
    with pytest.raises(SandscopeError):
        TorchInstrumentor().instrument(operators=wrong)
