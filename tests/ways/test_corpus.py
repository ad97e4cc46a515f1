"""A judge's verdicts on a corpus of submissions: by ``Popen`` in this process, and a sample by ``sandscope exec``."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.trace import SpanContext, TraceFlags

from corpus import SUBMISSIONS
from corpus._c import C
from corpus._python import PYTHON
from corpus._submission import Submission
from harness import BIN, PATIENCE, Telemetry, clean_environment, lacking, wait_until
from sandscope_instrumentation_subprocess import SubprocessInstrumentor

PARALLEL = 8
NOBODY = 65534
GRACE = 0.5
"""Seconds from SIGTERM to SIGKILL."""
C_FUNCTIONS = Path(__file__).parents[1] / "corpus" / "functions.c"
SAMPLE = (
    "returns 0",
    "returns 2",
    "exits with 137 itself",
    "null pointer",
    "SIGTERM to itself",
    "limits itself",
    "endless loop",
    "exits when memory is used up",
    "writes a large file",
    "a forbidden system call",
    "ignores SIGTERM",
    "sleep 600",
    "division",
    "while True",
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder with all programs, which every user can read."""
    compiler = shutil.which("cc")
    if compiler is None:
        lacking("there is no C compiler: install gcc or clang")
    folder = Path(tempfile.mkdtemp(prefix="sandscope-corpus-"))
    folder.chmod(0o755)
    bodies = [
        f"static int submission_{number}(void) {{ {submission.text} return 99; }}"
        for number, submission in enumerate(C)
    ]
    names = ", ".join(f"submission_{number}" for number in range(len(C)))
    table = f"static int (*const submissions[])(void) = {{ {names} }};"
    source = C_FUNCTIONS.read_text().replace("/* SUBMISSIONS */", "\n".join([*bodies, table]))
    (folder / "submissions.c").write_text(source)
    command = [compiler, "-O0", "-w", "-o", str(folder / "submissions"), str(folder / "submissions.c")]
    subprocess.run(command, check=True)
    for number, submission in enumerate(SUBMISSIONS):
        if submission not in C:
            (folder / str(number)).write_text(submission.text)
    yield folder
    shutil.rmtree(folder)


def _command(folder: Path, submission: Submission) -> list[str]:
    if submission in C:
        return [str(folder / "submissions"), str(C.index(submission))]
    file = str(folder / str(SUBMISSIONS.index(submission)))
    return [sys.executable, "-I", "-S", file] if submission in PYTHON else ["/bin/sh", file]


def _limit(submission: Submission) -> Callable[[], None]:
    pairs = [
        (resource.RLIMIT_CPU, submission.cpu, 1),
        (resource.RLIMIT_AS, submission.memory, 0),
        (resource.RLIMIT_FSIZE, submission.output, 0),
        (resource.RLIMIT_NPROC, submission.processes, 0),
        (resource.RLIMIT_NOFILE, submission.files, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ]
    chosen = [(which, (soft, soft + more)) for which, soft, more in pairs if soft is not None]

    def limit() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for which, pair in chosen:
            resource.setrlimit(which, pair)

    return limit


def _judge(folder: Path, submission: Submission) -> None:
    """Run a submission as a judge does, in a trace of its own: process ids are soon used again on a busy machine."""
    identity = SpanContext(
        _trace_id(submission), 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    context.attach(trace.set_span_in_context(trace.NonRecordingSpan(identity)))
    options: dict[str, Any] = {}
    if submission.processes is not None and os.geteuid() == 0:
        options = {"user": NOBODY, "group": NOBODY, "extra_groups": []}  # root has no such limit
    with tempfile.TemporaryDirectory(dir=folder) as place:
        process = subprocess.Popen(
            _command(folder, submission),
            cwd=place if submission.processes is None else "/",
            preexec_fn=_limit(submission),  # noqa: PLW1509 -- as judges do it
            stdin=subprocess.PIPE if submission.stdin == "open" else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if submission.stdout == "discarded" else subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **options,
        )
        if submission.stdout == "closed" and process.stdout is not None:
            process.stdout.close()
        try:
            process.wait(submission.wall or 2 * PATIENCE)
        except subprocess.TimeoutExpired:
            _stop(process, submission)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def _trace_id(submission: Submission) -> int:
    return SUBMISSIONS.index(submission) + 1


def _stop(process: subprocess.Popen[bytes], submission: Submission) -> None:
    if submission.stop == "term":
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE if submission.name != "ignores SIGTERM" else GRACE)
            return
    process.kill()
    process.wait()


@pytest.fixture(params=["deferred"])
def recorder_kind(request: pytest.FixtureRequest) -> str:
    """Return the recorder: the verdicts do not depend on it."""
    return str(request.param)


def test_each_verdict(folder: Path, telemetry: Telemetry, default_signals: None) -> None:
    instrumentor = SubprocessInstrumentor()
    instrumentor.instrument(recorder=telemetry.recorder(instrumentor.scope))
    try:
        with ThreadPoolExecutor(PARALLEL) as executor:
            # The long ones first.
            order = sorted(SUBMISSIONS, key=lambda submission: not (submission.cpu or submission.wall))
            list(executor.map(lambda each: _judge(folder, each), order))
        assert wait_until(lambda: len(telemetry.spans()) == len(SUBMISSIONS))
    finally:
        instrumentor.uninstrument()
    names = [f"sandbox.verdict.{name}" for name in ("status", "actor", "cause")]
    verdicts = {
        span.context.trace_id: tuple((span.attributes or {}).get(name) for name in names)
        for span in telemetry.spans()
        if span.context is not None
    }
    wrong = {
        submission.name: verdicts.get(_trace_id(submission))
        for submission in SUBMISSIONS
        if verdicts.get(_trace_id(submission)) != submission.verdict
    }
    assert wrong == {}, {name: dict(map(_named, SUBMISSIONS))[name] for name in wrong}


def _named(submission: Submission) -> tuple[str, tuple[str, str, str]]:
    return submission.name, submission.verdict


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len({submission.name for submission in SUBMISSIONS}) == len(SUBMISSIONS) >= 80


def test_a_sample_by_sandscope_exec(folder: Path, default_signals: None) -> None:
    sample = [submission for submission in SUBMISSIONS if submission.name in SAMPLE]
    assert len(sample) == len(SAMPLE)
    with ThreadPoolExecutor(PARALLEL) as executor:
        told = dict(zip(sample, executor.map(lambda each: _exec(folder, each), sample), strict=True))
    wrong = {each.name: told[each] for each in sample if told[each] != each.verdict}
    assert wrong == {}, {each.name: each.verdict for each in sample if each.name in wrong}


def _exec(folder: Path, submission: Submission) -> tuple[str, str, str]:
    flags = [
        word
        for name in ("cpu", "wall", "memory", "output")
        if (value := getattr(submission, name)) is not None
        for word in (f"--{name}", str(value))
    ]
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "verdict.json")
        subprocess.run(
            [BIN / "sandscope", "exec", *flags, "--json", str(file), "--", *_command(folder, submission)],
            cwd=place,
            env=clean_environment(OTEL_SDK_DISABLED="true"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        told = json.loads(file.read_text())
    return told["status"], told["actor"], told["cause"]
