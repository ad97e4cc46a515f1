"""Each call that is made with a store has the store's number, on its span and on its log record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from opentelemetry import trace
from wasmtime import component

from harness import Telemetry

GUEST = """(module $m (memory (export "memory") 1) (func (export "f") (result i32) i32.const 42)
  (func (export "trap") unreachable))"""
CALLS_HOST = '(module (import "h" "f" (func $f)) (func (export "run") (call $f)) (func (export "leaf")))'
COMPONENT = """(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))"""

MANY = 300
"""Calls: more than are measured one by one."""


def numbers(telemetry: Telemetry) -> list[Any]:
    """Return the number on each span, which is on its log record, too."""
    spans = [(span.attributes or {}).get("wasm.sandbox.id") for span in telemetry.spans()]
    logs = [
        (log.log_record.attributes or {}).get("wasm.sandbox.id")
        for log in telemetry.logs("sandbox.execution")
    ]
    assert spans == logs
    return spans


@pytest.mark.parametrize("settings", [{}, {"spans": "outer"}, {"cpu": True}], ids=str)
def test_every_call_has_the_number_of_its_store(instrumented: Telemetry, load: Any) -> None:
    first, one = load(GUEST)
    second, two = load(GUEST.replace('(memory (export "memory") 1)', ""))
    for _ in range(MANY):
        one["f"](first)
        two["f"](second)
    found = numbers(instrumented)
    assert len(found) == 2 * MANY
    assert set(found[::2]) == {found[0]}
    assert set(found[1::2]) == {found[1]}
    assert found[0] != found[1]


def test_however_the_store_is_passed(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(GUEST)
    exports["f"](store)
    exports["f"](store=store)
    first, second = numbers(instrumented)
    assert first == second is not None


def test_a_call_that_fails_has_it_too(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(GUEST)
    exports["f"](store)
    with pytest.raises(wasmtime.Trap):
        exports["trap"](store)
    first, second = numbers(instrumented)
    assert first == second is not None


def test_calls_inside_calls_have_that_of_their_own_store(instrumented: Telemetry, load: Any) -> None:
    inner_store, inner = load(GUEST)
    calls: list[Callable[[], Any]] = [lambda: inner["f"](inner_store)]
    store, exports = load(CALLS_HOST, lambda: [call() for call in calls] and None)
    calls.append(lambda: exports["leaf"](store))
    exports["run"](store)
    other, leaf, run = numbers(instrumented)
    assert leaf == run != other
    assert None not in {leaf, other}


def test_a_component_has_it(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    built = component.Component(store.engine, COMPONENT)
    function: Any = component.Linker(store.engine).instantiate(store, built).get_func(store, "f")
    function(store)
    (number,) = numbers(instrumented)
    assert isinstance(number, int)


def test_what_the_program_adds_to_one_call_is_not_on_the_next(
    telemetry: Telemetry, instrument: Any, load: Any
) -> None:
    instrument()
    add = [True]

    def host() -> None:
        if add.pop():
            trace.get_current_span().set_attribute("mine", 1)
        add.append(False)

    store, exports = load(CALLS_HOST, host)
    exports["run"](store)
    exports["run"](store)
    first, second = telemetry.spans()
    assert (first.attributes or {})["mine"] == 1
    assert "mine" not in (second.attributes or {})
    ids = [(span.attributes or {})["wasm.sandbox.id"] for span in (first, second)]
    assert ids[0] == ids[1]


def test_a_store_that_is_older_has_no_number(telemetry: Telemetry, instrument: Any, load: Any) -> None:
    store, exports = load(GUEST)
    instrument()
    exports["f"](store)
    assert numbers(telemetry) == [None]
