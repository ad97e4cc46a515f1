"""`sandscope.execution` records one execution of any runtime, and never changes the program."""

from __future__ import annotations

import asyncio
import os

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

import sandscope
from core._verdicts import verdicts_of
from harness import Contract, Telemetry
from sandscope import OK, Metric, Verdict, current_execution

SIZE = Metric("test.size", "histogram", "By", "A size")


def test_the_end_of_the_block_is_ok_in_all_three_signals(recorded: Telemetry) -> None:
    with sandscope.execution("docker", "run", name="run python", attributes={"image": "python"}) as run:
        assert current_execution() is run
        run.set_attributes({"tags": ["a", "b"]})
        run.add_event("started", {"after": 1})
        run.measure(SIZE, 5)
    assert current_execution() is None
    (span,), (log,) = recorded.spans("run python"), recorded.logs()
    assert span.attributes is not None
    assert span.attributes["sandbox.runtime"] == "docker"
    assert span.attributes["image"] == "python"
    assert span.attributes["tags"] == ("a", "b")
    assert [event.name for event in span.events] == ["started"]
    assert log.log_record.span_id == span.context.span_id
    assert (log.log_record.attributes or {})["image"] == "python"
    kind = {"sandbox.runtime": "docker", "sandbox.operation": "run"}
    verdict = {f"sandbox.verdict.{k}": v for k, v in zip(("status", "actor", "cause"), OK, strict=False)}
    assert recorded.points("sandbox.executions") == [({**kind, **verdict}, 1.0)]
    assert recorded.points("test.size") == [({**kind, "sandbox.verdict.status": "OK"}, 1.0)]
    assert recorded.points("sandbox.execution.active") == [(kind, 0.0)]


def test_emitted_telemetry_is_declared(recorded: Telemetry) -> None:
    with sandscope.execution("docker", "run"):
        pass
    with pytest.raises(ValueError, match="x"), sandscope.execution("docker", "run"):
        raise ValueError("x")
    assert [span.name for span in recorded.spans()] == ["docker run"] * 2
    assert Contract().violations(recorded) == []


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ValueError("bad"), ("RE", "guest", "re_exception")),
        (KeyboardInterrupt(), ("IE", "host", "ie_interrupted")),
        (SystemExit(3), ("IE", "host", "ie_interrupted")),
        (asyncio.CancelledError(), ("IE", "host", "ie_interrupted")),
    ],
)
def test_an_exception_fails_the_execution_and_is_raised_unchanged(
    recorded: Telemetry, error: BaseException, verdict: tuple[str, ...]
) -> None:
    def run() -> None:
        with sandscope.execution("docker", "run"):
            raise error

    with pytest.raises(type(error)) as raised:
        run()
    assert raised.value is error
    assert error.__cause__ is error.__context__ is None
    assert verdicts_of(recorded) == [verdict]
    (span,) = recorded.spans()
    assert (span.attributes or {})["error.type"] == type(error).__qualname__


def test_later_ends_do_not_change_a_verdict(recorded: Telemetry) -> None:
    def run(timeout: BaseException) -> None:
        with sandscope.execution("docker", "run") as run:
            run.finish(Verdict("TLE", "host", "tle_wall", "wall"))
            run.measure(SIZE, 1)
            run.add_event("late")
            run.set_attributes({"late": True})
            raise timeout

    with pytest.raises(TimeoutError):
        run(TimeoutError("CANARY"))
    (span,), (log,) = recorded.spans(), recorded.logs()
    assert verdicts_of(recorded) == [("TLE", "host", "tle_wall")]
    assert (span.attributes or {})["sandbox.limit"] == "wall"
    assert (span.attributes or {})["error.type"] == "tle_wall"
    assert "late" not in (span.attributes or {})
    assert list(span.events) == []
    assert "exception.message" not in (log.log_record.attributes or {})
    assert recorded.points("test.size") == []


def test_an_exception_can_have_its_own_verdict(recorded: Telemetry) -> None:
    with sandscope.execution("docker", "run") as run:
        run.fail(TimeoutError("too long"), Verdict("TLE", "host", "tle_wall", "wall"))
    (log,) = recorded.logs()
    assert verdicts_of(recorded) == [("TLE", "host", "tle_wall")]
    assert (log.log_record.attributes or {})["exception.message"] == "too long"


def test_only_class_and_truncated_message_of_an_exception_are_kept(recorded: Telemetry) -> None:
    def run(secret: str) -> None:
        with sandscope.execution("docker", "run"):
            raise ValueError("m" * 1024 + secret)

    with pytest.raises(ValueError, match="m"):
        run("CANARY")
    (span,), (log,) = recorded.spans(), recorded.logs()
    assert (log.log_record.attributes or {})["exception.message"] == "m" * 1024
    for shown in (span.to_json(), repr(log.log_record.attributes), repr(recorded.metrics())):
        assert "CANARY" not in shown
        assert __file__ not in shown, "no traceback"


def test_as_a_decorator_each_call_is_an_execution(recorded: Telemetry) -> None:
    @sandscope.execution("docker", "run", name="divide", attributes={"kind": "test"})
    def divide(a: int, *, by: int) -> float:
        """Divide."""
        assert current_execution() is not None
        return a / by

    assert (divide.__name__, divide.__doc__) == ("divide", "Divide.")
    assert [divide(6, by=3), divide(4, by=2)] == [2, 2]
    with pytest.raises(ZeroDivisionError):
        divide(1, by=0)
    assert [verdict[0] for verdict in verdicts_of(recorded)] == ["OK", "OK", "RE"]
    assert {(span.attributes or {})["kind"] for span in recorded.spans("divide")} == {"test"}


def test_coroutine_functions_and_async_with_end_with_their_last_statement(recorded: Telemetry) -> None:
    @sandscope.execution("docker", "run", name="outer")
    async def outer(number: int) -> int:
        async with sandscope.execution("docker", "exec", name="inner") as run:
            await asyncio.sleep(0.01)
            assert current_execution() is run
        return number

    async def main() -> list[int]:
        return await asyncio.gather(*[outer(number) for number in range(5)])

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    outers = {span.context.span_id: span for span in recorded.spans("outer")}
    inners = recorded.spans("inner")
    assert len(outers) == len(inners) == 5
    assert {span.parent.span_id for span in inners if span.parent} == set(outers), "one parent each"
    assert all((span.end_time or 0) - (span.start_time or 0) > 5_000_000 for span in outers.values())


def test_a_cancelled_task_is_interrupted(recorded: Telemetry) -> None:
    @sandscope.execution("docker", "run")
    async def forever() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.ensure_future(forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert verdicts_of(recorded) == [("IE", "host", "ie_interrupted")]


def test_nothing_happens_while_instrumentation_is_suppressed(recorded: Telemetry) -> None:
    @sandscope.execution("docker", "run")
    def answer() -> int:
        return 42

    with suppress_instrumentation():
        assert answer() == 42
        with sandscope.execution("docker", "run") as run:
            run.set_attributes({"a": 1})
            run.add_event("event")
            run.measure(SIZE, 1)
            run.log("event", "body")
            run.on_end(lambda *_: pytest.fail("called"))
            assert run.environment() == dict(os.environ)
            assert run.environment({"A": "1"}) == {"A": "1"}
            assert run.duration == 0
            assert run.context is not None
            run.finish()
        with pytest.raises(ValueError, match="x"), sandscope.execution("docker", "run"):
            raise ValueError("x")
    assert recorded.spans() == recorded.logs() == []
    assert recorded.points("sandbox.executions") == []
