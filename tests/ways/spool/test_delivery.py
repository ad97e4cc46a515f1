"""What the Collector does not take now arrives later and once, sent by this process or by another."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from harness import PATIENCE, SANDSCOPE_RUN, STOCK, OtlpSink, wait_until
from ways.spool._running import (
    RECOVER,
    SHORT,
    Running,
    check,
    environment_of,
    files,
    kinds,
    recover,
    requests,
    spans_in,
    without_boxes,
)

if not hasattr(os, "fork"):
    pytest.skip("there is no fork here", allow_module_level=True)


@pytest.mark.parametrize(("recorder", "status"), [("auto", 429), ("python", 503), ("direct", 503)])
def test_a_collector_that_refuses_for_a_while(recorder: str, status: int, spool: Path) -> None:
    with OtlpSink(status=status) as sink:
        with Running(environment_of(sink.endpoint, spool, SANDSCOPE_RECORDER=recorder)) as program:
            program.do("run(700)")
            assert wait_until(lambda: sum(map(spans_in, requests(spool, "span"))) == 700)
            assert len(list(spool.glob("*/*-span.otlp"))) >= 2
            program.do("run(5)")
            sink._status = 200
            assert wait_until(lambda: len(sink.spans) >= 705 and len(sink.logs) >= 705 and not files(spool))
            program.do("run(5)")
        check(sink, 710)
        assert files(spool) == []
    told = program.said.splitlines()
    assert len(told) == 2, told
    assert f"is kept in {spool}, and sent later" in told[0]
    assert "delivered again" in told[1]
    kept = {
        tuple(attribute.value.string_value for attribute in point.attributes): point.as_int
        for point in sink.points("sandscope.spool.records")
    }
    assert kept["span", "kept"] == kept["span", "delivered"] >= 700
    waiting = sink.points("sandscope.spool.requests")
    assert waiting
    assert not any(point.as_int or point.as_double for point in waiting)


@pytest.mark.parametrize(("way", "recorder"), [(STOCK, "auto"), ((), "python"), ((), "direct")])
def test_what_is_unsent_at_the_end_is_sent_by_the_next_process(
    recorder: str, way: tuple[str, ...], spool: Path
) -> None:
    with OtlpSink(status=503) as sink:
        environment = environment_of(sink.endpoint, spool, SANDSCOPE_RECORDER=recorder)
        with Running(environment, way) as program:
            program.do("run(3)")
        assert program.said.count("\n") == 1
        assert f"kept in {spool}" in program.said
        assert kinds(spool) == {"span.otlp", "log.otlp", "metric"}
        sink._status = 200
        with Running(environment, way) as program:
            program.do("run(2)")
            assert wait_until(lambda: not files(spool))
        assert program.said == ""
    check(sink, 5)


def test_it_is_sent_only_where_it_was_to_go_and_by_the_same_service_or_recover(spool: Path) -> None:
    with OtlpSink(status=503) as sink, OtlpSink() as other:
        environment = environment_of(sink.endpoint, spool, OTEL_SERVICE_NAME="one")
        with Running(environment) as program:
            program.do("run(3)")
        sink._status = 200
        with Running({**environment, "OTEL_SERVICE_NAME": "two"}) as program:
            program.do("run(1)")
        elsewhere = recover(environment_of(other.endpoint, spool))
        assert elsewhere.returncode == 0
        assert "for other endpoints" in elsewhere.stderr
        assert (len(other.spans), len(sink.spans)) == (0, 1)
        result = recover(environment)
        assert result.returncode == 0
        assert "records that had been kept" in result.stderr
    check(sink, 4)
    assert files(spool) == []


def test_the_oldest_is_sent_first(spool: Path) -> None:
    with OtlpSink(status=503) as sink:
        environment = environment_of(sink.endpoint, spool)
        with Running(environment) as program:
            for number in range(4):
                program.do(f"run(1, '{number}')")
                assert wait_until(lambda: len(list(spool.glob("*/*-span.otlp"))) == number + 1)  # noqa: B023
        sink._status = 200
        assert recover(environment).returncode == 0
    assert [span.name for span in sink.spans] == [str(number) for number in range(4)]


def test_what_was_kept_before_the_process_was_killed_is_recovered_once(spool: Path) -> None:
    with OtlpSink(status=503) as sink:
        environment = environment_of(sink.endpoint, spool)
        with Running(environment) as program:
            program.do("run(300)")
            assert wait_until(lambda: len(list(spool.glob("*/*-span.otlp"))) >= 1)
            assert wait_until(lambda: sum(map(spans_in, requests(spool, "span"))) == 300)
            assert wait_until(lambda: any(spool.glob("*/*-metric-last.otlp")))
            program.kill()
        sink._status = 200
        assert recover(environment).returncode == 0
        assert recover(environment).returncode == 0
    check(sink, 300)


def test_sandscope_run_sends_at_its_end_what_its_program_has_kept(spool: Path) -> None:
    written = spool.parent / "pid"
    with OtlpSink(status=503) as sink:
        environment = environment_of(sink.endpoint, spool, SANDSCOPE_BLACK_BOX="off")
        with Running(environment, SANDSCOPE_RUN) as program:
            program.do("run(3)")
            program.do(f"open({str(written)!r}, 'w').write(str(os.getpid()))")
            assert wait_until(lambda: kinds(spool) == {"span.otlp", "log.otlp", "metric"})
            with program.stopped():  # nobody else can send it: the program is dead when the Collector is back
                os.kill(int(written.read_text()), signal.SIGKILL)
                sink._status = 200
        assert "records that had been kept" in program.said
    check(sink, 3)
    assert files(spool) == []


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_forked_children_and_the_workers_of_a_pool(temporality: str, spool: Path) -> None:
    with OtlpSink(status=503) as sink:
        environment = environment_of(
            sink.endpoint, spool, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=temporality
        )
        with Running(environment) as program:
            program.do("run(10)")
            assert wait_until(lambda: files(spool))
            program.do("forked(5)")
            program.do("pool(6)")
            program.do("run(10)")
        assert len(program.said.splitlines()) <= 1, program.said
        sink._status = 200
        assert recover(environment).returncode == 0
    check(sink, 31)


def test_two_processes_do_not_send_the_same(spool: Path) -> None:
    with OtlpSink(status=503) as sink:
        environment = environment_of(sink.endpoint, spool)
        with Running(environment) as program:
            for _ in range(20):
                program.do("run(2); time.sleep(0.25)")
        assert len(files(spool)) > 10
        sink._status, sink._delay = 200, 0.05
        alone = without_boxes(environment)
        both = [subprocess.Popen(RECOVER, env=alone, stderr=subprocess.DEVNULL) for _ in range(2)]
        for each in both:
            each.wait(2 * PATIENCE)
        sink._delay = 0
        recover(environment)
    check(sink, 40)


def test_a_collector_that_hangs_when_the_program_ends(spool: Path) -> None:
    with OtlpSink() as sink:
        environment = environment_of(sink.endpoint, spool, **SHORT)
        sink.answers = {"/v1/traces": "hang", "/v1/logs": "hang", "/v1/metrics": "hang"}
        with Running(environment) as program:
            program.do("run(2000)")
        sink.answers = {}
        assert recover(environment).returncode == 0
    check(sink, 2000)
