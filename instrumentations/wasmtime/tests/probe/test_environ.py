"""A guest under the probe finds the context of the call that it reads its environment in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings, strategies
from opentelemetry import propagate, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from harness import Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

ENVIRON = ["environ_sizes_get", "environ_get"]

Start = Callable[..., Any]


def environment(guest: Any, *, sizes: bool = True) -> dict[str, str]:
    """Return the environment that a guest reads, as libc does."""
    if sizes:
        assert guest("environ_sizes_get", 0, 4) == 0
    count, size = guest.get(0), guest.get(4)
    guest.put(4096, b"\xee" * 4096)
    assert guest("environ_get", 4096, 5000) == 0
    assert guest.memory(4096 + 4 * count, 4) == b"\xee" * 4, "no pointer more than was said"
    assert guest.memory(5000 + size, 8) == b"\xee" * 8, "no byte more than was said"
    found = {}
    for index in range(count):
        start = guest.get(4096 + 4 * index)
        entry = guest.memory(start, 5000 + size - start).partition(b"\0")[0]
        name, _, value = entry.decode().partition("=")
        assert name not in found, "no variable twice"
        found[name] = value
    return found


def parent_of(span: Any) -> str:
    """Return the ``traceparent`` of a span's children."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, trace.set_span_in_context(NonRecordingSpan(span.context)))
    return carrier["traceparent"]


def user_sets(*pairs: tuple[str, str]) -> Callable[[wasmtime.WasiConfig], None]:
    """Return what sets variables as a user does."""

    def configure(config: wasmtime.WasiConfig) -> None:
        config.env = pairs

    return configure


def remote(trace_id: int, state: str) -> Any:
    """Return what makes a span of another process current."""
    keys = TraceState.from_header([state]) if state else TraceState()
    context = SpanContext(trace_id, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=keys)
    return trace.use_span(NonRecordingSpan(context))


ADDRESSES = strategies.one_of(
    strategies.integers(0, 200),
    strategies.integers(131072 - 80, 131072 + 8),
    strategies.integers(0, (1 << 32) - 1),
).map(lambda address: address & ~3)

READS = """(func (export "read")
  (drop (call $wasi_environ_sizes_get (i32.const 0) (i32.const 4)))
  (drop (call $wasi_environ_get (i32.const 4096) (i32.const 5000))))"""


@pytest.fixture(scope="module")
def reader(engine: wasmtime.Engine, text: Callable[..., str]) -> wasmtime.Module:
    """Return the guest that reads its environment."""
    return wasmtime.Module(engine, text(ENVIRON))


def test_a_go_program_finds_its_own_call(
    instrumented: Telemetry, environ_guest: wasmtime.Module, start: Start, tmp_path: Path
) -> None:
    def configure(config: wasmtime.WasiConfig) -> None:
        config.env = [("A", "1"), ("B", "")]
        config.stdout_file = str(tmp_path / "out")

    with instrumented.tracer_provider.get_tracer("user").start_as_current_span("user"):
        guest = start(environ_guest, configure)
    with pytest.raises(wasmtime.ExitTrap):
        guest("_start")
    found = dict(line.split("=", 1) for line in (tmp_path / "out").read_text().splitlines())
    (span,) = instrumented.spans("wasm _start")
    assert found == {"A": "1", "B": "", "TRACEPARENT": parent_of(span)}
    assert span.parent is None, "the span that was current at `set_wasi` has nothing to do with it"


@pytest.mark.parametrize("at_set_wasi", [False, True])
def test_each_call_has_its_own(
    instrumented: Telemetry, start: Start, text: Callable[..., str], at_set_wasi: bool
) -> None:
    if at_set_wasi:
        with instrumented.tracer_provider.get_tracer("user").start_as_current_span("user"):
            guest = start(text(ENVIRON, READS), user_sets(("A", "1")))
    else:
        guest = start(text(ENVIRON, READS), user_sets(("A", "1")))
    for _ in range(40):
        guest("read")
        count, size = guest.get(0), guest.get(4)
        content = guest.memory(5000, size)
        span = instrumented.spans("wasm read")[-1]
        assert content == f"A=1\0TRACEPARENT={parent_of(span)}\0".encode()
        assert [guest.get(4096 + 4 * index) for index in range(count)] == [5000, 5004]


def test_the_two_halves_may_be_read_in_two_calls(instrumented: Telemetry, start: Start) -> None:
    guest = start(configure=user_sets(("A", "1")))
    assert environment(guest) == {
        "A": "1",
        "TRACEPARENT": parent_of(instrumented.spans("wasm environ_get")[0]),
    }


def test_what_the_user_set_wins(instrumented: Telemetry, start: Start) -> None:
    for pair in (("TRACEPARENT", "mine"), ("TRACESTATE", "mine")):
        assert environment(start(configure=user_sets(pair))) == dict([pair])


def test_an_inherited_context_is_replaced(
    instrumented: Telemetry, start: Start, text: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", "00-11111111111111111111111111111111-2222222222222222-01")
    guest = start(text(ENVIRON, READS), lambda config: config.inherit_env())
    guest("read")
    content = guest.memory(5000, guest.get(4)).split(b"\0")
    (span,) = instrumented.spans("wasm read")
    assert [each for each in content if each.startswith(b"TRACEPARENT")] == [
        f"TRACEPARENT={parent_of(span)}".encode()
    ]


def test_trace_state_goes_in_too(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    with remote(1, "v=1"):
        assert environment(guest)["TRACESTATE"] == "v=1"


def test_variables_of_another_size_between_the_halves_do_not_overflow(
    instrumented: Telemetry, start: Start
) -> None:
    guest = start()
    with remote(1, ""):
        assert guest("environ_sizes_get", 0, 4) == 0
    with remote(2, "vendor=" + "x" * 200):
        found = environment(guest, sizes=False)
    assert set(found) == {"TRACEPARENT"}
    with remote(3, "vendor=" + "y" * 200):
        assert environment(guest)["TRACESTATE"] == "vendor=" + "y" * 200


def test_where_the_old_variables_are_longer_they_stay(instrumented: Telemetry, start: Start) -> None:
    with remote(7, "vendor=" + "x" * 200):
        guest = start()
    found = environment(guest)
    assert found["TRACEPARENT"] == f"00-{7:032x}-{2:016x}-01"
    assert found["TRACESTATE"] == "vendor=" + "x" * 200


def test_every_size_there_is_fills_nothing(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    for size in range(1, 200):
        with remote(size, "v=" + "x" * size):
            found = environment(guest)
        assert found in ({}, {**found, "TRACESTATE": "v=" + "x" * size})
    with remote(1, "v=x"):
        assert environment(guest)["TRACESTATE"] == "v=x"


def test_a_guest_that_never_asked_for_sizes_gets_what_wasi_has(instrumented: Telemetry, start: Start) -> None:
    guest = start(configure=user_sets(("A", "1")))
    guest.put(4096, b"\xee" * 2048)
    assert guest("environ_get", 4096, 5000) == 0
    assert guest.memory(5000, 8) == b"A=1\0\xee\xee\xee\xee"


def test_two_guests_in_a_store_do_not_mix_up_their_sizes(instrumented: Telemetry, start: Start) -> None:
    first = start()
    second = start(store=first.store)
    with remote(1, ""):
        assert first("environ_sizes_get", 0, 4) == 0
    with remote(2, "v=1"):
        assert set(environment(second)) == {"TRACEPARENT", "TRACESTATE"}
        assert set(environment(first, sizes=False)) == {"TRACEPARENT"}


@pytest.mark.parametrize(
    ("sizes", "get"),
    [((8, 8), (4096, 5000)), ((0, 4), (4096, 131000)), ((0, 4), (131060, 5000)), ((0, 4), (5000, 5000))],
)
def test_odd_addresses_harm_nobody_but_the_guest(
    instrumented: Telemetry, start: Start, sizes: tuple[int, int], get: tuple[int, int]
) -> None:
    guest = start(configure=user_sets(("A", "1")))
    assert guest("environ_sizes_get", *sizes) == 0
    assert guest("environ_get", *get) == 0
    assert len(guest.exports["memory"].read(guest.store)) == 2 * 65536


# The other recorder's thread draws random numbers while the strategies do.
@pytest.mark.parametrize("recorder_kind", ["direct"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(addresses=strategies.lists(ADDRESSES, min_size=4, max_size=4))
def test_any_address_is_answered_as_without_the_probe(
    telemetry: Telemetry, start: Start, reader: wasmtime.Module, addresses: list[int]
) -> None:
    """The environment differs; what is not there to be written to does not."""

    def answers() -> list[Any]:
        guest = start(reader, user_sets(("A", "1"), ("B", "2")))
        found: list[Any] = []
        for name, pair in zip(ENVIRON * 2, (addresses[:2], addresses[2:]) * 2, strict=True):
            try:
                found.append(guest(name, *pair))
            except wasmtime.WasmtimeError as error:
                found.append(str(error).partition("\n\nStack backtrace:")[0])  # the host's, in older versions
        return found

    plain = answers()
    WasmtimeInstrumentor().instrument(**telemetry.providers, probe=True)
    try:
        assert answers() == plain
    finally:
        WasmtimeInstrumentor().uninstrument()


@pytest.mark.parametrize("settings", [{"probe": True, "spans": "off"}])
def test_without_spans_the_guest_continues_the_current_trace(instrumented: Telemetry, start: Start) -> None:
    guest = start()
    assert environment(guest) == {}
    with instrumented.tracer_provider.get_tracer("user").start_as_current_span("user") as user:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        assert environment(guest) == {"TRACEPARENT": carrier["traceparent"]}
        assert user.get_span_context().is_valid


def test_suppressed_calls_put_nothing_in(instrumented: Telemetry, start: Start) -> None:
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    guest = start()
    with suppress_instrumentation():
        assert environment(guest) == {}


def test_after_uninstrument_nothing_goes_in(telemetry: Telemetry, start: Start) -> None:
    WasmtimeInstrumentor().instrument(**telemetry.providers, probe=True)
    guest = start()
    assert set(environment(guest)) == {"TRACEPARENT"}
    WasmtimeInstrumentor().uninstrument()
    with remote(1, ""):
        assert environment(guest) == {}
