"""A path that WASI refuses is a security event of the execution that asked for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from harness import Telemetry
from sandscope_instrumentation_wasmtime._probe._store_probe import _DENIALS

EPERM, ENOENT, ENOTCAPABLE = 63, 44, 76
CREATE = 1

Start = Callable[..., Any]


def violations(telemetry: Telemetry) -> float:
    """Return how many violations were counted for refused paths."""
    return sum(
        value
        for attributes, value in telemetry.points("sandbox.security.violations")
        if attributes["sandbox.verdict.cause"] == "sv_path_denied"
    )


def events(telemetry: Telemetry) -> list[Any]:
    """Return the log records of security events."""
    records = [log.log_record for log in telemetry.logs()]
    return [record for record in records if record.event_name == "sandbox.security"]


def test_a_path_out_of_its_directory_is_an_event_of_the_call(instrumented: Telemetry, start: Start) -> None:
    assert start().open(b"../../etc/passwd") == EPERM
    (span,) = instrumented.spans("wasm path_open")
    (record,) = events(instrumented)
    attributes = dict(record.attributes or {})
    assert isinstance(attributes.pop("wasm.sandbox.id"), int)
    assert attributes == {
        "sandbox.runtime": "wasmtime",
        "security.event.type": "sandbox_violation",
        "sandbox.violation.type": "sv_path_denied",
        "sandbox.violation.action": "denied",
        "sandbox.violation.resource": "../../etc/passwd",
        "sandbox.capability": "filesystem",
        "wasm.module": "caller",
        "wasm.function": "path_open",
        "wasm.wasi.function": "path_open",
        "wasm.wasi.errno": "EPERM",
    }
    assert record.severity_text == "WARN"
    assert (record.trace_id, record.span_id) == (span.context.trace_id, span.context.span_id)
    (event,) = span.events
    assert event.name == "sandbox.security"
    assert dict(event.attributes or {}) == dict(record.attributes or {})
    assert instrumented.points("sandbox.security.violations") == [
        (
            {
                "sandbox.runtime": "wasmtime",
                "sandbox.operation": "call",
                "sandbox.verdict.cause": "sv_path_denied",
            },
            1,
        )
    ]
    assert (span.attributes or {})["sandbox.verdict.status"] == "OK", "the guest was told, and went on"


def test_a_link_out_of_its_directory_is_an_event(instrumented: Telemetry, start: Start) -> None:
    assert start().open(b"link") == EPERM
    (record,) = events(instrumented)
    assert (record.attributes or {})["sandbox.violation.resource"] == "link"


def test_a_path_that_does_not_exist_is_no_event(instrumented: Telemetry, start: Start) -> None:
    assert start().open(b"missing") == ENOENT
    assert events(instrumented) == []
    assert violations(instrumented) == 0


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("path_create_directory", (), ()),
        ("path_unlink_file", (), ()),
        ("path_remove_directory", (), ()),
        ("path_filestat_get", (0,), (1024,)),
        ("path_filestat_set_times", (0,), (0, 0, 0)),
        ("path_readlink", (), (1024, 10, 8)),
        ("path_rename", (), (3, 512, 4)),
        ("path_link", (0,), (3, 512, 4)),
    ],
)
def test_every_function_with_a_path_is_watched(
    instrumented: Telemetry, start: Start, name: str, before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    guest = start()
    guest.put(256, b"../up")
    guest.put(512, b"name")
    assert guest(name, 3, *before, 256, 5, *after) in {EPERM, ENOTCAPABLE}
    (record,) = events(instrumented)
    attributes = record.attributes or {}
    assert (attributes["sandbox.violation.resource"], attributes["wasm.wasi.function"]) == ("../up", name)


def test_the_new_name_of_a_link_is_the_path(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    guest.put(256, b"../up")
    guest.put(512, b"name")
    assert guest("path_symlink", 512, 4, 3, 256, 5) == EPERM
    (record,) = events(instrumented)
    assert (record.attributes or {})["sandbox.violation.resource"] == "../up"


def test_a_directory_that_is_not_to_be_changed_refuses(
    instrumented: Telemetry, start: Start, data: Path
) -> None:
    def configure(config: wasmtime.WasiConfig) -> None:
        if hasattr(wasmtime, "DirPerms"):  # in older versions
            permissions: Any = wasmtime.DirPerms.READ_ONLY
        else:
            permissions = False
        config.preopen_dir(str(data), "/read", permissions)

    guest = start(configure=configure)
    guest.put(512, b"new")
    assert guest("path_create_directory", 4, 512, 3) == EPERM
    assert violations(instrumented) == 1


def test_a_path_is_cut_and_need_not_be_text(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    path = b"../" + b"\xff" * 2000
    guest.put(512, path)
    guest("path_open", 3, 0, 512, len(path), 0, 0, 0, 0, 8)
    path = b"../" + b"a" * 2000
    guest.put(512, path)
    assert guest("path_open", 3, 0, 512, len(path), 0, 0, 0, 0, 8) == EPERM
    (record,) = events(instrumented)
    assert (record.attributes or {})["sandbox.violation.resource"] == "../" + "a" * 253


def test_records_are_bounded_and_counts_are_not(
    instrumented: Telemetry, start: Start, text: Callable[..., str]
) -> None:
    """A guest that asks without end fills nothing."""
    many = """(data (i32.const 512) "../up") (func (export "many") (param $n i32) (loop
      (drop (call $wasi_path_unlink_file (i32.const 3) (i32.const 512) (i32.const 5)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if 0 (local.get $n))))"""
    guest = start(text(["path_unlink_file"], many))
    guest("many", 5000)
    assert 10 < len(events(instrumented)) <= _DENIALS
    assert violations(instrumented) == 5000
    instrumented.clear()
    guest("many", 1)
    assert len(events(instrumented)) == 1, "the limit is for each call"


def test_inside_a_host_function_they_belong_to_the_inner_call(
    instrumented: Telemetry, start: Start, text: Callable[..., str]
) -> None:
    def prepare(linker: wasmtime.Linker, store: wasmtime.Store) -> None:
        linker.define_func("h", "f", wasmtime.FuncType([], []), lambda: guest("inner") and None)

    unlink = "(call $wasi_path_unlink_file (i32.const 3) (i32.const {at}) (i32.const 5))"
    more = f"""(data (i32.const 512) "../up") (data (i32.const 600) "../in")
      (func (export "inner") (result i32) {unlink.format(at=600)})
      (func (export "outer") (drop {unlink.format(at=512)}) (call $f) (drop {unlink.format(at=512)}))"""
    source = text(["path_unlink_file"], more).replace(
        "(memory (export", '(import "h" "f" (func $f)) (memory (export'
    )
    guest = start(source, prepare=prepare)
    guest("outer")
    (outer,), (inner,) = instrumented.spans("wasm outer"), instrumented.spans("wasm inner")
    paths = [(event.attributes or {})["sandbox.violation.resource"] for event in outer.events]
    assert paths == ["../up", "../up"]
    assert [(event.attributes or {})["sandbox.violation.resource"] for event in inner.events] == ["../in"]
    by_span = [
        (record.span_id, (record.attributes or {})["sandbox.violation.resource"])
        for record in events(instrumented)
    ]
    assert by_span == [
        (outer.context.span_id, "../up"),
        (inner.context.span_id, "../in"),
        (outer.context.span_id, "../up"),
    ]


@pytest.mark.parametrize("settings", [{"probe": True, "spans": "off"}])
def test_without_spans_they_are_records_in_the_users_trace(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    with instrumented.tracer_provider.get_tracer("user").start_as_current_span("user") as user:
        assert guest.open(b"../up") == EPERM
    (record,) = events(instrumented)
    assert record.span_id == user.get_span_context().span_id
    (span,) = instrumented.spans("user")
    assert span.events == (), "the user's own span stays the user's"
