"""What `sandscope.execution` refuses, and what a wrong argument does not prevent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import sandscope
from core._verdicts import verdicts_of
from harness import Telemetry
from sandscope import Metric, _manual

SIZE = Metric("test.size", "histogram", "By", "A size")


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("function", [_generator, _async_generator, "text", None, 5])
def test_a_function_that_cannot_be_decorated_is_refused_at_once(function: Any) -> None:
    with pytest.raises(TypeError, match="Use `with` inside it"):
        sandscope.execution("docker", "run")(function)


@pytest.mark.parametrize(
    ("runtime", "operation", "options", "error"),
    [
        (None, "run", {}, TypeError),
        (5, "run", {}, TypeError),
        (b"docker", "run", {}, TypeError),
        (_generator, "run", {}, TypeError),
        ("docker", ["run"], {}, TypeError),
        ("", "run", {}, ValueError),
        ("docker", " ", {}, ValueError),
        ("\udc80", "run", {}, ValueError),
        ("docker", "run", {"name": ""}, ValueError),
        ("docker", "run", {"name": 5}, TypeError),
        ("docker", "run", {"attributes": 5}, TypeError),
        ("docker", "run", {"attributes": {5: 1}}, TypeError),
        ("docker", "run", {"attributes": {"": 1}}, ValueError),
    ],
)
def test_a_wrong_argument_raises_at_once(
    runtime: Any, operation: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        sandscope.execution(runtime, operation, **options)


def test_an_execution_is_entered_once(recorded: Telemetry) -> None:
    once = sandscope.execution("docker", "run")
    with once, pytest.raises(RuntimeError, match="Cannot enter an execution twice"):
        once.__enter__()
    assert [verdict[0] for verdict in verdicts_of(recorded)] == ["OK"]


@pytest.mark.parametrize(
    "use",
    [
        lambda run: run.set_attributes(5),
        lambda run: run.set_attributes({"key": object()}),
        lambda run: run.add_event("event", 5),
        lambda run: run.add_event("event", {"key": object()}, "now"),
        lambda run: run.measure(["unhashable"], 5),
        lambda run: run.measure("size", 5),
        lambda run: run.measure(SIZE, "large"),
        lambda run: run.fail("no exception"),
        lambda run: run.on_end("not callable"),
        lambda run: run.environment({1: 2}),
    ],
    ids=range(10),
)
def test_a_wrong_argument_of_a_method_does_not_prevent_recording(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, use: Any
) -> None:
    monkeypatch.setattr(_manual, "_recorder", telemetry.recorder(_manual.SCOPE))
    with sandscope.execution("docker", "run") as run:
        use(run)
    assert len(telemetry.spans()) == len(telemetry.logs()) == 1
    assert [value for _, value in telemetry.points("sandbox.executions")] == [1.0]
    assert [value for _, value in telemetry.points("sandbox.execution.active")] == [0.0]
