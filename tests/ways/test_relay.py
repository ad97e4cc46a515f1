"""A child that may not open sockets sends its telemetry through its parent, and cannot lie about others."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import ROOT, SANDSCOPE_RUN, STOCK, OtlpSink, clean_environment, lacking, run_program, wait_until

if sys.platform != "linux":
    pytest.skip("what takes the network away from a child is of Linux", allow_module_level=True)

WITHOUT_SOCKETS = r"""
import ctypes, errno, os, platform, struct, sys
number = {"x86_64": 41, "aarch64": 198}[platform.machine()]
filters = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | errno.EPERM), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in filters))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
header = struct.pack("@HP", len(filters), ctypes.addressof(program))
assert libc.prctl(22, 2, header, 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Executes a program in which `socket` fails. Run with ``-I``, Python does not start Sandscope before that."""

GUEST = """
import os, socket, sys
from opentelemetry import trace
try:
    socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), 5)
    sys.exit("there is a network")
except OSError:
    pass
assert not [name for name in os.environ if "RELAY_PIPE" in name], "the program sees the variable"
with trace.get_tracer("guest").start_as_current_span("in the sandbox"):
    pass
"""

SANDBOXES = {
    "bwrap": ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-net", "--"],
    "seccomp": [sys.executable, "-I", "-c", WITHOUT_SOCKETS],
}


def sandbox(name: str) -> list[str]:
    """Return the command line before that of a program without network."""
    command = SANDBOXES[name]
    if shutil.which(command[0]) is None:
        lacking(f"{name} is not installed")
    tried = subprocess.run(
        [*command, sys.executable, "-I", "-c", ""], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        lacking(f"{name} does not work here: {tried.stderr[:200]}")
    return command


def parent(command: list[str], before: str = "", after: str = "") -> str:
    return f"""
import os, subprocess, sys
from opentelemetry import trace
{before}
with trace.get_tracer("parent").start_as_current_span("parent"):
    done = subprocess.run({command!r}, capture_output=True, text=True)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    {after}
sys.exit(done.returncode)
"""


def environment(sink: OtlpSink, **variables: str) -> dict[str, str]:
    port = sink.endpoint.rpartition(":")[2]
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint, "PORT": port, "SANDSCOPE_RELAY": "on"}
    return clean_environment(**{**given, **variables})


def attributes(record: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in record.attributes}


def outcomes(sink: OtlpSink) -> dict[tuple[str, str], int]:
    """Return the last values of the counter of relayed records."""
    return {
        (found["sandscope.signal"], found["sandscope.relay.outcome"]): point.as_int
        for point in sink.points("sandscope.relay.records")
        for found in [attributes(point)]
    }


@pytest.mark.parametrize("way", [STOCK, SANDSCOPE_RUN], ids=["stock", "run"])
@pytest.mark.parametrize("kind", ["bwrap", "seccomp"])
def test_parent_and_child_are_one_trace_of_one_service(kind: str, way: tuple[str, ...]) -> None:
    command = [*sandbox(kind), sys.executable, "-c", GUEST]
    with OtlpSink() as sink:
        run = run_program(parent(command), way=way, environment=environment(sink, OTEL_SERVICE_NAME="judge"))
    assert (run.returncode, run.stdout) == (0, "")
    if way is STOCK:
        assert run.stderr == ""
    inside = sink.span("in the sandbox")
    child = sink.span(Path(command[0]).name)
    assert (inside.trace_id, inside.parent_span_id) == (child.trace_id, child.span_id)
    assert child.parent_span_id == sink.span("parent").span_id
    assert {resource["service.name"] for resource in sink.resources} == {"judge"}
    assert attributes(inside) == {"sandbox.relayed": True}
    assert "sandbox.relayed" not in attributes(child)
    assert outcomes(sink)["span", "relayed"] == 1


@pytest.mark.parametrize("recorder", ["auto", "python", "direct"])
def test_executions_in_the_child_are_claims(recorder: str) -> None:
    guest = "import subprocess; subprocess.run(['true'], check=True)"
    command = [*sandbox("seccomp"), sys.executable, "-c", guest]
    with OtlpSink() as sink:
        run = run_program(parent(command), environment=environment(sink, SANDSCOPE_RECORDER=recorder))
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    inner, outer = sink.span("true"), sink.span(Path(sys.executable).name)
    assert inner.trace_id == outer.trace_id
    assert attributes(inner)["guest.sandbox.verdict.status"] == "OK"
    assert "sandbox.verdict.status" not in attributes(inner)
    assert attributes(outer)["sandbox.verdict.status"] == "OK"
    assert sorted(log.event_name for log in sink.logs) == ["guest.sandbox.execution", "sandbox.execution"]
    assert sink.total("sandbox.executions") == 1


PROBE = """
import json, os, sys
found = {int(name): os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd")
         if os.path.exists("/proc/self/fd/" + name)}
names = [name for name in os.environ if "RELAY_PIPE" in name]
print(json.dumps([names, sorted(each for each in found if each > 2)]))
"""


@pytest.mark.parametrize("options", ["", ", close_fds=False", ", pass_fds=[given], env={}"])
def test_without_the_setting_a_child_gets_nothing(options: str) -> None:
    """And with it, one descriptor more than otherwise."""
    program = f"""
import json, os, subprocess, sys
given, _ = os.pipe()
children = [
    subprocess.run([sys.executable, "-I", "-c", {PROBE!r}], stdout=subprocess.PIPE{options}, check=True)
    for _ in range(2)
]
print(json.dumps([given] + [json.loads(child.stdout) for child in children]))
"""
    with OtlpSink() as sink:
        runs = [
            run_program(program, way=way, environment=environment(sink, SANDSCOPE_RELAY=relay))
            for way, relay in (((), "off"), (STOCK, "off"), (STOCK, "on"))
        ]
    plain, off, on = ((run.returncode, run.stderr, *_read(run.stdout)) for run in runs)
    assert off == plain
    assert on[:2] == (0, "")
    for (names, descriptors), (_, without) in zip(on[3:], plain[3:], strict=True):
        assert names == ["SANDSCOPE_RELAY_PIPE"]
        assert descriptors[:-1] == without
        assert descriptors[-1] > 100


def _read(text: str) -> list[Any]:
    result: list[Any] = json.loads(text)
    return result


def test_the_childs_own_children_inherit_nothing() -> None:
    guest = f"""
import os, subprocess, sys
os.system({f"{sys.executable} -I -c '{PROBE.strip()}'"!r})
"""
    with OtlpSink() as sink:
        run = run_program(parent([sys.executable, "-c", guest]), environment=environment(sink))
    assert _read(run.stdout)[0] == []
    assert all(each < 100 for each in _read(run.stdout)[1]), run.stdout


def test_a_pool_in_the_child() -> None:
    guest = """
import multiprocessing
from opentelemetry import trace
def work(number):
    with trace.get_tracer("guest").start_as_current_span(f"task {number}"):
        return number
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert sorted(pool.map(work, range(40), chunksize=1)) == list(range(40))
"""
    with OtlpSink() as sink:
        run = run_program(parent([sys.executable, "-c", guest]), environment=environment(sink))
    assert (run.returncode, run.stderr) == (0, "")
    assert {f"task {number}" for number in range(40)} <= {*sink.names()}
    assert len({span.trace_id for span in sink.spans}) == 1


def test_posix_spawn() -> None:
    program = """
import os, sys
guest = '''
from opentelemetry import trace
with trace.get_tracer("guest").start_as_current_span("spawned"):
    pass
'''
for actions in (None, [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]):
    options = {} if actions is None else {"file_actions": actions}
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", guest], os.environ, **options)
    assert os.waitpid(pid, 0)[1] == 0
"""
    with OtlpSink() as sink:
        run = run_program(program, environment=environment(sink))
    assert (run.returncode, run.stderr) == (0, "")
    assert sink.names().count("spawned") == 2
    assert outcomes(sink)["span", "relayed"] == 2


HOSTILE = """
import os, struct, sys, time
sys.path[:0] = os.environ["PACKAGES"].split(os.pathsep)
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
pipe = int(os.environ["SANDSCOPE_RELAY_PIPE"].partition(":")[0])
os.set_blocking(pipe, True)
_, trace_id, span_id, _ = os.environ["TRACEPARENT"].split("-")
own, now = bytes.fromhex(trace_id), time.time_ns()
def send(signal, message):
    request = message if isinstance(message, bytes) else message.SerializeToString()
    for start in range(0, len(request), 4000):
        part = request[start:start + 4000]
        flags = (start == 0) | 2 * (start + 4000 >= len(request))
        os.write(pipe, struct.pack("!HBBI", len(part), signal, flags, 1) + part)
def span(name, **changes):
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.add(key="service.name").value.string_value = "CANARY-service"
    fields = dict(trace_id=own, span_id=os.urandom(8), name=name, start_time_unix_nano=now, end_time_unix_nano=now)
    group.scope_spans.add().spans.add(**{**fields, **changes})
    return request
"""
PACKAGES = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))


def hostile(code: str, sink: OtlpSink, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a child that is not instrumented, and writes what it likes to the pipe."""
    command = [sys.executable, "-I", "-c", HOSTILE + code]
    return run_program(parent(command), environment=environment(sink, PACKAGES=PACKAGES, **variables))


def test_what_a_hostile_child_claims() -> None:
    with OtlpSink() as sink:
        run = hostile(
            """
send(1, span("CANARY-trace", trace_id=os.urandom(16)))
send(1, span("CANARY-execution", span_id=bytes.fromhex(span_id)))
send(1, span("CANARY-time", start_time_unix_nano=1))
send(1, span("CANARY-size" + "y" * 70_000))
send(1, b"CANARY-broken" * 300)
send(3, b"CANARY-metrics")
verdict = {"key": "sandbox.verdict.status", "value": {"string_value": "OK"}}
send(1, span("own", trace_state="CANARY=1", attributes=[verdict]))
logs = ExportLogsServiceRequest()
log = logs.resource_logs.add().scope_logs.add().log_records.add(event_name="security.authentication")
log.attributes.add(key="security.event.type").value.string_value = "authentication"
send(2, logs)
""",
            sink,
        )
    assert (run.returncode, run.stderr) == (0, "")
    everything = str([sink.spans, sink.logs, sink.metrics, sink.resources])
    assert "CANARY" not in everything
    own, child = sink.span("own"), sink.span(Path(sys.executable).name)
    assert own.parent_span_id == child.span_id
    assert attributes(own) == {"guest.sandbox.verdict.status": "OK", "sandbox.relayed": True}
    (log,) = [log for log in sink.logs if log.event_name.startswith("guest.")]
    assert (log.trace_id, log.span_id) == (child.trace_id, child.span_id)
    assert set(attributes(log)) == {"guest.security.event.type", "sandbox.relayed"}
    assert outcomes(sink) == {
        ("span", "relayed"): 1,
        ("log", "relayed"): 1,
        ("span", "other_trace"): 1,
        ("span", "other_span"): 1,
        ("span", "other_time"): 1,
        ("span", "too_large"): 1,
        ("span", "invalid"): 1,
        ("metric", "not_relayed"): 1,
    }


@pytest.mark.parametrize(
    "code",
    [
        'os.write(pipe, struct.pack("!I", 1 << 30) + b"CANARY" * 5000)',
        'os.write(pipe, struct.pack("!HBBI", 4000, 1, 1, 1) + b"CANARY")',
        'for n in range(300): os.write(pipe, struct.pack("!HBBI", 4000, 1, n == 0, 1) + bytes(4000))',
        'for _ in range(60): os.write(pipe, (struct.pack("!HBBI", 1, 1, 3, 1) + b"!") * 400)',
        "os.write(pipe, b'CANARY' * 9000); os.kill(os.getpid(), 9)",
        "if os.fork() == 0: time.sleep(20)",
        "os.close(pipe)",
    ],
    ids=["gigabyte", "torn", "endless", "tiny", "killed", "grandchild", "closed"],
)
def test_the_parent_does_as_it_would_without_the_child(code: str) -> None:
    program = f"""
import subprocess, sys
from opentelemetry import trace
quiet = subprocess.DEVNULL
guest = '''
from opentelemetry import trace
with trace.get_tracer("guest").start_as_current_span("another child"):
    pass
'''
with trace.get_tracer("parent").start_as_current_span("parent"):
    subprocess.run([sys.executable, "-I", "-c", {HOSTILE + code!r}], stdout=quiet, stderr=quiet)
    subprocess.run([sys.executable, "-c", guest], check=True)
"""
    with OtlpSink() as sink:
        run = run_program(program, environment=environment(sink, PACKAGES=PACKAGES))
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert "CANARY" not in str([sink.spans, sink.logs])
    assert sink.span("another child").trace_id == sink.span("parent").trace_id


def test_a_parent_that_is_killed_leaves_a_child_that_goes_on(tmp_path: Path) -> None:
    """Also one that wants SIGPIPE to end it."""
    done, begun = tmp_path / "done", tmp_path / "begun"
    guest = f"""
import os, pathlib, signal, time
from opentelemetry import trace
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
parent = os.getppid()
pathlib.Path({str(begun)!r}).touch()
while os.getppid() == parent:
    time.sleep(0.01)
for _ in range(3000):
    with trace.get_tracer("guest").start_as_current_span("orphan"):
        pass
trace.get_tracer_provider().force_flush()
pathlib.Path({str(done)!r}).touch()
"""
    with OtlpSink() as sink:
        command = [*STOCK, sys.executable, "-c", parent([sys.executable, "-c", guest])]
        with subprocess.Popen(command, env=environment(sink), stdout=subprocess.DEVNULL) as process:
            assert wait_until(begun.exists)
            process.send_signal(signal.SIGKILL)
        assert wait_until(done.exists)
    assert "orphan" not in sink.names()


def test_a_child_that_is_killed_has_sent_what_it_had_exported() -> None:
    guest = """
import os, signal
from opentelemetry import trace
with trace.get_tracer("guest").start_as_current_span("before"):
    pass
trace.get_tracer_provider().force_flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    with OtlpSink() as sink:
        run = run_program(parent([sys.executable, "-c", guest]), environment=environment(sink))
    assert (run.returncode, run.stderr) == (247, "")
    assert sink.span("before").parent_span_id == sink.span(Path(sys.executable).name).span_id


def test_with_the_sdk_disabled_there_is_no_pipe() -> None:
    command = [sys.executable, "-I", "-c", PROBE]
    with OtlpSink() as sink:
        run = run_program(parent(command), environment=environment(sink, OTEL_SDK_DISABLED="true"))
    assert _read(run.stdout)[0] == []
    assert sink.requests == 0


def test_a_program_without_an_exporter_says_so_and_relays_nothing() -> None:
    with OtlpSink() as sink:
        run = run_program(
            parent([sys.executable, "-I", "-c", PROBE]),
            environment=environment(sink, OTEL_TRACES_EXPORTER="none"),
        )
    assert _read(run.stdout)[0] == []
    assert run.stderr.startswith("sandscope: Cannot relay what children send:")


def test_the_program_in_c_of_the_documentation(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or lacking("there is no C compiler")
    page = (ROOT / "docs" / "sandboxes-without-network.md").read_text()
    found = re.search(r"```c\n(.*?)```", page, re.DOTALL)
    assert found is not None
    (tmp_path / "hello.c").write_text(found[1])
    program = tmp_path / "hello"
    subprocess.run([compiler, "-Wall", "-Werror", "-o", program, tmp_path / "hello.c"], check=True)
    with OtlpSink() as sink:
        run = run_program(parent([*sandbox("bwrap"), str(program)]), environment=environment(sink))
    assert (run.returncode, run.stderr) == (0, "")
    (log,) = [log for log in sink.logs if log.body.string_value == "hello from C"]
    assert (log.trace_id, log.span_id) == (sink.span("bwrap").trace_id, sink.span("bwrap").span_id)


SPAN = """
from opentelemetry import trace
with trace.get_tracer("guest").start_as_current_span("inner"):
    pass
"""


def test_a_child_of_the_child_sends_through_both() -> None:
    guest = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPAN!r}], check=True)"
    with OtlpSink() as sink:
        command = [*sandbox("seccomp"), sys.executable, "-c", guest]
        run = run_program(parent(command), environment=environment(sink))
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    outer, between = [span for span in sink.spans if span.name == Path(sys.executable).name]
    if "sandbox.relayed" in attributes(outer):
        outer, between = between, outer
    assert sink.span("inner").parent_span_id == between.span_id
    assert between.parent_span_id == outer.span_id
    assert outer.parent_span_id == sink.span("parent").span_id
    assert len({span.trace_id for span in sink.spans}) == 1


ASYNCIO = """
import asyncio
async def main():
    process = await asyncio.create_subprocess_exec(*command)
    await process.wait()
asyncio.run(main())
"""
FORK = """
run(0)
if os.fork() == 0:
    run(1)
    os._exit(0)
os.wait()
"""
POOL = """
run(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    pool.map(run, range(3), chunksize=1)
"""
THREADS = """
threads = [threading.Thread(target=run, args=[number]) for number in range(5)]
for each in threads:
    each.start()
for each in threads:
    each.join()
"""


@pytest.mark.parametrize(
    ("program", "children"),
    [
        pytest.param("run(0)\nos._exit(0)", 1, id="_exit"),
        pytest.param(FORK, 2, id="fork"),
        pytest.param(POOL, 4, id="pool"),
        pytest.param(ASYNCIO, 1, id="asyncio"),
        pytest.param(THREADS, 5, id="threads"),
        pytest.param("run(0, preexec_fn=lambda: None)", 1, id="preexec_fn"),
        pytest.param("run(0, env={'PYTHONPATH': os.environ['PYTHONPATH']})", 1, id="env"),
    ],
)
def test_however_the_program_starts_its_children_and_ends(program: str, children: int) -> None:
    before = f"""
import multiprocessing, os, subprocess, sys, threading
command = [sys.executable, "-c", {SPAN!r}]
def run(number, **options):
    subprocess.run(command, check=True, **options)
"""
    with OtlpSink() as sink:
        run = run_program(before + program, environment=environment(sink))
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert sink.names().count("inner") == children
    executions = {span.span_id for span in sink.spans if "sandbox.relayed" not in attributes(span)}
    assert {span.parent_span_id for span in sink.spans if span.name == "inner"} == executions
