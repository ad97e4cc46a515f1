"""What children write, as log records: only if asked, only what the program has read itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Python = Callable[[str], list[str]]
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
BOTH = ["/bin/sh", "-c", "echo out; echo err >&2; echo last >&2"]
with_output = pytest.mark.parametrize("settings", [{"output": "all"}])
with_stderr = pytest.mark.parametrize("settings", [{"output": "stderr"}])


def output(ended: Any) -> list[tuple[str, str, str]]:
    """Return the severity, the stream and the body of each record, all in the trace of an execution."""
    records = [log.log_record for log in ended.telemetry.logs()]
    spans = {(span.context.trace_id, span.context.span_id) for span in ended.telemetry.spans()}
    found = [record for record in records if record.event_name == "sandbox.process.output"]
    assert {(record.trace_id, record.span_id) for record in found} <= spans
    return [(r.severity_text, r.attributes.get("log.iostream", ""), r.body) for r in found]


def test_nothing_is_recorded_by_default(ended: Any) -> None:
    subprocess.run(BOTH, check=True, capture_output=True)
    ended.one()
    assert output(ended) == []


@with_stderr
def test_stderr_only(ended: Any) -> None:
    done = subprocess.run(BOTH, check=True, capture_output=True)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\nlast\n")
    ended.one()
    assert output(ended) == [("WARN", "stderr", "err"), ("WARN", "stderr", "last")]


@with_output
@pytest.mark.parametrize("text", [False, True])
def test_both_streams(ended: Any, text: bool) -> None:
    subprocess.run(BOTH, check=True, capture_output=True, text=text)
    ended.one()
    assert ("INFO", "stdout", "out") in output(ended)
    assert len(output(ended)) == 3


@with_output
def test_other_ways_to_read_output(ended: Any) -> None:
    assert subprocess.check_output(["echo", "one"]) == b"one\n"
    assert subprocess.getoutput("echo two") == "two"
    child = subprocess.Popen(["echo", "three"], stdout=subprocess.PIPE)
    child.wait()
    child.communicate()
    ended.all(3)
    assert [body for _, _, body in output(ended)] == ["one", "two", "three"]


@with_output
def test_what_the_program_reads_itself_is_left_to_it(ended: Any) -> None:
    with subprocess.Popen(BOTH, **PIPES) as child:  # type: ignore[call-overload]
        assert child.stdout is not None
        assert child.stdout.read() == b"out\n"
    ended.one()
    assert output(ended) == []


@with_output
def test_asyncio(ended: Any) -> None:
    async def main() -> tuple[bytes, bytes]:
        return await (await asyncio.create_subprocess_exec(*BOTH, **PIPES)).communicate()

    assert asyncio.run(main()) == (b"out\n", b"err\nlast\n")
    ended.one()
    assert len(output(ended)) == 3


@with_output
def test_what_run_has_read_when_the_time_was_over(ended: Any) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run("echo early; exec sleep 600", shell=True, timeout=3, capture_output=True, check=False)  # noqa: S602
    ended.one()
    assert output(ended) == [("INFO", "stdout", "early")]


@with_output
def test_output_is_recorded_once_after_a_timeout(ended: Any, gate: Any) -> None:
    command = ["/bin/sh", "-c", "echo early; cat; echo late"]
    with subprocess.Popen(command, stdin=gate.input, stdout=subprocess.PIPE) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.communicate(timeout=0.2)
        gate.open()
        assert child.communicate()[0] == b"early\nlate\n"
    ended.one()
    assert [body for _, _, body in output(ended)] == ["early", "late"]


@with_output
def test_bytes_that_are_not_text(ended: Any, python: Python) -> None:
    code = r"import sys; sys.stdout.buffer.write(b'\xff\0\r\n\n\xe2\x82')"
    assert subprocess.check_output(python(code)) == b"\xff\0\r\n\n\xe2\x82"
    assert subprocess.check_output(python(code), encoding="utf-8", errors="surrogateescape") == (
        "\udcff\0\n\n\udce2\udc82"
    )
    ended.all(2)
    assert [body for _, _, body in output(ended)] == ["�\0", "�", "?\0", "??"]


@with_output
@pytest.mark.parametrize("code", ["print('x\\n' * 5000)", "print('x' * 200_000)"], ids=["lines", "bytes"])
def test_the_rest_is_cut_off(ended: Any, python: Python, code: str) -> None:
    written = subprocess.check_output(python(code))
    assert len(written) > 10_000
    ended.one()
    *lines, last = output(ended)
    assert last == ("WARN", "", "The rest of this child's output is not recorded.")
    assert len(lines) <= 1000
    assert sum(len(body) for _, _, body in lines) <= 1 << 16
    assert all(len(body) <= 2048 for _, _, body in lines)


@with_output
def test_stderr_has_room_before_stdout(ended: Any, python: Python) -> None:
    code = "import sys; print('x' * 200_000); print('why', file=sys.stderr)"
    subprocess.run(python(code), check=True, capture_output=True)
    ended.one()
    assert output(ended)[0] == ("WARN", "stderr", "why")


@with_output
def test_a_child_that_could_not_start_and_a_class_that_cannot_be_hashed(ended: Any) -> None:
    class Compared(subprocess.Popen[bytes]):
        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = None  # type: ignore[assignment]

    with pytest.raises(FileNotFoundError):
        subprocess.run(["/no/such/program"], capture_output=True, check=False)
    with Compared([sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE) as child:
        assert child.communicate()[0] == b"1\n"
    ended.all(2)
    assert output(ended) == []
