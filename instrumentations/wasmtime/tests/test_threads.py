"""Calls on other threads: the trace follows the context, and stores may move between threads."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import wasmtime
from opentelemetry import trace

from harness import Telemetry

MATH = '(module $math (func (export "one") (result i32) i32.const 1) (func (export "trap") unreachable))'
CALLS_HOST = '(module (import "h" "f" (func $f)) (func (export "run") (call $f)) (func (export "leaf")))'


def parents(telemetry: Telemetry) -> dict[str, int | None]:
    """Return the id of the parent of each wasm span."""
    return {
        span.name: None if span.parent is None else span.parent.span_id
        for span in telemetry.spans()
        if span.name.startswith("wasm")
    }


@pytest.mark.parametrize("how", ["to_thread", "copied context", "executor alone"])
def test_calls_that_asyncio_runs_on_a_thread(how: str, instrumented: Telemetry, load: Any) -> None:
    store, exports = load(MATH)
    tracer = instrumented.tracer_provider.get_tracer("user")

    async def main() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as executor, tracer.start_as_current_span("task") as task:
            if how == "to_thread":
                result = await asyncio.to_thread(exports["one"], store)
            elif how == "copied context":
                carried = contextvars.copy_context().run
                result = await loop.run_in_executor(executor, carried, exports["one"], store)
            else:
                result = await loop.run_in_executor(executor, exports["one"], store)
            assert trace.get_current_span() is task
            return result, task.get_span_context().span_id

    result, task = asyncio.run(main())
    assert result == 1
    # Propagating the context is up to the program, or to the instrumentation of threads.
    assert parents(instrumented) == {"wasm one": None if how == "executor alone" else task}


def test_concurrent_tasks_keep_their_own_parents(instrumented: Telemetry, load: Any) -> None:
    tracer = instrumented.tracer_provider.get_tracer("user")

    async def task(number: int) -> None:
        store, exports = load(MATH)
        with tracer.start_as_current_span(f"task {number}"):
            for _ in range(10):
                await asyncio.to_thread(exports["one"], store)

    async def main() -> None:
        await asyncio.gather(*(task(number) for number in range(4)))

    asyncio.run(main())
    tasks = {span.context.span_id for span in instrumented.spans() if span.name.startswith("task")}
    calls = [span.parent.span_id for span in instrumented.spans("wasm one") if span.parent is not None]
    assert len(tasks) == 4
    assert sorted(calls) == sorted(list(tasks) * 10)


def test_a_guest_called_on_another_thread_inside_a_host_function(instrumented: Telemetry, load: Any) -> None:
    inner_store, inner = load(MATH)

    def host() -> None:
        with ThreadPoolExecutor(1) as executor:
            carried = contextvars.copy_context().run
            executor.submit(carried, inner["one"], inner_store).result()
            with pytest.raises(wasmtime.Trap):
                executor.submit(carried, inner["trap"], inner_store).result()

    store, exports = load(CALLS_HOST, host)
    exports["run"](store)
    (run,) = instrumented.spans("wasm run")
    assert parents(instrumented) == {
        "wasm one": run.context.span_id,
        "wasm trap": run.context.span_id,
        "wasm run": None,
    }
    assert (run.attributes or {})["sandbox.verdict.status"] == "OK"


def test_a_store_that_moves_between_threads_is_recorded_on_each(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(MATH)
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        for executor in (first, second, first):
            assert executor.submit(exports["one"], store).result() == 1
            with pytest.raises(wasmtime.Trap):
                executor.submit(exports["trap"], store).result()
    causes = [(span.attributes or {})["sandbox.verdict.cause"] for span in instrumented.spans()]
    assert causes == ["normal_exit", "re_unreachable"] * 3
    assert [value for _, value in instrumented.points("sandbox.execution.active")] == [0.0]
