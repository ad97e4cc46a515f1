"""The file of a black box: private, only there while its process runs, and of no harm if it is damaged."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from harness import (
    OtlpSink,
    run_program,
)
from sandscope._deferred._box_layout import LEGEND_USED_AT, SIZE, SLOTS, STATE_AT, TIMES_AT
from ways.black_box._dying import (
    BLACK_BOX,
    COUNT,
    PROGRAM,
    boxes_in,
    environment_of,
    killed_box,
    recover,
    span_ids,
)

pytestmark = BLACK_BOX

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
        good = killed_box(tmp_path / "good", sink, program)
        content = good.read_bytes()
        kept = set()
        for name, damage in DAMAGES.items():
            folder = tmp_path / name.replace(" ", "-")
            folder.mkdir(mode=0o700)
            (folder / "1-1-1.box").write_bytes(damage(content))
            run = recover(folder, sink)
            assert run.returncode == 0, (name, run.stderr)
            if boxes_in(folder):
                kept.add(name)
        assert not sink.spans
        assert not sink.logs
        assert sink.total("sandscope.recovered.executions") == 2, "one slot in each of the last two"
        assert recover(good.parent, sink).returncode == 0
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
        run = run_program(program, environment=environment_of(sink, SANDSCOPE_BLACK_BOX=str(folder)))
    assert (run.returncode, run.stdout) == (0, "done\n"), run.stderr
    assert len(set(span_ids(sink))) == COUNT
    assert not boxes_in(tmp_path)


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
        environment = environment_of(sink, **({"SANDSCOPE_BLACK_BOX": str(tmp_path)} | variables))
        run = run_program(program + modes, environment=environment)
    assert run.stdout.startswith(f"{files}|{'0o100600' * files}"), (run.stdout, run.stderr)
    assert not list(tmp_path.iterdir())


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
        content = killed_box(
            tmp_path, sink, program, OTEL_TRACES_EXPORTER="otlp", HOME=f"/{CANARY}"
        ).read_bytes()
    assert b'"running"' in content
    assert CANARY.encode() not in content
