"""A WASI guest gets the current trace context in its environment; the user's variables are kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from harness import Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

STALE = "00-11111111111111111111111111111111-2222222222222222-01"

Configure = Callable[[wasmtime.WasiConfig], None]
Run = Callable[..., dict[str, str]]


@pytest.fixture
def run(
    environ_guest: wasmtime.Module, engine: wasmtime.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Return a function that runs the Go guest and returns its environment."""
    for name in ("TRACEPARENT", "TRACESTATE"):
        monkeypatch.delenv(name, raising=False)

    def run(configure: Configure = lambda _config: None, **options: Any) -> dict[str, str]:
        store = wasmtime.Store(engine)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        config = wasmtime.WasiConfig()
        config.stdout_file = str(tmp_path / "out")
        configure(config)
        if options.get("suppressed"):
            with suppress_instrumentation():
                store.set_wasi(config)
        else:
            store.set_wasi(wasi=config)
        with pytest.raises(wasmtime.ExitTrap) as caught:
            linker.instantiate(store, environ_guest).exports(store)["_start"](store)  # type: ignore[operator]
        assert caught.value.code == 0
        lines = (tmp_path / "out").read_text().splitlines()
        found = dict(line.split("=", 1) for line in lines)
        assert len(found) == len(lines), "no variable twice"
        return found

    return run


@pytest.fixture
def current(instrumented: Telemetry) -> Any:
    """Make a span current, and return its ``traceparent``."""
    with instrumented.tracer_provider.get_tracer("user").start_as_current_span("user"):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        yield carrier["traceparent"]


def inherit(config: wasmtime.WasiConfig) -> None:
    """Inherit the whole environment."""
    config.inherit_env()


def user_sets(*pairs: tuple[str, str]) -> Configure:
    """Return a function that sets variables as a user does."""

    def configure(config: wasmtime.WasiConfig) -> None:
        config.env = pairs

    return configure


def test_a_guest_continues_the_current_trace(instrumented: Telemetry, current: str, run: Run) -> None:
    assert run(user_sets(("A", "1")))["TRACEPARENT"] == current
    (span,) = instrumented.spans("wasm _start")
    assert (span.attributes or {})["sandbox.verdict.status"] == "OK"


def test_the_rest_of_the_environment_is_the_users(current: str, run: Run) -> None:
    assert run(user_sets(("A", "1"), ("B", ""))) == {"A": "1", "B": "", "TRACEPARENT": current}


def test_trace_state_is_propagated_too(instrumented: Telemetry, run: Run) -> None:
    context = SpanContext(
        1, 2, is_remote=False, trace_flags=TraceFlags(1), trace_state=TraceState([("v", "1")])
    )
    with trace.use_span(NonRecordingSpan(context)):
        assert run()["TRACESTATE"] == "v=1"


def test_without_a_span_nothing_is_added(instrumented: Telemetry, run: Run) -> None:
    assert run() == {}


def test_what_the_user_set_wins(current: str, run: Run) -> None:
    assert run(user_sets(("TRACEPARENT", "mine"))) == {"TRACEPARENT": "mine"}
    assert run(user_sets(("TRACESTATE", "mine"))) == {"TRACESTATE": "mine"}


def test_pairs_may_come_from_an_iterator(current: str, run: Run) -> None:
    def configure(config: wasmtime.WasiConfig) -> None:
        config.env = (iter(pair) for pair in [("TRACEPARENT", "mine")])

    assert run(configure) == {"TRACEPARENT": "mine"}


@pytest.mark.usefixtures("recorder_kind")
def test_an_inherited_environment_is_whole(
    telemetry: Telemetry, run: Run, request: pytest.FixtureRequest
) -> None:
    plain = run(inherit)
    assert "PATH" in plain
    current = request.getfixturevalue("current")
    assert run(inherit) == {**plain, "TRACEPARENT": current}


def test_an_inherited_context_is_replaced(current: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", STALE)
    monkeypatch.setenv("TRACESTATE", "stale=1")
    expected = {**os.environ, "TRACEPARENT": current}
    del expected["TRACESTATE"]
    assert run(inherit) == expected


def test_an_inherited_context_is_kept_if_there_is_no_current_one(
    instrumented: Telemetry, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", STALE)
    assert run(inherit)["TRACEPARENT"] == STALE


def test_suppressed_instrumentation_adds_nothing(
    current: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(suppressed=True) == {}
    monkeypatch.setenv("TRACEPARENT", STALE)
    assert run(inherit, suppressed=True)["TRACEPARENT"] == STALE


def test_a_user_value_beats_an_inherited_one(current: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", STALE)

    def configure(config: wasmtime.WasiConfig) -> None:
        config.env = [("TRACEPARENT", "mine")]
        config.inherit_env()

    assert run(configure)["TRACEPARENT"] == "mine"


def test_the_programs_own_environment_is_not_changed(
    current: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", STALE)
    before = dict(os.environ)
    pairs = [["A", "1"]]
    run(lambda config: setattr(config, "env", pairs))
    run(inherit)
    assert dict(os.environ) == before
    assert pairs == [["A", "1"]]


def test_a_configuration_that_is_used_again_fails_as_in_plain_wasmtime(instrumented: Telemetry) -> None:
    store, config = wasmtime.Store(), wasmtime.WasiConfig()
    store.set_wasi(config)
    for use in (lambda: store.set_wasi(config), config.inherit_env, lambda: setattr(config, "env", [])):
        with pytest.raises(ValueError, match="already closed"):
            use()


def test_a_configuration_that_a_closed_store_refused_is_unchanged(
    instrumented: Telemetry, current: str, run: Run
) -> None:
    closed = wasmtime.Store()
    closed.close()

    def configure(config: wasmtime.WasiConfig) -> None:
        with pytest.raises(ValueError, match="already closed"):
            closed.set_wasi(config)

    assert run(configure) == {"TRACEPARENT": current}


def test_after_uninstrument_nothing_is_added(telemetry: Telemetry, instrument: Any, run: Run) -> None:
    instrument()
    WasmtimeInstrumentor().uninstrument()
    with telemetry.tracer_provider.get_tracer("user").start_as_current_span("user"):
        assert run() == {}
