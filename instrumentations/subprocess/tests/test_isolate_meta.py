"""The meta file of ``isolate``: which one a command line names, and what it says. A script stands for it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from sandscope_instrumentation_subprocess._evidence._isolate_meta import (
    IsolateMeta,
    meta_file_of,
    read_meta,
)

TIMED_OUT = """time:2.004
time-wall:2.310
max-rss:3512
cg-mem:4096
csw-voluntary:8
killed:1
status:TO
message:Time limit exceeded (wall clock)
"""

FAKE = """#!/bin/sh
cat > "$META_TARGET"
exit {code}
"""


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["isolate", "--meta=m", "--run", "--", "prog"], "/box/m"),
        (["isolate", "--meta", "/tmp/m", "--run", "--", "prog"], "/tmp/m"),
        (["isolate", "-M", "m", "--run"], "/box/m"),
        ([b"isolate", b"-Mm"], "/box/m"),
        (["isolate", "--run", "--", "prog", "--meta=of the guest"], None),
        (["isolate", "--run", "--", "prog"], None),
        (["isolate", "-M"], None),
        (["isolate", "--meta="], None),
        ("isolate --meta=m", None),
        (iter(["isolate", "--meta=m"]), None),
    ],
)
@pytest.mark.parametrize("cwd", ["/box", b"/box", Path("/box")], ids=["str", "bytes", "Path"])
def test_the_file_that_a_command_line_names(args: Any, expected: str | None, cwd: Any) -> None:
    assert meta_file_of(args, cwd) == expected


def test_a_relative_path_without_a_folder() -> None:
    assert meta_file_of(["isolate", "-M", "m"], None) == str(Path.cwd() / "m")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", IsolateMeta()),
        (TIMED_OUT, IsolateMeta("TO", wall=True, cpu_time=2.004, memory_peak=4096 * 1024)),
        ("status:TO\nmessage:Time limit exceeded\n", IsolateMeta("TO")),
        ("status:SG\nexitsig:11\nmax-rss:10\n", IsolateMeta("SG", signal=11, memory_peak=10240)),
        ("status:SG\nexitsig:9\ncg-oom-killed:1\n", IsolateMeta("SG", signal=9, oom_killed=True)),
        ("status:RE\nexitcode:3\n", IsolateMeta("RE", exit_code=3)),
        ("status:XX\nmessage:cannot run\n", IsolateMeta("XX")),
        ("status:??\nexitcode:secret\nnonsense\n\xff", IsolateMeta()),
    ],
)
def test_what_a_file_says(tmp_path: Path, text: str, expected: IsolateMeta) -> None:
    path = tmp_path / "meta"
    path.write_bytes(text.encode("latin-1"))
    assert read_meta(str(path), time.time_ns()) == expected


def test_a_file_of_an_earlier_child_and_what_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "meta"
    path.write_text(TIMED_OUT)
    os.utime(path, (1, 1))
    assert read_meta(str(path), time.time_ns()) is None
    assert read_meta(str(tmp_path / "missing"), 0) is None
    assert read_meta(str(tmp_path), 0) is None
    os.mkfifo(tmp_path / "pipe")
    assert read_meta(str(tmp_path / "pipe"), 0) in {None, IsolateMeta()}  # and does not block


@pytest.fixture
def isolate(tmp_path: Path) -> Any:
    """Return a function that runs a program named isolate, which writes a meta file and exits."""

    def run(code: int, meta: str | None, secret: str = "secret-meta") -> None:  # noqa: S107 -- a canary
        program = tmp_path / "isolate"
        program.write_text(FAKE.format(code=code))
        program.chmod(0o755)
        target = "/dev/null" if meta is None else str(tmp_path / secret)
        command = [str(program), f"--meta={tmp_path}/{secret}", "--run", "--", "secret-guest"]
        environment = {**os.environ, "META_TARGET": target}
        subprocess.run(command, input=(meta or "").encode(), env=environment, check=False)

    return run


@pytest.mark.parametrize(
    ("code", "meta", "expected"),
    [
        (0, "time:0.1\n", ("OK", "guest", "normal_exit", None, None)),
        (1, TIMED_OUT, ("TLE", "host", "tle_wall_judge", "wall", "told")),
        (1, "status:SG\nexitsig:11\n", ("SIG", "guest", "re_fatal_signal", None, "told")),
        (1, "status:RE\nexitcode:3\n", ("RE", "guest", "re_nonzero_exit", None, "told")),
        (2, "status:XX\n", ("IE", "host", "ie_supervisor_failure", None, "told")),
        (1, None, ("IE", "unknown", "ie_missing_evidence", None, None)),
        (0, "status:RE\n", ("IE", "unknown", "ie_contradictory_evidence", None, None)),
    ],
)
def test_a_child_named_isolate(
    ended: Any, isolate: Any, code: int, meta: str | None, expected: tuple[Any, ...]
) -> None:
    isolate(code, meta)
    attributes = ended.one()
    assert (*ended.verdict(), attributes.get("sandbox.verdict.basis")) == expected
    assert attributes["process.exit.code"] == code
    logs = [log.log_record.attributes for log in ended.telemetry.logs()]
    assert "secret" not in repr(attributes) + repr(logs)
