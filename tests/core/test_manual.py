"""`sandscope.execution` records one execution of any runtime, and never changes the program."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import suppress_instrumentation

import sandscope
from deferred._forked import in_child
from harness import ROOT, Contract, OtlpSink, Telemetry, clean_environment, run_program, wait_until
from sandscope import OK, Metric, Verdict, _guard, _inherited, _manual, current_execution
from sandscope_instrumentation_subprocess import SubprocessInstrumentor
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

SIZE = Metric("test.size", "histogram", "By", "A size")


@pytest.fixture
def recorded(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    """Record with an SDK that keeps telemetry in memory; afterwards, check that telemetry had no errors."""
    monkeypatch.setattr(_manual, "_recorder", telemetry.recorder(_manual.SCOPE))
    outside = context.attach(Context())
    yield telemetry
    assert trace.get_current_span() is trace.INVALID_SPAN
    context.detach(outside)
    assert telemetry.points("sandscope.errors") == []


def _verdicts(telemetry: Telemetry) -> list[tuple[Any, ...]]:
    names = ("status", "actor", "cause")
    return [
        tuple((span.attributes or {}).get(f"sandbox.verdict.{name}") for name in names)
        for span in telemetry.spans()
    ]


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
    assert _verdicts(recorded) == [verdict]
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
    assert _verdicts(recorded) == [("TLE", "host", "tle_wall")]
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
    assert _verdicts(recorded) == [("TLE", "host", "tle_wall")]
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
    assert [verdict[0] for verdict in _verdicts(recorded)] == ["OK", "OK", "RE"]
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
    assert _verdicts(recorded) == [("IE", "host", "ie_interrupted")]


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
    assert [verdict[0] for verdict in _verdicts(recorded)] == ["OK"]


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


def test_the_environment_continues_the_trace_and_changes_nothing_else(
    recorded: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    inherited = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    own = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    monkeypatch.setenv("TRACEPARENT", inherited)
    monkeypatch.setenv("TRACESTATE", "stale=1")
    at_start = frozenset({b"TRACEPARENT=" + inherited.encode()})
    monkeypatch.setattr(_inherited, "entries_at_start", lambda: at_start)
    before = dict(os.environ)
    with sandscope.execution("docker", "run") as run:
        identity = trace.get_current_span(run.context).get_span_context()
        parent = f"00-{identity.trace_id:032x}-{identity.span_id:016x}-{identity.trace_flags:02x}"
        given = {"A": "1"}
        assert run.environment(given) == {"A": "1", "TRACEPARENT": parent}
        assert given == {"A": "1"}
        rest = {name: value for name, value in before.items() if name != "TRACESTATE"}
        assert run.environment() == {**rest, "TRACEPARENT": parent}
        assert run.environment(before) == {**rest, "TRACEPARENT": parent}, "a copy of what was inherited"
        assert run.environment({"TRACEPARENT": own}) == {"TRACEPARENT": own}, "set by the program"
        assert sandscope.child_environment({}) == {"TRACEPARENT": parent}
        assert dict(os.environ) == before
        monkeypatch.setenv("TRACEPARENT", own)
        for environment in (run.environment(), run.environment(dict(os.environ))):
            assert (environment["TRACEPARENT"], environment["TRACESTATE"]) == (own, "stale=1"), (
                "set by the program"
            )


def test_nested_executions_and_spans_are_children(recorded: Telemetry) -> None:
    instrumentors = (SubprocessInstrumentor(), WasmtimeInstrumentor())
    for instrumentor in instrumentors:
        instrumentor.instrument(**recorded.providers)
    try:
        with sandscope.execution("judge", "submission", name="judge"):
            subprocess.run([sys.executable, "-c", ""], check=True)
            store = wasmtime.Store()
            text = '(module (import "host" "f" (func $f)) (func (export "run") (call $f)))'
            host = wasmtime.Func(store, wasmtime.FuncType([], []), _inner)
            exports = wasmtime.Instance(store, wasmtime.Module(store.engine, text), [host]).exports(store)
            exports["run"](store)
        assert wait_until(lambda: len(recorded.spans()) == 4)
    finally:
        for instrumentor in instrumentors:
            instrumentor.uninstrument()
    (outer,), (inner,), (wasm,) = (recorded.spans(name) for name in ("judge", "inner", "wasm run"))
    parents = {span.name: span.parent and span.parent.span_id for span in recorded.spans()}
    assert parents.pop("judge") is None
    assert parents.pop("inner") == wasm.context.span_id
    assert set(parents.values()) == {outer.context.span_id}
    assert inner.context.trace_id == outer.context.trace_id


@sandscope.execution("test", "inside", name="inner")
def _inner() -> None:
    pass


def test_leaving_on_another_thread_or_in_another_context_does_not_raise(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_manual, "_recorder", telemetry.recorder(_manual.SCOPE))
    errors: list[BaseException] = []

    def in_thread() -> None:
        context = sandscope.execution("docker", "run", name="thread")
        context.__enter__()

        def leave() -> None:
            try:
                context.__exit__(None, None, None)
            except BaseException as error:  # noqa: BLE001 -- the test fails on any error
                errors.append(error)

        other = threading.Thread(target=leave)
        other.start()
        other.join()

    def generator() -> Iterator[int]:
        with sandscope.execution("docker", "run", name="generator"):
            yield 1

    def in_generator() -> None:
        import contextvars

        steps = generator()
        contextvars.copy_context().run(next, steps)
        contextvars.copy_context().run(steps.close)

    for work in (in_thread, in_generator):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert errors == []
    assert [span.name for span in telemetry.spans()] == ["thread", "generator"]
    assert _verdicts(telemetry) == [("OK", "guest", "normal_exit"), ("IE", "host", "ie_interrupted")]
    caplog.clear()


def test_runtimes_and_operations_are_limited(
    recorded: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_manual, "_kinds", set())
    _manual._site.cache_clear()
    caplog.set_level(logging.WARNING, "sandscope")
    for number in range(40):
        with sandscope.execution(f"runtime {number}", "run"):
            pass
    points = recorded.points("sandbox.executions")
    assert len(points) == 33
    (beyond,) = [value for attributes, value in points if attributes["sandbox.runtime"] == "other"]
    assert beyond == 8
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "Executions of runtime 32 run are recorded as other"
    ]
    assert Contract().violations(recorded) == []
    _manual._site.cache_clear()


def test_the_number_of_sites_is_limited_if_names_differ_each_time() -> None:
    for number in range(1000):
        sandscope.execution("docker", "run", name=f"run {number}")
    assert _manual._site.cache_info().currsize <= 256


def test_the_recorder_is_requested_once(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandscope._recording import _choice

    asked = []
    get = telemetry.recorder
    monkeypatch.setattr(_manual, "_recorder", None)
    monkeypatch.setattr(_choice, "get_recorder", lambda scope: [asked.append(scope), get(scope)][1])
    for _ in range(3):
        with sandscope.execution("docker", "run"):
            pass
    assert asked == [_manual.SCOPE]
    assert len(telemetry.spans()) == 3


def test_without_a_recorder_the_program_runs_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from sandscope._recording import _choice

    def broken(_scope: object) -> None:
        raise RuntimeError("a broken SDK")

    monkeypatch.setattr(_manual, "_recorder", None)
    monkeypatch.setattr(_choice, "get_recorder", broken)
    with sandscope.execution("docker", "run") as run:
        assert run.environment({}) == {}
    assert _guard.counts() == {"recorder.begin": 1}
    assert len(caplog.records) == 1


def test_a_forked_child_records_its_executions(recorded: Telemetry) -> None:
    def child() -> list[str]:
        recorded.clear()
        with sandscope.execution("docker", "run", name="of the child"):
            pass
        return [span.name for span in recorded.spans()]

    with sandscope.execution("docker", "run", name="of the parent"):
        assert in_child(child) == ["of the child"]
    assert [span.name for span in recorded.spans()] == ["of the parent"]


PROGRAM = """
import sandscope
with sandscope.execution("docker", "run", name="before"):
    pass
import sandscope.auto
with sandscope.execution("docker", "run", name="after"):
    pass
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
with sandscope.execution("docker", "run", name="replaced"):
    pass
print([span.name for span in exporter.get_finished_spans()])
"""


@pytest.mark.parametrize("first", ["set up before", "set up after"])
def test_it_uses_the_providers_that_the_program_sets(first: str) -> None:
    program = PROGRAM if first == "set up after" else "import sandscope.auto\n" + PROGRAM
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        run = run_program(program, way=(), environment=environment)
        assert (run.stdout, run.stderr) == ("['replaced']\n", "")
        names = {span.name for span in sink.spans}
    assert names == ({"before", "after"} if first == "set up before" else {"after"})


def test_decorators_keep_the_types_of_functions(tmp_path: Path) -> None:
    source = """
import sandscope

@sandscope.execution("docker", "run")
def run(code: str, *, limit: int = 1) -> bytes:
    return b""

@sandscope.execution("docker", "run")
async def run_async(code: str) -> bytes:
    return b""

reveal_type(run)
reveal_type(run_async)
with sandscope.execution("docker", "run") as execution:
    reveal_type(execution)
    reveal_type(execution.environment())
"""
    (tmp_path / "program.py").write_text(source)
    check = [sys.executable, "-m", "mypy", str(tmp_path / "program.py")]
    run = subprocess.run(check, capture_output=True, text=True, check=False, cwd=ROOT)
    said = run.stdout
    assert run.returncode == 0, said + run.stderr
    for revealed in (
        "def (code: str, *, limit: int =) -> bytes",
        "Coroutine[Any, Any, bytes]",
        "_execution.Execution",
        "dict[str, str]",
    ):
        assert revealed in said.replace("builtins.", "").replace("typing.", ""), said
