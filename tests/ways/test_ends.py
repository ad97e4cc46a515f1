"""However a program ends, what it recorded arrives or is counted, and its end is as without telemetry."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from harness import PATIENCE, OtlpSink, clean_environment, run_program, wait_until
from harness._sink import Answer

RUN = """
import os, pickle, signal, inspect, subprocess, sys, time
def run(count):
    for _ in range(count):
        subprocess.run(["true"], check=True)
"""
COUNT = 5


def _environment(sink: OtlpSink, **variables: str) -> dict[str, str]:
    return clean_environment(
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, PYTHONWARNINGS="ignore::DeprecationWarning", **variables
    )


def _executions(sink: OtlpSink) -> int:
    return sum(point.as_int for point in sink.points("sandbox.executions"))


def _outcomes(sink: OtlpSink) -> dict[str, dict[str, int]]:
    """Return the number of records by signal and outcome."""
    outcomes: dict[str, dict[str, int]] = {}
    for point in sink.points("sandscope.recorder.records"):
        attributes = {attribute.key: attribute.value.string_value for attribute in point.attributes}
        by_outcome = outcomes.setdefault(attributes["sandscope.signal"], {})
        by_outcome[attributes["sandscope.outcome"]] = point.as_int
    return outcomes


SERVICE = f"""{RUN}
run({COUNT})
from opentelemetry import trace
with trace.get_tracer("mine").start_as_current_span("own"):
    pass
signal.signal(signal.SIGTERM, signal.SIG_DFL)  # it may have been ignored where the tests run
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)
time.sleep({2 * PATIENCE})
"""


RECORDERS = ("", "direct")


@pytest.mark.parametrize("recorder", RECORDERS)
def test_all_signals_of_a_service_arrive_before_it_is_terminated(recorder: str) -> None:
    with OtlpSink() as sink:
        command = [sys.executable, "-c", f"import sandscope.auto\n{SERVICE}"]
        environment = _environment(sink, SANDSCOPE_RECORDER=recorder)
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"True\n"
                # The SDK's own interval for metrics is 60 s.
                arrived = wait_until(
                    lambda: (_executions(sink), len(sink.spans), len(sink.logs)) == (COUNT, COUNT + 1, COUNT),
                    timeout=30,
                )
                process.terminate()
                assert process.wait(PATIENCE) == -signal.SIGTERM
            finally:
                process.kill()
    assert arrived, (_executions(sink), sink.names(), len(sink.logs))


SUDDEN = {
    "_exit": "os._exit(7)",
    "_exit in a forked child": """
pid = os.fork()
if pid == 0:
    run(2)
    os._exit(5)
status = os.waitpid(pid, 0)[1]
os._exit(7 if os.waitstatus_to_exitcode(status) == 5 else 1)
""",
    "execv": "os.execv(sys.executable, [sys.executable, '-I', '-c', 'raise SystemExit(7)'])",
    "execvpe": "os.execvpe('sh', ['sh', '-c', 'exit $CODE'], {'PATH': os.environ['PATH'], 'CODE': '7'})",
    "exec that fails": """
try:
    os.execv("/does/not/exist", ["x"])
except FileNotFoundError:
    run(2)
    sys.exit(7)
""",
}


SIGNALS = {
    "raise_signal": "signal.raise_signal(signal.SIGTERM)",
    "kill": "os.kill(os.getpid(), signal.SIGTERM)",
    "from a handler": """
def handle(number, frame):
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
signal.signal(signal.SIGTERM, handle)
os.kill(os.getpid(), signal.SIGTERM)
""",
}


@pytest.mark.parametrize("end", SIGNALS)
def test_what_was_recorded_before_a_program_ends_itself_by_a_signal_arrives(end: str) -> None:
    program = f"{RUN}\nsignal.signal(signal.SIGTERM, signal.SIG_DFL)\nrun({COUNT})\n{SIGNALS[end]}"
    with OtlpSink() as sink:
        run = run_program(program, environment=_environment(sink))
    assert (run.returncode, run.stderr) == (-signal.SIGTERM, "")
    assert (_executions(sink), len(sink.spans), len(sink.logs)) == (COUNT, COUNT, COUNT)


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("end", SUDDEN)
def test_what_was_recorded_before_a_sudden_end_arrives(end: str, recorder: str) -> None:
    count = COUNT + 2 * ("run(2)" in SUDDEN[end])
    with OtlpSink() as sink:
        environment = _environment(sink, SANDSCOPE_RECORDER=recorder)
        run = run_program(f"{RUN}\nrun({COUNT})\n{SUDDEN[end]}", environment=environment)
        assert (run.returncode, run.stderr) == (7, "")
        assert (len(sink.spans), len(sink.logs)) == (count, count)
        if "fork" not in end:
            assert _executions(sink) == count


FUNCTIONS = """
import inspect, os, pickle, signal
for function in (os._exit, os.execv, os.execve, os.kill, signal.raise_signal):
    assert pickle.loads(pickle.dumps(function)) is function
    print(function.__name__, function.__qualname__, function.__doc__, inspect.signature(function))
print(os.execve in os.supports_fd)
for end in (os._exit, lambda: os.kill([], []), lambda: signal.raise_signal([]), lambda: signal.raise_signal(1, 2)):
    try:
        end()
    except TypeError as error:
        print(error)
"""


def test_the_functions_of_os_look_the_same() -> None:
    plain = run_program(FUNCTIONS, way=())
    assert plain.returncode == 0
    with OtlpSink() as sink:
        instrumented = run_program(FUNCTIONS, environment=_environment(sink))
    assert instrumented.stdout == plain.stdout


FORKING = f"""{RUN}
from sandscope._setup import _sudden_exit
run(1)
for end in (lambda: os._exit(0), lambda: os.execvp("true", ["true"])):
    pid = os.fork()
    if pid == 0:
        _sudden_exit._flush_until = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        end()
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_a_forked_child_without_executions_ends_at_once() -> None:
    with OtlpSink() as sink:
        run = run_program(FORKING, environment=_environment(sink))
    assert (run.returncode, run.stderr) == (0, "")


def test_a_sudden_end_does_not_wait_long_for_a_collector_that_hangs() -> None:
    program = f"{RUN}\nrun({COUNT})\nprint(time.monotonic(), flush=True)\nos._exit(7)"
    with OtlpSink(answers={"/v1/traces": "hang", "/v1/logs": "hang", "/v1/metrics": "hang"}) as sink:
        run = run_program(program, environment=_environment(sink))
        seconds = time.monotonic() - float(run.stdout)
    assert (run.returncode, run.stderr) == (7, "")
    assert seconds < 10, "1 s, on a busy machine"


@pytest.mark.parametrize(
    ("path", "answer"), [("/v1/traces", 503), ("/v1/traces", "hang"), ("/v1/logs", "hang")]
)
def test_an_endpoint_that_is_bad_affects_its_own_signal_only(path: str, answer: Answer) -> None:
    with OtlpSink(answers={path: answer}) as sink:
        run = run_program(f"{RUN}\nrun({COUNT})", environment=_environment(sink))
        assert run.returncode == 0
        assert _executions(sink) == COUNT
        good, bad = (sink.logs, sink.spans) if path == "/v1/traces" else (sink.spans, sink.logs)
        assert (len(good), len(bad)) == (COUNT, 0)
        span, log = ("not_delivered", "sent") if path == "/v1/traces" else ("sent", "not_delivered")
        assert _outcomes(sink) == {"span": {span: COUNT}, "log": {log: COUNT}}
    assert ("Waiting up to" if answer == "hang" else "Cannot deliver telemetry") in run.stderr
    assert run.stderr.count("\n") == 1
