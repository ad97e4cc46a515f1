"""After a shutdown, executions are still counted; spans and log records count as not delivered."""

from __future__ import annotations

import threading
import time

import pytest

from deferred._programs import Exporter, Program, within
from sandscope import _guard
from sandscope._deferred._flush_hooks import LogHook, SpanHook


def _hooked(program: Program) -> tuple[SpanHook, LogHook]:
    hooks = SpanHook(), LogHook()
    for hook in hooks:
        hook.pipeline = program.pipeline
    return hooks


def test_executions_that_ended_before_are_sent() -> None:
    program = Program()
    program.run(3000)
    program.pipeline.close()
    assert (len(program.spans.arrived), len(program.logs.arrived)) == (3000, 3000)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_executions_that_end_afterwards_are_counted(times: int) -> None:
    program = Program(high_water=10)
    program.run(5)
    for _ in range(times):
        program.pipeline.close()
    program.run(10_000)
    assert program.pipeline.flush()
    assert program.executions() == 10_005
    assert program.outcomes("span") == program.outcomes("log") == {"sent": 5, "not_delivered": 10_000}
    assert len(program.pipeline.queue) == 0
    assert _guard.counts() == {}


def test_each_provider_shuts_its_own_signal_down() -> None:
    program = Program()
    span_hook, log_hook = _hooked(program)
    program.run(1)
    span_hook.shutdown()
    program.run(2)
    assert log_hook.force_flush()
    assert program.outcomes("span") == {"sent": 1, "not_delivered": 2}
    assert program.outcomes("log") == {"sent": 3}
    log_hook.shutdown()
    log_hook.shutdown()
    assert span_hook.force_flush()
    program.run(4)
    assert log_hook.force_flush()
    assert program.outcomes("log") == {"sent": 3, "not_delivered": 4}


def test_a_hook_without_a_pipeline_has_nothing_to_do() -> None:
    hook = SpanHook()
    assert hook.force_flush()
    hook.shutdown()


def test_the_drain_ends_with_the_last_signal() -> None:
    program = Program()
    span_hook, log_hook = _hooked(program)
    before = set(threading.enumerate())
    program.run(1)
    threads = set(threading.enumerate()) - before
    assert {thread.name for thread in threads} == {"sandscope-recorder"}
    span_hook.shutdown()
    log_hook.shutdown()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def test_force_flush_keeps_its_timeout_while_an_exporter_hangs() -> None:
    hanging, hangs = threading.Event(), threading.Event()
    program = Program(spans=Exporter(lambda: (hangs.set(), hanging.wait(30))))
    span_hook, _ = _hooked(program)
    try:
        program.run(1)
        assert hangs.wait(10)
        started = time.monotonic()
        assert not span_hook.force_flush(timeout_millis=50)
        assert time.monotonic() - started < 5
    finally:
        hanging.set()


def test_other_providers_may_shut_down_first() -> None:
    program = Program()
    program.run(10)
    program.meter_provider.shutdown()
    program.tracer_provider.shutdown()
    program.run(10)
    within(20, program.pipeline.close)
    assert program.accounted() == [20, 20]
