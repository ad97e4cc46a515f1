"""Guests emit telemetry through host functions; a hostile guest can do no harm with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from harness import Telemetry

OTEL = """
  (import "otel" "span_start" (func $start (param i32 i32) (result i32)))
  (import "otel" "span_end" (func $end (param i32) (result i32)))
  (import "otel" "span_set_attribute" (func $attribute (param i32 i32 i32 i32 i32) (result i32)))
  (import "otel" "log" (func $log (param i32 i32 i32) (result i32)))
  (import "otel" "counter_add" (func $count (param i32 i32 f64) (result i32)))
"""
GUEST = (Path(__file__).parent / "guests" / "emits.wat").read_text()
ADDRESS, INVALID, LIMIT, OFF = -1, -2, -3, -4

Call = Callable[..., Any]
Link = Callable[..., Call]


@pytest.fixture
def guest(instrumented: Telemetry, link: Link) -> Call:
    """Return a function that calls the guest's exports."""
    return link(GUEST)


def refused(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """Return how many calls were refused, by signal and reason."""
    points = telemetry.points("sandbox.guest.refused")
    return {(a["sandbox.guest.signal"], a["sandbox.guest.reason"]): value for a, value in points}


@pytest.mark.parametrize(
    ("address", "size"), [(65533, 4), (65536, 1), (-1, 1), (0, -1), (-(2**31), 4), (2**31 - 1, 2**31 - 1)]
)
def test_an_address_outside_of_memory_is_an_error_to_the_guest(
    instrumented: Telemetry, guest: Call, address: int, size: int
) -> None:
    """It does not trap, and nothing is emitted."""
    assert guest("span", address, size) == guest("count", address, size, 1.0) == ADDRESS
    assert guest("record", 9, address, size) == ADDRESS
    assert guest("tag", address, size, 0, 4) == guest("tag", 0, 4, address, size) == ADDRESS
    assert refused(instrumented) == {
        ("span", "address"): 1,
        ("count", "address"): 1,
        ("log", "address"): 1,
        ("attribute", "address"): 2,
    }
    assert {span.attributes["sandbox.verdict.status"] for span in instrumented.spans("wasm span")} == {"OK"}  # type: ignore[index]


def test_the_last_bytes_of_memory_are_inside(instrumented: Telemetry, guest: Call) -> None:
    assert guest("span", 65532, 4) == 1
    assert [span.name for span in instrumented.spans()] == ["guest edge", "wasm span"]


@pytest.mark.parametrize("memory", ["", '(memory (export "other") 1)', '(func (export "memory"))'])
def test_a_guest_without_memory_to_read_gets_an_error(
    instrumented: Telemetry, memory: str, link: Link
) -> None:
    guest = link(f"""(module {OTEL} {memory}
      (func (export "run") (result i32) (call $start (i32.const 0) (i32.const 1))))""")
    assert guest("run") == ADDRESS


def test_open_spans_are_bounded(instrumented: Telemetry, guest: Call) -> None:
    assert guest("many", 5000) == 5000 - 64
    assert len(instrumented.spans()) == 65
    assert refused(instrumented) == {("span", "limit"): 5000 - 64}
    assert guest("many", 1) == 0, "the next call starts anew"


def test_log_records_are_bounded(instrumented: Telemetry, guest: Call) -> None:
    assert guest("flood", 1500) == 500
    assert len(instrumented.logs()) == 1001


def test_long_names_and_values_are_truncated(instrumented: Telemetry, link: Link) -> None:
    guest = link(f"""(module {OTEL} (memory (export "memory") 200) (data (i32.const 0) "key")
      (func (export "run")
        (memory.fill (i32.const 100) (i32.const 97) (i32.const 10000000))
        (drop (call $start (i32.const 100) (i32.const 10000000)))
        (drop (call $attribute (i32.const 1) (i32.const 0) (i32.const 3) (i32.const 100) (i32.const 10000000)))
        (drop (call $log (i32.const 9) (i32.const 100) (i32.const 10000000)))))""")
    guest("run")
    (span,) = [span for span in instrumented.spans() if span.name.startswith("guest ")]
    assert (len(span.name), len(str((span.attributes or {})["guest.key"]))) == (6 + 128, 1024)
    assert len(str(instrumented.logs()[0].log_record.body)) == 4096


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), float("-inf"), 1e300])
def test_an_invalid_count_is_an_error_to_the_guest(
    instrumented: Telemetry, guest: Call, value: float
) -> None:
    assert guest("count", 0, 4, value) == INVALID
    assert instrumented.points("sandbox.guest.count") == []


def test_an_invalid_argument_is_an_error_to_the_guest(guest: Call) -> None:
    assert [guest("end_span", handle) for handle in (0, 1, -1, 2**31 - 1)] == [INVALID] * 4
    assert [guest("record", severity, 0, 4) for severity in (0, 25, -1)] == [INVALID] * 3
    assert guest("span", 0, 0) == guest("count", 0, 0, 1.0) == guest("count", 8, 4, 1.0) == INVALID


def test_a_guest_cannot_end_the_spans_of_another(instrumented: Telemetry, link: Link) -> None:
    """Not even those of the guest that called it: the number is not valid in its own call."""
    answers: list[int] = []
    linker = wasmtime.Linker(wasmtime.Engine())
    other = link(GUEST, linker)
    linker.define_func("h", "f", wasmtime.FuncType([], []), lambda: answers.append(other("end_span", 1)))
    victim = link(
        f"""(module {OTEL} (import "h" "f" (func $host)) (memory (export "memory") 1)
          (data (i32.const 0) "mine")
          (func (export "run") (result i32)
            (drop (call $start (i32.const 0) (i32.const 4))) (call $host) (call $end (i32.const 1))))""",
        linker,
    )
    assert victim("run") == 0
    assert answers == [INVALID]


def test_a_trap_ends_what_is_open(instrumented: Telemetry, guest: Call) -> None:
    with pytest.raises(wasmtime.Trap):
        guest("exit")
    (span,) = instrumented.spans("guest name")
    assert span.status.description == "re_unreachable"


def test_a_host_function_for_telemetry_that_the_program_calls_has_no_caller(guest: Call) -> None:
    """The guest exports it like any other function; there is no memory to read from."""
    assert guest("start", 0, 4) == ADDRESS
    assert guest("end", 1) == INVALID


@pytest.mark.parametrize(
    ("module", "pointer", "separator"), [("dylibso:observe/api", "i32", "-"), ("dylibso_observe", "i64", "_")]
)
def test_the_observe_api_by_both_of_its_names(
    instrumented: Telemetry, module: str, pointer: str, separator: str, link: Link
) -> None:
    guest = link(f"""(module
      (import "{module}" "span{separator}enter" (func $enter (param {pointer} i32)))
      (import "{module}" "span{separator}exit" (func $exit))
      (import "{module}" "span{separator}tags" (func $tags (param {pointer} i32)))
      (import "{module}" "log" (func $log (param i32 {pointer} i32)))
      (import "{module}" "metric" (func $metric (param i32 {pointer} i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "outer") (data (i32.const 16) "inner") (data (i32.const 32) "a:b,c:d:e")
      (data (i32.const 64) "text") (data (i32.const 80) "hits:3|c") (data (i32.const 96) "size:1|g")
      (func (export "run")
        (call $enter ({pointer}.const 0) (i32.const 5))
        (call $enter ({pointer}.const 16) (i32.const 5))
        (call $tags ({pointer}.const 32) (i32.const 9))
        (call $log (i32.const 2) ({pointer}.const 64) (i32.const 4))
        (call $log (i32.const 9) ({pointer}.const 64) (i32.const 4))
        (call $metric (i32.const 1) ({pointer}.const 80) (i32.const 8))
        (call $metric (i32.const 1) ({pointer}.const 96) (i32.const 8))
        (call $metric (i32.const 2) ({pointer}.const 80) (i32.const 8))
        (call $enter ({pointer}.const -1) (i32.const 5)) (call $tags ({pointer}.const -1) (i32.const 5))
        (call $log (i32.const 1) ({pointer}.const -1) (i32.const 5))
        (call $metric (i32.const 1) ({pointer}.const -1) (i32.const 5))
        (call $exit) (call $exit) (call $exit)))""")
    guest("run")
    outer, inner = instrumented.spans("guest outer")[0], instrumented.spans("guest inner")[0]
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    assert dict(inner.attributes or {}) == {"sandbox.runtime": "wasmtime", "guest.a": "b", "guest.c": "d:e"}
    log = instrumented.logs()[0].log_record
    assert (log.body, log.severity_text, log.span_id) == ("text", "WARN", inner.context.span_id)
    assert [value for _, value in instrumented.points("sandbox.guest.count")] == [3]
    assert refused(instrumented) == {
        ("span", "address"): 1,
        ("span", "invalid"): 1,
        ("attribute", "address"): 1,
        ("log", "address"): 1,
        ("log", "invalid"): 1,
        ("count", "address"): 1,
        ("count", "invalid"): 2,
    }
