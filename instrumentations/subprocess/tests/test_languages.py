"""The language of a child, by the name of its executable: on its span, its log record and its metrics."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandscope_instrumentation_subprocess._languages import _PROGRAMS, LANGUAGE, language_of

LANGUAGES = [
    *(("python", "python"), ("python3", "python"), ("python3.13t", "python"), ("pypy3.10", "python")),
    *(("gcc", "c"), ("gcc-12", "c"), ("g++-14", "cpp"), ("clang++", "cpp"), ("clang-18", "c")),
    *(
        ("node", "javascript"),
        ("java", "java"),
        ("ruby3.2", "ruby"),
        ("perl5.36.0", "perl"),
        ("php8.2", "php"),
    ),
    *(("bash", "shell"), ("lua5.4", "lua"), ("python.exe", "python"), ("python3.12.exe", "python")),
    *(("true", None), ("pythonic", None), ("a.out", None), ("", None), ("3", None), ("r", None)),
]


@pytest.mark.parametrize(("program", "language"), LANGUAGES)
def test_the_language_of_a_program(program: str, language: str | None) -> None:
    assert language_of(program) == language


def test_the_declared_languages_are_those_of_the_map(contract: Any) -> None:
    declared = {member["value"] for member in contract.attributes[LANGUAGE]["type"]["members"]}
    assert set(_PROGRAMS) == declared


def test_it_is_on_all_three_signals(ended: Any) -> None:
    subprocess.run([sys.executable, "-c", "exit(3)"], check=False)
    attributes = ended.one()
    (log,) = ended.telemetry.logs("sandbox.execution")
    assert attributes[LANGUAGE] == log.log_record.attributes[LANGUAGE] == "python"
    for name in ("sandbox.executions", "sandbox.execution.duration"):
        assert [point[LANGUAGE] for point, _ in ended.telemetry.points(name)] == ["python"]


def test_metrics_are_counted_by_language(ended: Any) -> None:
    for _ in range(2):
        subprocess.run(["sh", "-c", "exit 0"], check=True)
        subprocess.run([sys.executable, "-c", ""], check=True)
    subprocess.run(["true"], check=True)
    ended.all(5)
    counted = {point.get(LANGUAGE): n for point, n in ended.telemetry.points("sandbox.executions")}
    assert counted == {"shell": 2, "python": 2, None: 1}


def test_a_name_from_outside_is_no_language(ended: Any, tmp_path: Path) -> None:
    program = tmp_path / "canary"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    subprocess.run([str(program)], check=True)
    ended.one()
    assert "canary" not in repr(ended.telemetry.points("sandbox.executions"))
