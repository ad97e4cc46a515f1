"""``sandscope run`` finds the program, with the Python beside ``sandscope``, or says in one line what is wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import BIN, PATIENCE, SANDSCOPE_RUN, OtlpSink, clean_environment

SANDSCOPE = SANDSCOPE_RUN[0]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Return the folder of the programs of another environment, in which nothing is installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "other"], check=True)
    return tmp_path / "other" / "bin"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, which has a program that is not executable."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text("import sandscope; print(sandscope.__version__)\n")
    return tmp_path


def _sandscope(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [SANDSCOPE, *map(str, arguments)]
    return subprocess.run(
        command,
        env=clean_environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _script(path: Path, first_line: str) -> Path:
    path.write_text(f"{first_line}\nprint(1)\n")
    path.chmod(0o755)
    return path


def test_an_environment_need_not_be_activated(other: Path, folder: Path) -> None:
    path = os.pathsep.join([str(other), os.defpath])
    with OtlpSink() as sink:
        collector = ["run", "--collector", sink.endpoint, "--"]
        run = _sandscope(*collector, "python", "app.py", PATH=path)
    assert run.returncode == 0, run.stderr
    assert run.stdout != ""
    assert run.stderr.splitlines()[0] == (
        f"sandscope: running '{BIN}/python', which is beside sandscope; the first on PATH is '{other}/python'"
    )


def test_a_python_without_sandscope_is_one_line(other: Path, folder: Path) -> None:
    run = _sandscope("run", "--", other / "python", "app.py")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        f"sandscope: Cannot instrument '{other}/python': sandscope is not installed for '{other}/python'. "
        f"Install it there, or: sandscope run -- {sys.executable} app.py\n"
    )


@pytest.mark.parametrize("first_line", ["#!{}/python", "#!/usr/bin/env python"])
def test_a_script_of_a_python_without_sandscope_is_one_line(
    other: Path, folder: Path, first_line: str
) -> None:
    script = _script(folder / "a-script", first_line.format(other))
    run = _sandscope("run", "--", "./a-script", "-v", PATH=os.pathsep.join([str(other), os.defpath]))
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        f"sandscope: Cannot instrument './a-script': sandscope is not installed for '{other}/python'. "
        f"Install it there, or: sandscope run -- {sys.executable} {script} -v\n"
    )


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["app.py"], "there is no such program on PATH. Did you mean: sandscope run -- python app.py"),
        (["./app.py", "a b"], "it is not executable. Did you mean: sandscope run -- python ./app.py 'a b'"),
        (["a-script"], "there is no such program on PATH. Did you mean: sandscope run -- ./a-script"),
        (["no-such-program"], "there is no such program on PATH. Check its name."),
        (["./no-such-program"], "there is no such file. Check its name."),
        (["/"], "it is a folder. Give the path of a program."),
        (
            ["./a-script"],
            "its first line names '/no/sh', which cannot be found. Did you mean: sandscope run -- sh ./a-script",
        ),
        (
            ["./bare.py"],
            "its first line does not begin with '#!' and the path of an interpreter. "
            "Did you mean: sandscope run -- python ./bare.py",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_run_is_one_line_before_anything_starts(
    folder: Path, command: list[str], said: str
) -> None:
    _script(folder / "a-script", "#!/no/sh")
    _script(folder / "bare.py", "import sys")
    run = _sandscope("run", "--", *command)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == f"sandscope: Cannot run {command[0]!r}: {said}\n"
    assert not (folder / "sandscope-data").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["app.py"], "Did you mean: sandscope run -- python app.py"),
        (["sh", "-c", "exit 1"], "Did you mean: sandscope run -- sh -c 'exit 1'"),
        (
            ["no-such-command"],
            "Use one of run, exec, ci, report, view, top, query, up, down, recover, audit, collector, stores, doctor.",
        ),
    ],
    ids=["file", "program", "nothing"],
)
def test_a_program_in_place_of_a_command_is_one_line(folder: Path, arguments: list[str], said: str) -> None:
    run = _sandscope(*arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == f"sandscope: Cannot do {arguments[0]!r}: there is no such command. {said}\n"


def test_a_run_of_nothing_is_one_line() -> None:
    run = _sandscope("run", "--")
    assert run.returncode == 2
    assert run.stderr.endswith(" For example: sandscope run -- python app.py\n")
    assert run.stderr.count("\n") == 1


def test_the_two_dashes_may_be_left_out(folder: Path) -> None:
    with OtlpSink() as sink:
        run = _sandscope("run", "--collector", sink.endpoint, shutil.which("sh") or "", "-c", "exit 3")
    assert (run.returncode, run.stderr.count("\n")) == (3, 1)
