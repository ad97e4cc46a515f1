"""Stores that a forked child inherits are the parent's; stores that live as long as the program are told of at exit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import wasmtime

from deferred._forked import in_child
from harness import OtlpSink, Telemetry, clean_environment, run_program

PAGE = 65536
GUEST = '(module (memory (export "memory") 2 5) (func (export "f")))'
SUMS = ("wasm.active.instances", "wasm.instance.destruction", "wasm.memory.usage", "wasm.memory.limit")


def started(module: wasmtime.Module, engine: wasmtime.Engine) -> tuple[wasmtime.Store, Any]:
    """Return a new store and the exports of an instance in it."""
    store = wasmtime.Store(engine)
    return store, wasmtime.Instance(store, module, []).exports(store)


@pytest.fixture
def module(instrumented: Telemetry, engine: wasmtime.Engine) -> wasmtime.Module:
    """Return a guest: wasmtime's threads, which compile, do not exist in a forked child."""
    return wasmtime.Module(engine, GUEST)


def sums(telemetry: Telemetry) -> dict[str, float]:
    """Return the values of the sums that there are."""
    return {name: value for name in SUMS for _, value in telemetry.points(name)}


def peaks(telemetry: Telemetry) -> list[tuple[int, float]]:
    """Return count and sum of the peaks of stores."""
    metric = telemetry.metrics().get("wasm.sandbox.memory.peak")
    return [] if metric is None else [(point.count, point.sum) for point in metric.data.data_points]  # type: ignore[union-attr]


def test_a_forked_child_counts_its_own_stores_only(
    instrumented: Telemetry, engine: wasmtime.Engine, module: wasmtime.Module
) -> None:
    store, _ = started(module, engine)

    def work() -> Any:
        store.close()
        after_end = sums(instrumented)
        own, _ = started(module, engine)
        with_own = sums(instrumented)
        own.close()
        return after_end, with_own, sums(instrumented), peaks(instrumented)

    after_end, with_own, at_end, of_child = in_child(work)
    assert not any(after_end.values())
    one = {"wasm.active.instances": 1, "wasm.memory.usage": 2 * PAGE, "wasm.memory.limit": 5 * PAGE}
    assert {name: value for name, value in with_own.items() if value} == one
    assert {name: value for name, value in at_end.items() if value} == {"wasm.instance.destruction": 1}
    assert of_child == [(1, 2 * PAGE)]
    assert sums(instrumented) == one
    store.close()
    assert sums(instrumented)["wasm.active.instances"] == 0
    assert peaks(instrumented) == [(1, 2 * PAGE)]


def test_an_inherited_store_that_is_used_counts_from_then_on(
    instrumented: Telemetry, engine: wasmtime.Engine, module: wasmtime.Module
) -> None:
    store, exports = started(module, engine)

    def work() -> Any:
        exports["f"](store)
        used = sums(instrumented)
        store.close()
        return used, sums(instrumented), peaks(instrumented)

    used, at_end, of_child = in_child(work)
    assert used["wasm.memory.usage"] == 2 * PAGE
    assert not any(at_end.values())
    assert of_child == [(1, 2 * PAGE)]


PROGRAM = f"""
import os, sys, wasmtime
engine = wasmtime.Engine()
store = wasmtime.Store(engine)
exports = wasmtime.Instance(store, wasmtime.Module(engine, '{GUEST}'), []).exports(store)
exports["f"](store)
ended = wasmtime.Store(engine)
wasmtime.Instance(ended, wasmtime.Module(engine, '{GUEST}'), []).exports(ended)
del ended
if sys.argv[1:] == ["fork"] and os.fork() == 0:
    sys.exit()
if len(sys.argv) > 1:
    os.wait()
"""


@pytest.mark.parametrize("arguments", [(), ("fork",)])
def test_a_store_that_lives_to_the_end_has_its_peak(arguments: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    with OtlpSink() as sink:
        environment = clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint)
        run = run_program(file, *arguments, environment=environment)
    assert run.returncode == 0, run.stderr
    assert sum(point.count for point in sink.points("wasm.sandbox.memory.peak")) == 2
    assert [point.sum for point in sink.points("wasm.memory.peak")] == [2 * PAGE]
