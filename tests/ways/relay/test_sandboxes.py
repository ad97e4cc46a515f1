"""A child that may not open sockets sends its telemetry through its parent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import ROOT, SANDSCOPE_RUN, STOCK, OtlpSink, lacking, run_program
from ways.relay._sandboxes import GUEST, attributes, environment, outcomes, parent, sandbox


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
