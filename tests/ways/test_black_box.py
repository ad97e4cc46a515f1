"""Whatever ends a program, its executions are told of: those that had ended, and the one that was running."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import (
    PATIENCE,
    SANDSCOPE_RUN,
    STOCK,
    OtlpSink,
    clean_environment,
    collector_ports,
    limited_memory,
    requires_otelcol,
    run_program,
    wait_until,
)
from harness._sink import Answer
from sandscope._deferred._box_layout import LEGEND_USED_AT, SIZE, SLOTS, STATE_AT, TIMES_AT
from sandscope._deferred._compiled import python_reason

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="black boxes are for Linux"),
    pytest.mark.usefixtures("default_signals"),
]

COUNT = 40
RECORDERS = ["python"] if python_reason else ["auto", "python"]
PROGRAM = """
import ctypes, os, signal, subprocess, sys, threading, time
import sandscope
def run(count):
    for _ in range(count):
        with sandscope.execution("judge", "run", name="ended"):
            pass
def kill():  # not by a function that exports first
    signal.pthread_kill(threading.get_ident(), signal.SIGKILL)
def crash():
    ctypes.string_at(0)
"""
ENDS = {
    "SIGKILL": "kill()",
    "crash": "crash()",
    "os._exit": "os._exit(3)",
    "execv": "os.execv(sys.executable, [sys.executable, '-I', '-c', 'pass'])",
}


def _program(end: str, count: int = COUNT) -> str:
    return f"""{PROGRAM}
run({count} // 2)
time.sleep(0.5)  # these are sent
run({count} - {count} // 2)
with sandscope.execution("judge", "run", name="running"):
    {end}
"""


def _environment(sink: OtlpSink, **variables: str) -> dict[str, str]:
    return clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, OTEL_SERVICE_NAME="mine", **variables)


def _of_judge(records: list[Any]) -> list[Any]:
    return [record for record in records if _attribute(record, "sandbox.runtime") == "judge"]


def _attribute(record: Any, name: str) -> str | None:
    found = [attribute.value.string_value for attribute in record.attributes if attribute.key == name]
    return found[0] if found else None


def _ids(sink: OtlpSink) -> list[bytes]:
    return [span.span_id for span in _of_judge(sink.spans)]


def _boxes(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.box"))


def _recover(folder: Path, sink: OtlpSink) -> subprocess.CompletedProcess[str]:
    command = [SANDSCOPE_RUN[0], "recover", str(folder)]
    return subprocess.run(
        command, env=_environment(sink), capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )


def _killed(folder: Path, sink: OtlpSink, program: str = "", **variables: str) -> Path:
    """Run a program that is killed, and return its black box."""
    environment = _environment(sink, SANDSCOPE_BLACK_BOX=str(folder), **variables)
    run = run_program(program or _program("kill()"), environment=environment)
    assert run.returncode == -signal.SIGKILL, run.stderr
    (box,) = _boxes(folder)
    return box


@contextmanager
def _running(
    program: str, sink: OtlpSink, folder: Path, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    environment = _environment(sink, SANDSCOPE_BLACK_BOX=str(folder), **variables)
    command = [*STOCK, sys.executable, "-c", program]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("end", ENDS)
def test_sandscope_run_tells_of_what_ran_and_of_what_was_not_delivered(
    end: str, recorder: str, tmp_path: Path
) -> None:
    with OtlpSink() as sink:
        environment = _environment(sink, SANDSCOPE_RECORDER=recorder, SANDSCOPE_BLACK_BOX=str(tmp_path))
        run = run_program(_program(ENDS[end]), way=SANDSCOPE_RUN, environment=environment)
    assert run.returncode == {"SIGKILL": -9, "crash": -11, "os._exit": 3, "execv": 0}[end], run.stderr
    assert "recovered 1 execution that ran when the program died" in run.stderr
    spans, logs = _of_judge(sink.spans), _of_judge(sink.logs)
    assert len(_ids(sink)) == len(set(_ids(sink))) == COUNT + 1
    assert {log.span_id for log in logs} == set(_ids(sink))
    assert len(logs) == COUNT + 1
    (running,) = [span for span in spans if span.name == "running"]
    assert _attribute(running, "sandbox.verdict.status") == "IE"
    assert _attribute(running, "sandbox.verdict.cause") == "ie_host_killed"
    assert _attribute(running, "sandscope.recovered") == "running"
    assert 0 < running.start_time_unix_nano <= running.end_time_unix_nano
    assert {_attribute(span, "sandbox.verdict.status") for span in spans if span.name == "ended"} == {"OK"}
    assert not _boxes(tmp_path)
    counted = sum(
        point.as_int
        for metric in sink.metrics
        if metric.name == "sandbox.executions"
        for point in metric.sum.data_points
        if _attribute(point, "sandbox.verdict.cause") == "ie_host_killed"
    )
    assert counted == 1
    assert {"mine"} == {resource["service.name"] for resource in sink.resources}


@pytest.mark.skipif(bool(python_reason), reason="there is no compiled recorder")
def test_sandscope_run_needs_no_setting_and_leaves_no_folder() -> None:
    show = "print(os.environ['SANDSCOPE_BLACK_BOX_OF_RUN'], flush=True); "
    with OtlpSink() as sink:
        run = run_program(_program(f"{show}kill()"), way=SANDSCOPE_RUN, environment=_environment(sink))
    assert "recovered 1 execution that ran" in run.stderr
    assert len(_ids(sink)) == len(set(_ids(sink))) == COUNT + 1
    folder = Path(run.stdout.strip())
    assert folder.is_absolute()
    assert not folder.exists()


@pytest.mark.skipif(bool(python_reason), reason="there is no compiled recorder")
def test_folders_that_killed_runs_have_left_are_removed_by_the_next_run() -> None:
    show = "print(os.environ['SANDSCOPE_BLACK_BOX_OF_RUN'], flush=True); "
    with OtlpSink() as sink:
        kill_run = f"import os, signal\n{show}os.kill(os.getppid(), signal.SIGKILL)"
        killed = run_program(kill_run, way=SANDSCOPE_RUN, environment=_environment(sink))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert Path(killed.stdout.strip()).is_dir()
        assert run_program("pass", way=SANDSCOPE_RUN, environment=_environment(sink)).returncode == 0
    assert not Path(killed.stdout.strip()).exists()


def test_the_next_start_of_the_same_service_tells_of_the_one_before(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        box = _killed(tmp_path, sink)
        before = len(_ids(sink))
        following = f"{PROGRAM}\nrun(1)\ndeadline = time.monotonic() + 30\n"
        waiting = f"while os.path.exists({str(box)!r}) and time.monotonic() < deadline:\n    time.sleep(0.05)"
        environment = _environment(sink, SANDSCOPE_BLACK_BOX=str(tmp_path))
        other = environment | {"OTEL_SERVICE_NAME": "another"}
        run_program(f"{PROGRAM}\nrun(1)\ntime.sleep(2)", environment=other)
        assert len(_ids(sink)) == before + 1, "another service does not take it"
        run = run_program(following + waiting, environment=environment)
    assert run.returncode == 0, run.stderr
    assert len(_ids(sink)) == len(set(_ids(sink))) == COUNT + 3
    assert not _boxes(tmp_path)


def test_two_readers_at_once_send_everything_once(tmp_path: Path) -> None:
    with OtlpSink(delay=0.2) as sink:
        _killed(tmp_path, sink)
        command = [SANDSCOPE_RUN[0], "recover", str(tmp_path)]
        readers = [subprocess.Popen(command, env=_environment(sink)) for _ in range(2)]
        assert [reader.wait(2 * PATIENCE) for reader in readers] == [0, 0]
    assert len(_ids(sink)) == len(set(_ids(sink))) == COUNT + 1
    assert not _boxes(tmp_path)


def test_what_nobody_receives_is_kept_for_the_next_try(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        box = _killed(tmp_path, sink)
        sink.answers = {"/v1/logs": 400}
        failed = _recover(tmp_path, sink)
        assert failed.returncode == 1
        assert "the rest is kept" in failed.stderr
        assert box.exists()
        sink.answers = {}
        assert _recover(tmp_path, sink).returncode == 0
    assert len(_ids(sink)) == len(set(_ids(sink))) == COUNT + 1, "spans are not sent again"
    assert len(_of_judge(sink.logs)) == COUNT + 1
    assert not _boxes(tmp_path)


@pytest.mark.parametrize("answer", [503, "hang", "close"])
def test_what_the_collector_does_not_take_now_is_kept_and_sent_by_the_next_program(
    answer: Answer, tmp_path: Path
) -> None:
    with OtlpSink(answers={"/v1/traces": answer}) as sink:
        environment = _environment(
            sink,
            SANDSCOPE_BLACK_BOX=str(tmp_path / "boxes"),
            SANDSCOPE_SPOOL=str(tmp_path / "spool"),
            SANDSCOPE_EXIT_TIMEOUT="1",
        )
        killed = run_program(_program("kill()"), way=SANDSCOPE_RUN, environment=environment)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert "left for the next try" in killed.stderr
        assert not _boxes(tmp_path), "nobody would come for it"
        sink.answers = {}
        following = run_program(f"{PROGRAM}\nrun(1)", way=SANDSCOPE_RUN, environment=environment)
        assert following.returncode == 0, following.stderr
    spans, logs = _of_judge(sink.spans), _of_judge(sink.logs)
    assert len(spans) == len(set(_ids(sink))) == COUNT + 2
    assert {(log.trace_id, log.span_id) for log in logs} == {(span.trace_id, span.span_id) for span in spans}
    assert len(logs) == COUNT + 2
    assert sink.total("sandscope.recovered.executions") >= 1
    assert not list((tmp_path / "spool").glob("*/*.otlp"))


def test_the_next_start_sends_it_when_the_collector_takes_it(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        box = _killed(tmp_path / "boxes", sink)
        sink.answers = {"/v1/traces": 503}
        variables = {"OTEL_TRACES_SAMPLER": "always_off", "SANDSCOPE_SPOOL": str(tmp_path / "spool")}
        with _running(f"{PROGRAM}\nrun(1)\ntime.sleep({2 * PATIENCE})", sink, box.parent, **variables):
            assert wait_until(lambda: not box.exists())
            assert list((tmp_path / "spool").glob("*/*-span.otlp"))
            sink.answers = {}
            assert wait_until(lambda: len(_ids(sink)) == COUNT + 1)
    assert len(set(_ids(sink))) == COUNT + 1


def test_without_an_argument_recover_reads_the_folder_of_the_setting(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        mine, other = (_killed(tmp_path / name, sink) for name in ("mine", "other"))
        before = len(_ids(sink))
        environment = _environment(sink, SANDSCOPE_BLACK_BOX=str(mine.parent))
        command = [SANDSCOPE_RUN[0], "recover"]
        subprocess.run(command, env=environment, timeout=2 * PATIENCE, check=True)
    assert (mine.exists(), other.exists()) == (False, True)
    assert len(set(_ids(sink))) - before == COUNT // 2 + 1


def test_without_a_spool_it_stays_in_the_black_box(tmp_path: Path) -> None:
    with OtlpSink(answers={"/v1/logs": 503}) as sink:
        box = _killed(tmp_path, sink)
        environment = _environment(sink, OTEL_EXPORTER_OTLP_TIMEOUT="1")
        command = [SANDSCOPE_RUN[0], "recover", str(tmp_path)]
        assert subprocess.run(command, env=environment, timeout=2 * PATIENCE, check=False).returncode == 1
        assert box.exists()
        sink.answers = {}
        assert subprocess.run(command, env=environment, timeout=2 * PATIENCE, check=False).returncode == 0
    assert len(_ids(sink)) == len(set(_ids(sink))) == len(_of_judge(sink.logs)) == COUNT + 1
    assert not _boxes(tmp_path)


DAMAGES: dict[str, Any] = {
    "empty": lambda _: b"",
    "foreign": lambda content: b"x" * len(content),
    "cut off": lambda content: content[: SIZE // 2],
    "another version": lambda content: content[:8] + struct.pack("<I", 99) + content[12:],
    "no legend": lambda content: content[:LEGEND_USED_AT] + bytes(4) + content[LEGEND_USED_AT + 4 :],
    "a legend that is cut off": lambda content: content[:LEGEND_USED_AT] + b"\xff\0\0\0" + content[180:],
    "a slot with a number that the legend has not": lambda content: (
        content[: SLOTS + TIMES_AT + 16] + b"\xff\xff\0\0" + content[SLOTS + TIMES_AT + 20 :]
    ),
    "a state that there is not": lambda content: (
        content[: SLOTS + STATE_AT] + b"\x07" + content[SLOTS + STATE_AT + 1 :]
    ),
}


def test_nothing_is_invented_from_files_that_are_damaged_or_foreign(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        program = f"{PROGRAM}\nwith sandscope.execution('judge', 'run', name='running'):\n    kill()"
        good = _killed(tmp_path / "good", sink, program)
        content = good.read_bytes()
        kept = set()
        for name, damage in DAMAGES.items():
            folder = tmp_path / name.replace(" ", "-")
            folder.mkdir(mode=0o700)
            (folder / "1-1-1.box").write_bytes(damage(content))
            run = _recover(folder, sink)
            assert run.returncode == 0, (name, run.stderr)
            if _boxes(folder):
                kept.add(name)
        assert not sink.spans
        assert not sink.logs
        assert sink.total("sandscope.recovered.executions") == 2, "one slot in each of the last two"
        assert _recover(good.parent, sink).returncode == 0
    assert sink.names() == ["running"]
    assert kept == {"empty", "foreign", "cut off", "another version"}, "they are not to be removed"


HARMLESS = f"""{PROGRAM}
run({COUNT})
print("done")
"""


@pytest.mark.parametrize("obstacle", ["a file", "of others", "the size of files", "no such file system"])
def test_a_folder_that_cannot_be_used_harms_nothing(obstacle: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    program = HARMLESS
    if obstacle == "a file":
        folder.touch()
    elif obstacle == "of others":
        folder.mkdir()
        folder.chmod(0o777)
    elif obstacle == "no such file system":
        folder = Path("/proc/sandscope")
    else:
        program = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n{HARMLESS}"
    with OtlpSink() as sink:
        run = run_program(program, environment=_environment(sink, SANDSCOPE_BLACK_BOX=str(folder)))
    assert (run.returncode, run.stdout) == (0, "done\n"), run.stderr
    assert len(set(_ids(sink))) == COUNT
    assert not _boxes(tmp_path)


@pytest.mark.parametrize(
    ("variables", "files"),
    [
        ({}, 1),
        ({"OTEL_SDK_DISABLED": "true"}, 0),
        ({"SANDSCOPE_RECORDER": "direct"}, 0),
        ({"SANDSCOPE_BLACK_BOX": "off"}, 0),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_LOGS_EXPORTER": "console"}, 0),
    ],
)
def test_a_file_is_there_while_the_program_runs_and_not_after_its_end(
    variables: dict[str, str], files: int, tmp_path: Path
) -> None:
    program = f"{PROGRAM}\nrun(3)\nfound = sorted(os.listdir({str(tmp_path)!r}))\nprint(len(found), end='|')"
    modes = (
        "\nprint(*[oct(os.stat(os.path.join(" + repr(str(tmp_path)) + ", name)).st_mode) for name in found])"
    )
    with OtlpSink() as sink:
        environment = _environment(sink, **({"SANDSCOPE_BLACK_BOX": str(tmp_path)} | variables))
        run = run_program(program + modes, environment=environment)
    assert run.stdout.startswith(f"{files}|{'0o100600' * files}"), (run.stdout, run.stderr)
    assert not list(tmp_path.iterdir())


CHILDREN = {
    "fork": """
pid = os.fork()
if pid == 0:
    with sandscope.execution("judge", "run", name="running"):
        kill()
os.waitpid(pid, 0)
""",
    "process pool": """
from concurrent.futures import ProcessPoolExecutor
import multiprocessing
def work(_):
    with sandscope.execution("judge", "run", name="running"):
        kill()
try:
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        list(pool.map(work, [1]))
except Exception as error:
    assert "terminated abruptly" in str(error), error
""",
}


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("kind", CHILDREN)
def test_a_forked_child_has_a_file_of_its_own(kind: str, recorder: str, tmp_path: Path) -> None:
    program = f"{PROGRAM}\nwith sandscope.execution('judge', 'run', name='around'):\n    run({COUNT})\n"
    inside = "\n".join(f"    {line}" for line in CHILDREN[kind].splitlines())
    with OtlpSink() as sink:
        environment = _environment(sink, SANDSCOPE_RECORDER=recorder, SANDSCOPE_BLACK_BOX=str(tmp_path))
        run = run_program(program + inside, way=SANDSCOPE_RUN, environment=environment)
    assert run.returncode == 0, run.stderr
    names = [span.name for span in _of_judge(sink.spans)]
    assert sorted(set(names)) == ["around", "ended", "running"]
    assert len(_ids(sink)) == len(set(_ids(sink))) == COUNT + 2
    assert not _boxes(tmp_path)


TERMINATED = f"""{PROGRAM}
import multiprocessing
context = multiprocessing.get_context("fork")
begun = context.Semaphore(0)
def work(_):
    run({COUNT} // 4)
    time.sleep(0.5)  # these are sent
    run({COUNT} // 4)
    with sandscope.execution("judge", "run", name="running"):
        begun.release()
        time.sleep(600)
with context.Pool(2) as pool:  # the end of the block terminates it
    pool.map_async(work, range(2), chunksize=1)
    begun.acquire()
    begun.acquire()
pool.join()
"""


@pytest.mark.parametrize("recorder", RECORDERS)
def test_the_workers_of_a_pool_that_is_terminated(recorder: str, tmp_path: Path) -> None:
    with OtlpSink() as sink:
        environment = _environment(sink, SANDSCOPE_RECORDER=recorder, SANDSCOPE_BLACK_BOX=str(tmp_path))
        run = run_program(TERMINATED, way=SANDSCOPE_RUN, environment=environment)
    assert run.returncode == 0, run.stderr
    assert "recovered 2 executions that ran when the program died" in run.stderr
    spans = _of_judge(sink.spans)
    assert len(_ids(sink)) == len(set(_ids(sink))) == COUNT + 2
    assert {log.span_id for log in _of_judge(sink.logs)} == set(_ids(sink))
    causes = [_attribute(span, "sandbox.verdict.cause") for span in spans if span.name == "running"]
    assert causes == ["ie_host_killed"] * 2
    assert not _boxes(tmp_path)


MIB = 1 << 20


def test_what_ran_when_the_kernel_killed_the_program_for_lack_of_memory(tmp_path: Path) -> None:
    end = "x = [bytearray(b'x') * (1 << 20) for _ in range(600)]"  # not more, should the limit not hold after all
    with OtlpSink() as sink, limited_memory(200 * MIB) as cgroup:
        environment = _environment(sink, SANDSCOPE_BLACK_BOX=str(tmp_path))
        enter = f"open({str(cgroup / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"
        run = run_program(_program(f"{enter}\n    {end}"), way=SANDSCOPE_RUN, environment=environment)
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert "recovered 1 execution that ran when the program died" in run.stderr
    assert len(_ids(sink)) == len(set(_ids(sink))) == COUNT + 1
    assert _attribute(sink.span("running"), "sandbox.verdict.cause") == "ie_host_killed"
    assert not _boxes(tmp_path)


def test_what_a_forked_child_drops_stays_in_its_parents_file() -> None:
    program = f"{PROGRAM}\nrun({COUNT})\nif os.fork() == 0:\n    os._exit(0)\nos.wait()\nkill()"
    with OtlpSink() as sink:
        run = run_program(program, way=SANDSCOPE_RUN, environment=_environment(sink))
        assert run.returncode == -signal.SIGKILL, run.stderr
    assert len(_ids(sink)) == len(set(_ids(sink))) == COUNT


CLOSES_ALL = f"""{PROGRAM}
run(1)
os.closerange(3, 1000)
with sandscope.execution("judge", "run", name="running"):
    print("ready", flush=True)
    time.sleep({2 * PATIENCE})
"""


def test_a_process_that_lives_is_not_told_of_even_if_it_has_closed_all_files(tmp_path: Path) -> None:
    with OtlpSink() as sink, _running(CLOSES_ALL, sink, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert _recover(tmp_path, sink).returncode == 0
        assert "running" not in sink.names()
        process.kill()
        process.wait(PATIENCE)
        assert _recover(tmp_path, sink).returncode == 0
        assert sink.names().count("running") == 1
        assert not _boxes(tmp_path)


def test_a_span_that_others_know_keeps_its_ids(tmp_path: Path) -> None:
    program = f"""{PROGRAM}
from opentelemetry import trace
run(1)
with sandscope.execution("judge", "run", name="running"):
    print(format(trace.get_current_span().get_span_context().span_id, "016x"), flush=True)
    with sandscope.execution("judge", "run", name="inner"):
        print(format(trace.get_current_span().get_span_context().span_id, "016x"), flush=True)
        kill()
"""
    with OtlpSink() as sink:
        environment = _environment(sink, SANDSCOPE_BLACK_BOX=str(tmp_path))
        run = run_program(program, way=SANDSCOPE_RUN, environment=environment)
    outer, inner = sink.span("running"), sink.span("inner")
    assert [outer.span_id.hex(), inner.span_id.hex()] == run.stdout.split()
    assert inner.parent_span_id == outer.span_id
    assert inner.trace_id == outer.trace_id


def test_the_report_shows_what_ran_when_the_program_was_killed(tmp_path: Path) -> None:
    requires_otelcol()
    data = str(tmp_path / "data")
    environment = clean_environment(
        SANDSCOPE_DATA=data, SANDSCOPE_BLACK_BOX=str(tmp_path / "box"), **collector_ports().environment
    )
    run = run_program(_program("kill()"), way=SANDSCOPE_RUN, environment=environment)
    assert run.returncode == -signal.SIGKILL
    assert "1 did not succeed (1 IE ie_host_killed)" in run.stderr
    command = [SANDSCOPE_RUN[0], "report", "--data", data]
    report = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=True).stdout
    assert report.startswith(f"{COUNT + 1} executions between")
    section = report.partition("What ran when its host was killed")[2].partition("The last that failed")[0]
    assert section.count("judge") == section.count("running") == 1, report


CANARY = "canary-b7f1"


def test_nothing_is_in_the_file_that_would_not_be_sent(tmp_path: Path) -> None:
    program = f"""{PROGRAM}
subprocess.run([sys.executable, "-c", "pass", "{CANARY}"], env={{**os.environ, "SECRET": "{CANARY}"}}, cwd="/tmp")
with sandscope.execution("judge", "run", name="running") as execution:
    execution.set_attribute("secret", "{CANARY}")
    try:
        with sandscope.execution("judge", "run", name="failed"):
            raise ValueError("{CANARY}")
    except ValueError:
        pass
    kill()
"""
    with OtlpSink() as sink:
        content = _killed(
            tmp_path, sink, program, OTEL_TRACES_EXPORTER="otlp", HOME=f"/{CANARY}"
        ).read_bytes()
    assert b'"running"' in content
    assert CANARY.encode() not in content


def test_what_is_recovered_says_what_it_lacks(tmp_path: Path) -> None:
    program = f"""{PROGRAM}
try:
    with sandscope.execution("judge", "run", name="failed") as execution:
        execution.set_attribute("answer", 42)
        raise ValueError("why")
except ValueError:
    crash()
"""
    with OtlpSink() as sink:
        environment = _environment(sink, SANDSCOPE_BLACK_BOX=str(tmp_path))
        run_program(program, way=SANDSCOPE_RUN, environment=environment)
    assert wait_until(lambda: sink.names() == ["failed"], timeout=1)
    span = sink.span("failed")
    assert _attribute(span, "sandbox.verdict.cause") == "re_exception"
    assert _attribute(span, "error.type") == "ValueError"
    assert _attribute(span, "sandscope.recovered") == "ended"
    assert "sandscope.recovered.details_lost" in {attribute.key for attribute in span.attributes}
