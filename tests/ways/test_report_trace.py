"""A trace in the terminal: a hundred steps of a training do not hide the rest."""

from __future__ import annotations

from typing import Any

import pytest

from sandscope._cli._report_text import write_trace
from sandscope._store import SpanNode


def _node(depth: int, name: str, duration: float, cause: str = "normal_exit") -> SpanNode:
    span: dict[str, Any] = dict.fromkeys(
        ("module", "actor", "limit", "status_code", "status_message", "service")
    )
    status = "OK" if cause == "normal_exit" else "RE"
    return SpanNode(depth, {**span, "name": name, "duration": duration, "status": status, "cause": cause})


def test_many_spans_that_look_alike_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [_node(1, "step", number / 1000) for number in range(1, 81)]
    failed, around = _node(1, "step", 0.5, "re_exception"), _node(1, "step", 0.9)
    write_trace([_node(0, "host", 2), *steps, failed, around, _node(2, "inside", 0.1), *steps[:3]])
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip().split("  ")[0] for line in lines] == [
        "host",
        "step",
        "... and 79 more like this",
        "step",
        "step",
        "inside",
        *["step"] * 3,
    ]
    assert lines[2].endswith("2.0 ms to 80.0 ms")
    assert "re_exception" in lines[3]


def test_a_guest_has_its_module_and_the_reason_why_it_was_killed(capsys: pytest.CaptureFixture[str]) -> None:
    killed = _node(0, "wasm run", 0.002, "re_unreachable")
    killed.span.update(
        module="plugin\x1b[2J", status_message="wasm `unreachable` instruction executed", actor="guest"
    )
    write_trace([killed])
    assert capsys.readouterr().out == (
        "wasm run (plugin\\x1b[2J)  2.0 ms  runtime error, ended by itself: re_unreachable "
        "(wasm `unreachable` instruction executed)\n"
    )
