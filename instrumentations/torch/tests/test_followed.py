"""A forward that is a generator or a coroutine is one execution, to its end."""

from __future__ import annotations

import asyncio
import gc
import inspect
import warnings
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry

pytestmark = [pytest.mark.torch, pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])]
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")


@pytest.fixture
def streaming(torch: Any, net: Any) -> Any:
    """Return a class of models that yield what their layers return."""

    class Streaming(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, batch: Any) -> Any:
            for number in range(3):
                sent = yield number, self.net(batch)
                if sent == "fail":
                    raise ValueError(sent)
            return "done"

    return Streaming


@pytest.fixture
def waiting(torch: Any, net: Any) -> Any:
    """Return a class of models whose forward is a coroutine."""

    class Waiting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        async def forward(self, batch: Any) -> Any:
            await asyncio.sleep(0)
            result = self.net(batch)
            await asyncio.sleep(0)
            return result

    return Waiting


def _statuses(telemetry: Telemetry) -> list[tuple[str, Any]]:
    assert CONTRACT.violations(telemetry) == []
    return [(span.name, (span.attributes or {})["sandbox.verdict.status"]) for span in telemetry.spans()]


def test_a_generator_is_one_execution(instrumented: Telemetry, torch: Any, net: Any, streaming: Any) -> None:
    def outer() -> Any:
        results.append((yield from streaming()(torch.ones(1, 4))))

    results: list[Any] = []
    generator = outer()
    assert next(generator)[0] == 0
    assert _statuses(instrumented) == []
    net(torch.ones(1, 4))  # Between two values, the thread is outside.
    assert [number for number, _ in generator] == [1, 2]
    assert results == ["done"]
    assert _statuses(instrumented) == [("training Net", "OK"), ("training Streaming", "OK")]
    assert [span.parent for span in instrumented.spans()] == [None, None]
    assert [value for _, value in instrumented.points("sandbox.execution.active")] == [0.0]


def test_a_generator_is_a_generator_of_the_same_name(
    instrumented: Telemetry, torch: Any, streaming: Any
) -> None:
    generator = streaming()(torch.ones(1, 4))
    assert inspect.isgenerator(generator)
    assert generator.__name__ == "forward"
    assert generator.__qualname__.endswith("Streaming.forward")
    del generator
    assert _statuses(instrumented) == [], "it never ran"


def test_a_generator_gets_what_is_sent_and_thrown(
    instrumented: Telemetry, torch: Any, streaming: Any
) -> None:
    generator = streaming()(torch.ones(1, 4))
    next(generator)
    with pytest.raises(ValueError, match="fail"):
        generator.send("fail")
    generator, error = streaming()(torch.ones(1, 4)), KeyError("mine")
    next(generator)
    with pytest.raises(KeyError) as raised:
        generator.throw(error)
    assert raised.value is error
    assert _statuses(instrumented) == [("training Streaming", "RE")] * 2


def test_a_generator_that_the_program_leaves_has_ended(
    instrumented: Telemetry, torch: Any, streaming: Any
) -> None:
    for _ in streaming()(torch.ones(1, 4)):
        break
    gc.collect()
    assert _statuses(instrumented) == [("training Streaming", "OK")]


def test_coroutines_are_one_execution_each_and_do_not_mix(
    instrumented: Telemetry, torch: Any, waiting: Any
) -> None:
    async def main() -> Any:
        model = waiting()
        made = model(torch.ones(3, 4))
        assert inspect.iscoroutine(made)
        tasks = [asyncio.create_task(model(torch.ones(size, 4))) for size in (1, 2)]
        return [tuple((await each).shape) for each in (made, *tasks)]

    assert asyncio.run(main()) == [(3, 2), (1, 2), (2, 2)]
    assert _statuses(instrumented) == [("training Waiting", "OK")] * 3
    shapes = {(span.attributes or {})["torch.input.shape"] for span in instrumented.spans()}
    assert shapes == {(1, 4), (2, 4), (3, 4)}
    assert [span.parent for span in instrumented.spans()] == [None] * 3


def test_a_cancelled_coroutine_was_interrupted(instrumented: Telemetry, torch: Any, waiting: Any) -> None:
    async def main() -> None:
        task = asyncio.create_task(waiting()(torch.ones(3, 4)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert _statuses(instrumented) == [("training Waiting", "IE")]


def test_a_coroutine_that_is_never_awaited_warns_once(
    instrumented: Telemetry, torch: Any, waiting: Any
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        waiting()(torch.ones(1, 4))
        gc.collect()
    (warning,) = caught
    assert "Waiting.forward' was never awaited" in str(warning.message)
    assert _statuses(instrumented) == []


def test_an_async_generator_is_one_execution(instrumented: Telemetry, torch: Any, net: Any) -> None:
    class Streaming(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        async def forward(self, batch: Any) -> Any:
            for number in range(3):
                await asyncio.sleep(0)
                yield number, self.net(batch)

    async def main() -> list[int]:
        return [number async for number, _ in Streaming()(torch.ones(1, 4))]

    assert asyncio.run(main()) == [0, 1, 2]
    assert _statuses(instrumented) == [("training Streaming", "OK")]
