"""A judge: runs each submission within its limits, and prints the verdicts that were recorded as JSON.

It is a program of its own, as a judge is: the kernel reports a large parent's memory for a smaller child.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import SpanContext, TraceFlags

from corpus import SUBMISSIONS
from corpus._programs import command
from corpus._submission import Submission
from sandscope.instrumentation.testing import Telemetry
from sandscope_instrumentation_subprocess import SubprocessInstrumentor

PARALLEL = 8
PATIENCE = 60.0
NOBODY = 65534
GRACE = 0.5
"""Seconds from SIGTERM to SIGKILL."""


def main(folder: Path) -> None:
    """Judge all submissions."""
    telemetry, instrumentor = Telemetry("deferred"), SubprocessInstrumentor()
    instrumentor.instrument(recorder=telemetry.recorder(instrumentor.scope))
    with ThreadPoolExecutor(PARALLEL) as executor:
        # The long ones first.
        order = sorted(SUBMISSIONS, key=lambda submission: not (submission.cpu or submission.wall))
        list(executor.map(lambda each: _judge(folder, each), order))
    deadline = time.monotonic() + PATIENCE
    while len(telemetry.spans()) < len(SUBMISSIONS) and time.monotonic() < deadline:
        time.sleep(0.05)
    instrumentor.uninstrument()
    names = [f"sandbox.verdict.{name}" for name in ("status", "actor", "cause")]
    verdicts = {
        SUBMISSIONS[span.context.trace_id - 1].name: [(span.attributes or {}).get(name) for name in names]
        for span in telemetry.spans()
        if span.context is not None
    }
    sys.stdout.write(json.dumps(verdicts))


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
    """Run a submission in a trace of its own: process ids are soon used again on a busy machine."""
    trace_id = SUBMISSIONS.index(submission) + 1
    identity = SpanContext(trace_id, 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    context.attach(trace.set_span_in_context(trace.NonRecordingSpan(identity)))
    options: dict[str, Any] = {}
    if submission.processes is not None and os.geteuid() == 0:
        options = {"user": NOBODY, "group": NOBODY, "extra_groups": []}  # root has no such limit
    with tempfile.TemporaryDirectory(dir=folder) as place:
        process = subprocess.Popen(
            command(folder, submission),
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


def _stop(process: subprocess.Popen[bytes], submission: Submission) -> None:
    if submission.stop == "term":
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE if submission.name != "ignores SIGTERM" else GRACE)
            return
    process.kill()
    process.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
