"""Who comes next tells of a dead process, once: the next start of the service, or `sandscope recover`."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from harness import (
    PATIENCE,
    SANDSCOPE_RUN,
    OtlpSink,
    run_program,
    wait_until,
)
from harness._sink import Answer
from ways.black_box._dying import (
    BLACK_BOX,
    COUNT,
    PROGRAM,
    boxes_in,
    dying_program,
    environment_of,
    killed_box,
    of_judge,
    recover,
    span_ids,
    started,
)

pytestmark = BLACK_BOX


def test_the_next_start_of_the_same_service_tells_of_the_one_before(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        box = killed_box(tmp_path, sink)
        before = len(span_ids(sink))
        following = f"{PROGRAM}\nrun(1)\ndeadline = time.monotonic() + 30\n"
        waiting = f"while os.path.exists({str(box)!r}) and time.monotonic() < deadline:\n    time.sleep(0.05)"
        environment = environment_of(sink, SANDSCOPE_BLACK_BOX=str(tmp_path))
        other = environment | {"OTEL_SERVICE_NAME": "another"}
        run_program(f"{PROGRAM}\nrun(1)\ntime.sleep(2)", environment=other)
        assert len(span_ids(sink)) == before + 1, "another service does not take it"
        run = run_program(following + waiting, environment=environment)
    assert run.returncode == 0, run.stderr
    assert len(span_ids(sink)) == len(set(span_ids(sink))) == COUNT + 3
    assert not boxes_in(tmp_path)


def test_two_readers_at_once_send_everything_once(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        killed_box(tmp_path, sink)
        sink._delay = 0.2
        command = [SANDSCOPE_RUN[0], "recover", str(tmp_path)]
        readers = [subprocess.Popen(command, env=environment_of(sink)) for _ in range(2)]
        assert [reader.wait(2 * PATIENCE) for reader in readers] == [0, 0]
    assert len(span_ids(sink)) == len(set(span_ids(sink))) == COUNT + 1
    assert not boxes_in(tmp_path)


def test_what_nobody_receives_is_kept_for_the_next_try(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        box = killed_box(tmp_path, sink)
        sink.answers = {"/v1/logs": 400}
        failed = recover(tmp_path, sink)
        assert failed.returncode == 1
        assert "the rest is kept" in failed.stderr
        assert box.exists()
        sink.answers = {}
        assert recover(tmp_path, sink).returncode == 0
    assert len(span_ids(sink)) == len(set(span_ids(sink))) == COUNT + 1, "spans are not sent again"
    assert len(of_judge(sink.logs)) == COUNT + 1
    assert not boxes_in(tmp_path)


@pytest.mark.parametrize("answer", [503, "hang", "close"])
def test_what_the_collector_does_not_take_now_is_kept_and_sent_by_the_next_program(
    answer: Answer, tmp_path: Path
) -> None:
    with OtlpSink(answers={"/v1/traces": answer}) as sink:
        environment = environment_of(
            sink,
            SANDSCOPE_BLACK_BOX=str(tmp_path / "boxes"),
            SANDSCOPE_SPOOL=str(tmp_path / "spool"),
            SANDSCOPE_EXIT_TIMEOUT="1",
        )
        killed = run_program(dying_program("kill()"), way=SANDSCOPE_RUN, environment=environment)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert "left for the next try" in killed.stderr
        assert not boxes_in(tmp_path), "nobody would come for it"
        sink.answers = {}
        following = run_program(f"{PROGRAM}\nrun(1)", way=SANDSCOPE_RUN, environment=environment)
        assert following.returncode == 0, following.stderr
    spans, logs = of_judge(sink.spans), of_judge(sink.logs)
    assert len(spans) == len(set(span_ids(sink))) == COUNT + 2
    assert {(log.trace_id, log.span_id) for log in logs} == {(span.trace_id, span.span_id) for span in spans}
    assert len(logs) == COUNT + 2
    assert sink.total("sandscope.recovered.executions") >= 1
    assert not list((tmp_path / "spool").glob("*/*.otlp"))


def test_the_next_start_sends_it_when_the_collector_takes_it(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        box = killed_box(tmp_path / "boxes", sink)
        sink.answers = {"/v1/traces": 503}
        variables = {"OTEL_TRACES_SAMPLER": "always_off", "SANDSCOPE_SPOOL": str(tmp_path / "spool")}
        with started(f"{PROGRAM}\nrun(1)\ntime.sleep({2 * PATIENCE})", sink, box.parent, **variables):
            assert wait_until(lambda: not box.exists())
            assert list((tmp_path / "spool").glob("*/*-span.otlp"))
            sink.answers = {}
            assert wait_until(lambda: len(span_ids(sink)) == COUNT + 1)
    assert len(set(span_ids(sink))) == COUNT + 1


def test_without_an_argument_recover_reads_the_folder_of_the_setting(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        mine, other = (killed_box(tmp_path / name, sink) for name in ("mine", "other"))
        before = len(span_ids(sink))
        environment = environment_of(sink, SANDSCOPE_BLACK_BOX=str(mine.parent))
        command = [SANDSCOPE_RUN[0], "recover"]
        subprocess.run(command, env=environment, timeout=2 * PATIENCE, check=True)
    assert (mine.exists(), other.exists()) == (False, True)
    assert len(set(span_ids(sink))) - before == COUNT // 2 + 1


def test_without_a_spool_it_stays_in_the_black_box(tmp_path: Path) -> None:
    with OtlpSink(answers={"/v1/logs": 503}) as sink:
        box = killed_box(tmp_path, sink)
        environment = environment_of(sink, OTEL_EXPORTER_OTLP_TIMEOUT="1")
        command = [SANDSCOPE_RUN[0], "recover", str(tmp_path)]
        assert subprocess.run(command, env=environment, timeout=2 * PATIENCE, check=False).returncode == 1
        assert box.exists()
        sink.answers = {}
        assert subprocess.run(command, env=environment, timeout=2 * PATIENCE, check=False).returncode == 0
    assert len(span_ids(sink)) == len(set(span_ids(sink))) == len(of_judge(sink.logs)) == COUNT + 1
    assert not boxes_in(tmp_path)


CLOSES_ALL = f"""{PROGRAM}
run(1)
os.closerange(3, 1000)
with sandscope.execution("judge", "run", name="running"):
    print("ready", flush=True)
    time.sleep({2 * PATIENCE})
"""


def test_a_process_that_lives_is_not_told_of_even_if_it_has_closed_all_files(tmp_path: Path) -> None:
    with OtlpSink() as sink, started(CLOSES_ALL, sink, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert recover(tmp_path, sink).returncode == 0
        assert "running" not in sink.names()
        process.kill()
        process.wait(PATIENCE)
        assert recover(tmp_path, sink).returncode == 0
        assert sink.names().count("running") == 1
        assert not boxes_in(tmp_path)
