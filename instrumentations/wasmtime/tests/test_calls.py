"""A call of an exported function is one execution; the program's behaviour does not change."""

from __future__ import annotations

import gc
import inspect
import pickle
import threading
import weakref
from typing import Any

import pytest
import wasmtime
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind
from wasmtime import component

from harness import Telemetry

ADD = """(module $math
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "pair") (result i32 i64) i32.const 1 i64.const 2)
  (func (export "none"))
  (func (export "trap") unreachable))"""
CALLS_HOST = '(module $m (import "h" "f" (func $f)) (func (export "run") (call $f)) (func (export "leaf")))'
EXIT = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "exit") (param i32) (call $exit (local.get 0))))"""


def test_a_call_gives_all_three_signals_in_one_trace(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(ADD)
    assert exports["add"](store, 2, 3) == 5

    (span,) = instrumented.spans()
    (log,) = instrumented.logs()
    assert (span.name, span.kind) == ("wasm add", SpanKind.INTERNAL)
    attributes = dict(span.attributes or {})
    assert isinstance(attributes.pop("wasm.sandbox.id"), int)
    assert attributes == {
        "sandbox.runtime": "wasmtime",
        "sandbox.operation": "call",
        "sandbox.verdict.status": "OK",
        "sandbox.verdict.actor": "guest",
        "sandbox.verdict.cause": "normal_exit",
        "wasm.module": "math",
        "wasm.function": "add",
    }
    assert log.log_record.span_id == span.context.span_id
    ((attributes, count),) = instrumented.points("sandbox.executions")
    assert count == 1
    assert not [name for name in attributes if name.startswith("wasm.")]
    assert [value for _, value in instrumented.points("sandbox.execution.duration")] == [1.0]
    assert [value for _, value in instrumented.points("sandbox.execution.active")] == [0.0]
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "sandscope_instrumentation_wasmtime"


def test_results_are_those_of_wasmtime(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(ADD)
    assert exports["pair"](store) == [1, 2]
    assert exports["none"](store) is None
    assert exports["none"](store=store) is None
    assert len(instrumented.spans()) == 3


def test_a_call_inside_a_host_function_is_a_child(instrumented: Telemetry, load: Any) -> None:
    inner: list[Any] = []
    current = []

    def host() -> None:
        current.append(trace.get_current_span().get_span_context().span_id)
        inner[0](store)

    store, exports = load(CALLS_HOST, host)
    inner.append(exports["leaf"])
    with instrumented.tracer_provider.get_tracer("user").start_as_current_span("user"):
        exports["run"](store)

    leaf, run, user = instrumented.spans()
    assert [leaf.name, run.name, user.name] == ["wasm leaf", "wasm run", "user"]
    assert leaf.parent is not None
    assert run.parent is not None
    assert leaf.parent.span_id == run.context.span_id == current[0]
    assert run.parent.span_id == user.context.span_id
    assert len(instrumented.logs()) == 2
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_trap_inside_ends_each_call_once(instrumented: Telemetry, load: Any) -> None:
    inner: list[Any] = []
    wat = CALLS_HOST.replace('(export "leaf")', '(export "leaf") unreachable')
    store, exports = load(wat, lambda: inner[0](store))
    inner.append(exports["leaf"])
    with pytest.raises(wasmtime.Trap):
        exports["run"](store)
    assert [span.name for span in instrumented.spans()] == ["wasm leaf", "wasm run"]
    assert {(span.attributes or {})["sandbox.verdict.cause"] for span in instrumented.spans()} == {
        "re_unreachable"
    }
    assert [value for _, value in instrumented.points("sandbox.execution.active")] == [0.0]
    assert not trace.get_current_span().get_span_context().is_valid


def test_the_exception_of_a_host_function_is_raised_unchanged(instrumented: Telemetry, load: Any) -> None:
    error = KeyError("host")

    def host() -> None:
        raise error

    store, exports = load(CALLS_HOST, host)
    with pytest.raises(KeyError) as caught:
        exports["run"](store)
    assert caught.value is error
    assert (instrumented.spans()[0].attributes or {})["sandbox.verdict.cause"] == "ie_host_error"


def test_threads_have_their_own_traces(instrumented: Telemetry, load: Any) -> None:
    tracer = instrumented.tracer_provider.get_tracer("user")

    def work(number: int) -> None:
        store, exports = load(ADD)
        with tracer.start_as_current_span(f"thread {number}"):
            for _ in range(20):
                exports["add"](store, 1, number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    parents = {s.context.span_id for s in instrumented.spans() if s.name.startswith("thread")}
    calls = instrumented.spans("wasm add")
    assert len(calls) == 80
    assert len(parents) == 4
    counts = [sum(call.parent is not None and call.parent.span_id == p for call in calls) for p in parents]
    assert counts == [20] * 4
    assert [value for _, value in instrumented.points("sandbox.executions")] == [80.0]
    assert [value for _, value in instrumented.points("sandbox.execution.active")] == [0.0]


def _wrong_uses(load: Any) -> list[tuple[type, str]]:
    store, exports = load(ADD)
    closed, closed_exports = load(ADD)
    closed_add = closed_exports["add"]
    closed.close()
    add = exports["add"]
    uses = [
        add,
        lambda: add(store),
        lambda: add(store, 1, 2, 3),
        lambda: add(store, 1, "two"),
        lambda: add(store, 1, b=2),
        lambda: add("no store", 1, 2),
        lambda: closed_add(closed, 1, 2),
        lambda: wasmtime.Store().set_wasi(),
        lambda: wasmtime.Store().set_wasi(None),
        lambda: closed.set_wasi(wasmtime.WasiConfig()),
        lambda: wasmtime.Linker(store.engine).get(store, "none", "none"),
        lambda: wasmtime.Module(store.engine, "(module"),
        lambda: wasmtime.Module.from_file(store.engine, "/nowhere.wasm"),
        lambda: setattr(wasmtime.WasiConfig(), "env", 5),
        lambda: setattr(wasmtime.WasiConfig(), "env", [5]),
        lambda: setattr(wasmtime.WasiConfig(), "env", [("only",)]),
        lambda: setattr(wasmtime.WasiConfig(), "env", [("n", 1)]),
    ]
    raised = []
    for use in uses:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 -- compared with plain wasmtime's
            use()
        message, *_ = str(caught.value).split("Stack backtrace:")  # the host's own frames, in some versions
        raised.append((type(caught.value), message))
    return raised


@pytest.mark.usefixtures("recorder_kind")
def test_wrong_use_raises_what_plain_wasmtime_raises(load: Any, request: pytest.FixtureRequest) -> None:
    plain = _wrong_uses(load)
    instrumented = request.getfixturevalue("instrumented")
    assert _wrong_uses(load) == plain
    causes = [(span.attributes or {})["sandbox.verdict.cause"] for span in instrumented.spans()]
    assert causes == ["ie_invalid_call"] * 7


def test_suppressed_instrumentation_records_nothing(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(ADD)
    with suppress_instrumentation():
        assert exports["add"](store, 1, 2) == 3
        with pytest.raises(wasmtime.Trap):
            exports["trap"](store)
    assert instrumented.spans() == []


def _outliving_after(end: str, load: Any) -> list[bool]:
    """Return whether stores and exceptions outlive their last reference, with garbage collection disabled."""
    gc.collect()
    gc.disable()
    try:
        if end == "exit":
            store = wasmtime.Store()
            store.set_wasi(wasmtime.WasiConfig())
            linker = wasmtime.Linker(store.engine)
            linker.define_wasi()
            module = wasmtime.Module(store.engine, EXIT)
            exports = linker.instantiate(store, module).exports(store)
            del linker, module
        else:
            store, exports = load(ADD)
        references = [weakref.ref(store)]
        try:
            arguments = {"add": (1, 2), "exit": (3,), "trap": ()}[end]
            exports[end](store, *arguments)
        except (wasmtime.Trap, wasmtime.ExitTrap) as error:
            references.append(weakref.ref(error))
        del store, exports
        return [reference() is not None for reference in references]
    finally:
        gc.enable()
        gc.collect()


@pytest.mark.parametrize("end", ["add", "trap", "exit"])
@pytest.mark.usefixtures("recorder_kind")
def test_stores_and_exceptions_are_freed_as_in_plain_wasmtime(
    end: str, load: Any, request: pytest.FixtureRequest
) -> None:
    plain = _outliving_after(end, load)
    assert not plain[0] or end != "add"
    request.getfixturevalue("instrumented")
    assert _outliving_after(end, load) == plain


@pytest.mark.usefixtures("recorder_kind")
def test_introspection_of_functions_gives_the_same(load: Any, request: pytest.FixtureRequest) -> None:
    def look() -> list[object]:
        store, exports = load(ADD)
        function = exports["add"]
        with pytest.raises((TypeError, ValueError, AttributeError)) as pickled:
            pickle.dumps(function)
        return [
            type(function),
            [name for name in vars(function) if not name.startswith("_sandscope")],
            [str(type_) for type_ in function.type(store).params],
            str(pickled.value),
            list(exports),
            len(exports.by_index),
            *(
                (str(inspect.signature(method)), method.__name__, method.__doc__)
                for method in (
                    wasmtime.Func.__call__,
                    component.Func.__call__,
                    wasmtime.Module.from_file,
                    wasmtime.Module.__init__,
                    wasmtime.Linker.get,
                    wasmtime.Store.set_wasi,
                    wasmtime.WasiConfig.inherit_env,
                )
            ),
            wasmtime.WasiConfig.env.__doc__,
        ]

    plain = look()
    request.getfixturevalue("instrumented")
    assert look() == plain
