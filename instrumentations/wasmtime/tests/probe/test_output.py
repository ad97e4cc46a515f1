"""What a guest writes becomes log records of its execution; the streams that the program set receive all of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from harness import Telemetry
from sandscope_instrumentation_wasmtime._probe._guest_output import LINES, LONGEST

Start = Callable[..., Any]


@pytest.fixture
def settings() -> dict[str, Any]:
    """Ask for output; that switches the probe on, too."""
    return {"output": True}


def records(telemetry: Telemetry) -> list[Any]:
    """Return the log records of guests' output."""
    found = [log.log_record for log in telemetry.logs()]
    return [record for record in found if record.event_name == "wasm.output"]


def lines(telemetry: Telemetry) -> list[tuple[str, str]]:
    """Return stream and text of each."""
    return [((record.attributes or {}).get("log.iostream", ""), record.body) for record in records(telemetry)]


PRINTS = """(data (i32.const 1024) "a line of text\\0a") (func (export "many") (param $n i32)
  (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 15))
  (loop (drop (call $wasi_fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if 0 (local.get $n))))"""


def test_each_line_is_a_record_of_the_call(instrumented: Telemetry, start: Start, tmp_path: Path) -> None:
    def configure(config: wasmtime.WasiConfig) -> None:
        config.stdout_file = str(tmp_path / "out")

    guest = start(configure=configure)
    assert guest.write(1, b"one\ntwo\n\nfour") == 0
    (span,) = instrumented.spans("wasm fd_write")
    assert lines(instrumented) == [("stdout", "one"), ("stdout", "two"), ("stdout", ""), ("stdout", "four")]
    assert {record.span_id for record in records(instrumented)} == {span.context.span_id}
    assert {record.trace_id for record in records(instrumented)} == {span.context.trace_id}
    assert {record.severity_text for record in records(instrumented)} == {"INFO"}
    assert (tmp_path / "out").read_bytes() == b"one\ntwo\n\nfour"


def test_both_streams_keep_their_order(
    instrumented: Telemetry, start: Start, text: Callable[..., str]
) -> None:
    def written(descriptor: int, at: int, size: int) -> str:
        return f"""(i32.store (i32.const 0) (i32.const {at})) (i32.store (i32.const 4) (i32.const {size}))
          (drop (call $wasi_fd_write (i32.const {descriptor}) (i32.const 0) (i32.const 1) (i32.const 8)))"""

    more = f"""(data (i32.const 1024) "first, \\0asecond\\0a") (func (export "both")
      {written(1, 1024, 7)} {written(2, 1032, 7)} {written(1, 1031, 1)})"""
    start(text(["fd_write"], more))("both")
    assert lines(instrumented) == [("stderr", "second"), ("stdout", "first, ")]
    assert [record.severity_text for record in records(instrumented)] == ["WARN", "INFO"]


@pytest.mark.parametrize("settings", [{"probe": True}])
def test_without_the_setting_there_are_none(instrumented: Telemetry, start: Start) -> None:
    assert start().write(1, b"secret\n") == 0
    assert records(instrumented) == []


def test_the_users_own_function_gets_all_of_it(instrumented: Telemetry, start: Start) -> None:
    got: list[bytes] = []

    def take(content: bytes) -> int:
        got.append(content)
        return min(3, len(content))

    guest = start(configure=lambda config: setattr(config, "stdout_custom", take))
    assert guest.write(1, b"12345") == 0
    taken = guest.get(8)
    assert b"".join(got)[:taken] == b"12345"[:taken]
    assert [line for _, line in lines(instrumented)] == ["12345"[:taken]]


def test_what_was_not_written_is_not_recorded(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    assert guest.write(99, b"nowhere\n") != 0
    guest.put(0, 0xFFFFFFF0, 100)
    with pytest.raises(wasmtime.WasmtimeError, match="Pointer out of bounds"):
        guest("fd_write", 1, 0, 1, 8)
    assert records(instrumented) == []


def test_a_long_line_becomes_several_records(instrumented: Telemetry, start: Start) -> None:
    assert start().write(1, ("ä" * 3000 + "\n").encode()) == 0
    assert [line for _, line in lines(instrumented)] == ["ä" * LONGEST, "ä" * (3000 - LONGEST)]


def test_a_character_in_two_writes_is_one(
    instrumented: Telemetry, start: Start, text: Callable[..., str]
) -> None:
    halves = PRINTS.replace("a line of text\\0a", "\\c3\\a4").replace("(i32.const 15)", "(i32.const 1)")
    step = "(i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))"
    start(text(["fd_write"], halves.replace("(local.set $n", f"{step} (local.set $n")))("many", 2)
    assert lines(instrumented) == [("stdout", "ä")]


def test_what_is_no_text_is_recorded_as_far_as_it_is(instrumented: Telemetry, start: Start) -> None:
    assert start().write(1, b"a\xff\x00b\n") == 0
    assert lines(instrumented) == [("stdout", "a\ufffd\x00b")]


def test_bytes_without_any_text_in_them_are_cut_too(instrumented: Telemetry, start: Start) -> None:
    assert start().write(1, b"\x80" * (2 * LONGEST + 1)) == 0
    assert [len(line) for _, line in lines(instrumented)] == [LONGEST, LONGEST, 1]


def test_lines_are_bounded_and_the_last_record_says_so(
    instrumented: Telemetry, start: Start, text: Callable[..., str]
) -> None:
    guest = start(text(["fd_write"], PRINTS))
    guest("many", LINES + 1)
    *recorded, last = records(instrumented)
    assert {record.body for record in recorded} == {"a line of text"}
    assert len(recorded) == LINES
    assert dict(last.attributes or {}) == {"wasm.output.truncated": True}
    instrumented.clear()
    guest("many", 2)
    assert len(records(instrumented)) == 2, "the limit is for each call"


def test_a_flood_is_kept_out_of_memory(
    instrumented: Telemetry, start: Start, text: Callable[..., str]
) -> None:
    flood = PRINTS.replace("(i32.const 15)", "(i32.const 60000)")
    start(text(["fd_write"], flood))("many", 1000)
    *recorded, last = records(instrumented)
    assert dict(last.attributes or {}) == {"wasm.output.truncated": True}
    assert sum(len(record.body) for record in recorded) <= 4 * 65536


def test_exactly_as_much_as_there_is_room_for_is_not_truncated(
    instrumented: Telemetry, start: Start, text: Callable[..., str]
) -> None:
    start(text(["fd_write"], PRINTS))("many", LINES)
    assert {record.body for record in records(instrumented)} == {"a line of text"}


def test_an_array_of_many_pieces_is_joined(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    guest.put(1024, b"abc\n")
    guest.put(0, 1024, 0, 1024, 1, 1025, 3)
    assert guest("fd_write", 1, 0, 3, 200) == 0
    written = guest.get(200)
    assert "".join(line for _, line in lines(instrumented)) == "abc\n"[:written].rstrip("\n")


def test_an_answer_written_over_the_array_misleads_nobody(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    guest.put(1024, b"hello\n")
    guest.put(0, 1024, 6)
    assert guest("fd_write", 1, 0, 1, 0) == 0, "the number of bytes replaces the address of the first piece"
    assert guest.get(0) == 6
    assert len(records(instrumented)) <= 2


def test_an_answer_that_makes_an_empty_piece_a_wrong_one_traps_nowhere(
    instrumented: Telemetry, start: Start
) -> None:
    guest = start()
    guest.put(1024, b"hello\n")
    guest.put(0, 0xFFFFFFF0, 0, 1024, 6)
    assert guest("fd_write", 1, 0, 2, 4) == 0
    assert guest.get(4) == 6, "the number of bytes replaces the size of the empty piece"
    assert guest.write(1, b"more\n") == 0
    assert lines(instrumented)[-1] == ("stdout", "more")


def test_what_a_guest_wrote_before_it_ended_is_recorded(
    instrumented: Telemetry, start: Start, text: Callable[..., str]
) -> None:
    more = """(data (i32.const 1024) "last words") (func (export "die")
      (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 10))
      (drop (call $wasi_fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) unreachable)"""
    with pytest.raises(wasmtime.Trap):
        start(text(["fd_write"], more))("die")
    assert lines(instrumented) == [("stderr", "last words")]


def test_the_output_of_a_go_program_is_recorded(
    instrumented: Telemetry, go_guest: Any, start: Start, tmp_path: Path
) -> None:
    def configure(config: wasmtime.WasiConfig) -> None:
        config.argv = ["files", "0"]
        config.stdout_file, config.stderr_file = str(tmp_path / "out"), str(tmp_path / "err")

    with pytest.raises(wasmtime.ExitTrap):
        start(go_guest("files"), configure)("_start")
    for stream, name in (("stdout", "out"), ("stderr", "err")):
        said = [line for found, line in lines(instrumented) if found == stream]
        assert said == (tmp_path / name).read_text().splitlines()
        assert said


def test_what_is_written_without_instrumentation_is_never_recorded(
    telemetry: Telemetry, start: Start
) -> None:
    from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

    WasmtimeInstrumentor().instrument(**telemetry.providers, output=True)
    guest = start()
    WasmtimeInstrumentor().uninstrument()
    assert guest.write(1, b"secret\n") == 0
    assert guest.open(b"../up") != 0
    assert records(telemetry) == []
    WasmtimeInstrumentor().instrument(**telemetry.providers, output=True)
    try:
        assert guest.write(1, b"again\n") == 0
    finally:
        WasmtimeInstrumentor().uninstrument()
    assert lines(telemetry) == [("stdout", "again")]
    assert telemetry.points("wasm.file.operations") == []
