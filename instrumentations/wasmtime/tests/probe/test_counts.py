"""Calls on files and sockets are counted, with bytes and errors; standard streams are no files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from harness import Telemetry

EBADF, ENOENT = 8, 44
CREATE = 1
READ, WRITE = 1 << 1, 1 << 6

Start = Callable[..., Any]


def counts(telemetry: Telemetry, kind: str = "file") -> dict[str, float]:
    """Return the metrics of files or of the network, without their prefix."""
    prefix = f"wasm.{kind}."
    found = {}
    for name in telemetry.metrics():
        if name.startswith(prefix):
            ((attributes, value),) = telemetry.points(name)
            assert attributes == {}
            found[name.removeprefix(prefix)] = value
    return found


def test_what_is_read_and_written_is_counted(instrumented: Telemetry, start: Start, data: Path) -> None:
    guest = start()
    assert guest.open(b"file", 0, READ) == 0
    guest.put(0, 1024, 100)
    assert guest("fd_read", guest.get(8), 0, 1, 12) == 0
    assert (guest.get(12), guest.memory(1024, 7)) == (7, b"content")
    assert guest.open(b"new", CREATE, WRITE) == 0
    assert guest.write(guest.get(8), b"12345") == 0
    assert (data / "new").read_bytes() == b"12345"
    assert counts(instrumented) == {"operations": 4, "errors": 0, "bytes_read": 7, "bytes_written": 5}
    assert counts(instrumented, "network") == {}


def test_positioned_calls_count_bytes_too(instrumented: Telemetry, start: Start, data: Path) -> None:
    guest = start()
    assert guest.open(b"file", 0, READ | WRITE) == 0
    guest.put(0, 1024, 3)
    assert guest("fd_pread", guest.get(8), 0, 1, 4, 12) == 0
    assert guest("fd_pwrite", guest.get(8), 0, 1, 7, 12) == 0
    assert (data / "file").read_bytes() == b"contentent"
    assert counts(instrumented) == {"operations": 3, "errors": 0, "bytes_read": 3, "bytes_written": 3}


def test_an_answer_with_an_error_number_is_counted(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    assert guest.open(b"missing") == ENOENT
    assert guest("fd_read", 99, 0, 1, 12) == EBADF
    assert counts(instrumented) == {"operations": 2, "errors": 2, "bytes_read": 0, "bytes_written": 0}


def test_sockets_are_counted_by_themselves(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    for name, size in (("sock_recv", 6), ("sock_send", 5), ("sock_accept", 3), ("sock_shutdown", 2)):
        assert guest(name, 99, *(0 for _ in range(size - 1))) != 0
    network = {"requests": 4, "errors": 4, "bytes_sent": 0, "bytes_received": 0}
    assert counts(instrumented, "network") == network
    assert counts(instrumented) == {}


def test_standard_streams_are_not_files(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    assert guest.write(1, b"out") == 0
    assert guest.write(2, b"err") == 0
    guest("fd_read", 0, 0, 1, 12)
    guest("fd_filestat_get", 1, 1024)
    assert counts(instrumented) == {}


def test_a_file_in_the_place_of_a_closed_stream_is_a_file(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    assert guest("fd_close", 1) == 0
    assert guest.open(b"new", CREATE, WRITE) == 0
    assert guest.get(8) == 1, "WASI hands out the lowest descriptor that is free"
    assert guest.write(1, b"12345") == 0
    assert counts(instrumented) == {"operations": 2, "errors": 0, "bytes_read": 0, "bytes_written": 5}


def test_a_file_renumbered_to_a_stream_is_a_file(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    assert guest.open(b"new", CREATE, WRITE) == 0
    assert guest("fd_renumber", guest.get(8), 2) == 0
    assert guest.write(2, b"123") == 0
    assert counts(instrumented)["bytes_written"] == 3


def test_new_streams_of_the_host_are_streams_again(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    assert guest("fd_close", 1) == 0
    guest.store.set_wasi(wasmtime.WasiConfig())
    assert guest.write(1, b"out") == 0
    assert counts(instrumented) == {}


def test_guests_of_one_store_are_counted_together(instrumented: Telemetry, start: Start) -> None:
    first = start()
    second = start(store=first.store)
    assert [guest.open(b"missing") for guest in (first, second, first)] == [ENOENT] * 3
    assert counts(instrumented)["operations"] == 3


def test_what_a_guest_did_before_it_trapped_is_counted(
    instrumented: Telemetry, start: Start, text: Callable[..., str]
) -> None:
    lost = '(func (export "lost") (drop (call $wasi_fd_sync (i32.const 77))) unreachable)'
    guest = start(text(["fd_sync"], lost))
    with pytest.raises(wasmtime.Trap, match="unreachable"):
        guest("lost")
    assert counts(instrumented)["errors"] == 1


def test_with_suppressed_instrumentation_nothing_is_counted(instrumented: Telemetry, start: Start) -> None:
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    guest = start()
    with suppress_instrumentation():
        guest.open(b"missing")
    assert counts(instrumented) == {}
    guest.open(b"missing")
    assert counts(instrumented)["operations"] == 1


def test_a_guest_with_a_memory_of_the_host_is_counted(
    instrumented: Telemetry, start: Start, text: Callable[..., str], data: Path
) -> None:
    def prepare(linker: wasmtime.Linker, store: wasmtime.Store) -> None:
        kind = wasmtime.MemoryType(wasmtime.Limits(1, 1))
        linker.define(store, "host", "memory", wasmtime.Memory(store, kind))

    memory = '(import "host" "memory" (memory 1)) (export "memory" (memory 0))'
    guest = start(text(["path_open", "fd_write"], memory=memory), prepare=prepare)
    assert guest.open(b"new", CREATE, WRITE) == 0
    assert guest.write(guest.get(8), b"12345") == 0
    assert (data / "new").read_bytes() == b"12345"
    assert counts(instrumented) == {"operations": 2, "errors": 0, "bytes_read": 0, "bytes_written": 5}


def test_guests_with_telemetry_of_their_own_are_counted(
    instrumented: Telemetry, start: Start, text: Callable[..., str]
) -> None:
    source = text(
        ["fd_sync"],
        '(func (export "log") (result i32) (call $log (i32.const 9) (i32.const 0) (i32.const 0)))',
    )
    imported = '(import "otel" "log" (func $log (param i32 i32 i32) (result i32))) (memory'
    guest = start(source.replace("(memory", imported, 1))
    assert guest("log") == 0
    assert guest("fd_sync", 99) == EBADF
    assert counts(instrumented)["errors"] == 1


def test_a_go_program_is_counted(
    instrumented: Telemetry, go_guest: Any, start: Start, data: Path, tmp_path: Path
) -> None:
    def configure(config: wasmtime.WasiConfig) -> None:
        config.argv = ["files", "3"]
        config.stdout_file = str(tmp_path / "out")

    guest = start(go_guest("files"), configure)
    with pytest.raises(wasmtime.ExitTrap) as caught:
        guest("_start")
    assert caught.value.code == 3
    assert (data / "out.txt").stat().st_size == 100000
    found = counts(instrumented)
    assert (found["bytes_read"], found["bytes_written"]) == (100000, 100000)
    assert found["operations"] > found["errors"] >= 2
