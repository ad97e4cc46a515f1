"""Verdicts on a corpus of submissions: by a judge that calls ``Popen``, and of a sample by ``sandscope exec``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from corpus import SUBMISSIONS
from corpus._programs import command, write_programs
from corpus._submission import Submission
from harness import BIN, PATIENCE, clean_environment, lacking

PARALLEL = 8
TESTS = Path(__file__).parents[1]
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
    write_programs(folder, compiler)
    yield folder
    shutil.rmtree(folder)


def test_each_verdict(folder: Path, default_signals: None) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "corpus._judge", str(folder)],
        env=clean_environment(PYTHONPATH=str(TESTS)),
        stdout=subprocess.PIPE,
        timeout=4 * PATIENCE,
        check=True,
    )
    told = {name: tuple(verdict) for name, verdict in json.loads(run.stdout).items()}
    expected = {submission.name: submission.verdict for submission in SUBMISSIONS}
    wrong = {name: told.get(name) for name, verdict in expected.items() if told.get(name) != verdict}
    assert wrong == {}, {name: expected[name] for name in wrong}


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
            [BIN / "sandscope", "exec", *flags, "--json", str(file), "--", *command(folder, submission)],
            cwd=place,
            env=clean_environment(OTEL_SDK_DISABLED="true"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        told = json.loads(file.read_text())
    return told["status"], told["actor"], told["cause"]
