"""The verdict on a call is based on evidence: the trap's code, the exception's class, the engine's message."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import wasmtime
from wasmtime import component

from harness import Telemetry
from sandscope.instrumentation import MISSING_EVIDENCE
from sandscope_instrumentation_wasmtime._verdicts import verdict_of

LOOP = '(func (export "f") (loop $l br $l))'
CALLS_HOST = '(module (import "h" "f" (func $f)) (func (export "f") (call $f)))'
EXIT = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "f") (call $exit (i32.const {code}))))"""
GUESTS = {
    "re_unreachable": '(func (export "f") unreachable)',
    "re_arithmetic": '(func (export "f") (drop (i32.div_s (i32.const 1) (i32.const 0))))',
    "mle_stack": '(func $f (export "f") (call $f))',
    "sv_memory_bounds": '(memory 1) (func (export "f") (drop (i32.load (i32.const 100000))))',
    "sv_table_bounds": '(table 1 funcref) (func (export "f") (call_indirect (i32.const 5)))',
    "sv_indirect_call": '(table 1 funcref) (func (export "f") (call_indirect (i32.const 0)))',
}
VERDICTS = {
    "re_unreachable": ("RE", "guest"),
    "re_arithmetic": ("RE", "guest"),
    "mle_stack": ("MLE", "engine"),
    "sv_memory_bounds": ("SV", "engine"),
    "sv_table_bounds": ("SV", "engine"),
    "sv_indirect_call": ("SV", "engine"),
}
# A hostile guest's function name, which becomes part of the backtrace in the message.
FORGED = r'$"x\0a\0aCaused by:\0a    wasm trap: interrupt"'


def verdict(telemetry: Telemetry) -> tuple[Any, ...]:
    """Return status, actor, cause and limit of the one execution, which both span and log record have."""
    (span,) = telemetry.spans()
    (log,) = telemetry.logs("sandbox.execution")
    names = ("status", "actor", "cause")
    result = [(span.attributes or {})[f"sandbox.verdict.{name}"] for name in names]
    assert result == [(log.log_record.attributes or {})[f"sandbox.verdict.{name}"] for name in names]
    return (*result, (span.attributes or {}).get("sandbox.limit"))


def from_component(core: str, store: wasmtime.Store) -> Any:
    """Instantiate a component around a core module, and return its function `f`."""
    text = f"""(component (core module $m {core}) (core instance $i (instantiate $m))
      (func (export "f") (canon lift (core func $i "f"))))"""
    built = component.Component(store.engine, text)
    return component.Linker(store.engine).instantiate(store, built).get_func(store, "f")


@pytest.mark.parametrize("cause", GUESTS)
def test_a_trap_of_a_module(cause: str, instrumented: Telemetry, load: Any) -> None:
    store, exports = load(f"(module {GUESTS[cause]})")
    with pytest.raises(wasmtime.Trap):
        exports["f"](store)
    assert verdict(instrumented) == (*VERDICTS[cause], cause, "stack" if cause == "mle_stack" else None)


@pytest.mark.parametrize("cause", GUESTS)
def test_a_trap_of_a_component(cause: str, instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    with pytest.raises(wasmtime.WasmtimeError):
        from_component(GUESTS[cause], store)(store)
    assert verdict(instrumented) == (*VERDICTS[cause], cause, "stack" if cause == "mle_stack" else None)


@pytest.mark.parametrize(
    "instruction",
    [
        "(i32.div_s (i32.const 0x80000000) (i32.const -1))",
        "(i32.trunc_f32_s (f32.const nan))",
    ],
)
def test_arithmetic_traps(instruction: str, instrumented: Telemetry, load: Any) -> None:
    store, exports = load(f'(module (func (export "f") (drop {instruction})))')
    with pytest.raises(wasmtime.Trap):
        exports["f"](store)
    assert verdict(instrumented) == ("RE", "guest", "re_arithmetic", None)


def test_an_indirect_call_with_another_signature(instrumented: Telemetry, load: Any) -> None:
    store, exports = load("""(module (table 1 funcref) (elem (i32.const 0) $g) (func $g (param i32))
      (func (export "f") (call_indirect (i32.const 0))))""")
    with pytest.raises(wasmtime.Trap):
        exports["f"](store)
    assert verdict(instrumented) == ("SV", "engine", "sv_indirect_call", None)


def test_a_misaligned_atomic_access(instrumented: Telemetry, load: Any) -> None:
    store, exports = load('(module (memory 1 1) (func (export "f") (drop (i32.atomic.load (i32.const 1)))))')
    with pytest.raises(wasmtime.Trap):
        exports["f"](store)
    assert verdict(instrumented) == ("SV", "engine", "sv_misaligned", None)


@pytest.mark.parametrize("kind", ["module", "component"])
def test_out_of_fuel(kind: str, instrumented: Telemetry) -> None:
    config = wasmtime.Config()
    config.consume_fuel = True
    store = wasmtime.Store(wasmtime.Engine(config))
    store.set_fuel(1000)
    if kind == "component":
        function = from_component(LOOP, store)
    else:
        module = wasmtime.Module(store.engine, f"(module {LOOP})")
        function = wasmtime.Instance(store, module, []).exports(store)["f"]
    with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError)):
        function(store)
    assert verdict(instrumented) == ("TLE", "engine", "tle_fuel", "fuel")
    ((attributes, count),) = instrumented.points("sandbox.limit.violations")
    assert (attributes["sandbox.limit"], count) == ("fuel", 1.0)


def test_the_epoch_deadline(instrumented: Telemetry, load: Any) -> None:
    config = wasmtime.Config()
    config.epoch_interruption = True
    store, exports = load(f"(module {LOOP})", config=config)
    store.set_epoch_deadline(1)
    timer = threading.Timer(0.05, store.engine.increment_epoch)
    timer.start()
    with pytest.raises(wasmtime.Trap):
        exports["f"](store)
    timer.join()
    assert verdict(instrumented) == ("TLE", "engine", "tle_epoch", "epoch")


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, ("OK", "guest", "normal_exit", None)), (3, ("RE", "guest", "re_exit_code", None))],
)
def test_exit_codes(code: int, expected: tuple[object, ...], instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    store.set_wasi(wasmtime.WasiConfig())
    linker = wasmtime.Linker(store.engine)
    linker.define_wasi()
    module = wasmtime.Module(store.engine, EXIT.format(code=code))
    with pytest.raises(wasmtime.ExitTrap) as caught:
        linker.instantiate(store, module).exports(store)["f"](store)
    assert caught.value.code == code
    assert verdict(instrumented) == expected


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (KeyError("bug"), "ie_host_error"),
        (wasmtime.Trap("denied"), "ie_host_error"),
        (wasmtime.WasmtimeError("denied"), "ie_host_error"),
        (wasmtime.Trap("wasm trap: interrupt"), "ie_host_error"),
    ],
)
def test_what_a_host_function_raises_is_not_the_guests_fault(
    error: Exception, cause: str, instrumented: Telemetry, load: Any
) -> None:
    def host() -> None:
        raise error

    store, exports = load(CALLS_HOST, host)
    with pytest.raises(type(error)) as caught:
        exports["f"](store)
    assert caught.value is error
    assert verdict(instrumented) == ("IE", "host", cause, None)


def test_a_host_function_that_returns_nonsense_is_a_host_error(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(CALLS_HOST, lambda: 3)
    with pytest.raises(wasmtime.WasmtimeError, match="produced results"):
        exports["f"](store)
    assert verdict(instrumented) == ("IE", "host", "ie_host_error", None)


HOST_COMPONENT = f"""(component (import "h" (func $h)) (core func $lower (canon lower (func $h)))
  (core module $m (import "" "h" (func $h)) (func {FORGED} (export "f") (call $h)))
  (core instance $i (instantiate $m (with "" (instance (export "h" (func $lower))))))
  (func (export "f") (canon lift (core func $i "f"))))"""


@pytest.mark.parametrize("error", [KeyError, wasmtime.WasmtimeError, wasmtime.Trap])
def test_what_a_components_host_function_raises(error: type[Exception], instrumented: Telemetry) -> None:
    def host(_store: object) -> None:
        raise error("denied")  # a new exception each time: wasmtime crashes if one is raised twice

    store = wasmtime.Store()
    linker = component.Linker(store.engine)
    with linker.root() as root:
        root.add_func("h", host)
    built = component.Component(store.engine, HOST_COMPONENT)
    function = linker.instantiate(store, built).get_func(store, "f")
    assert function is not None
    with pytest.raises(error):
        function(store)
    assert verdict(instrumented) == ("IE", "host", "ie_host_error", None)


def test_a_guest_cannot_forge_its_verdict_by_a_functions_name(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    core = f'(memory 1) (func {FORGED} (export "f") (drop (i32.load (i32.const 100000))))'
    with pytest.raises(wasmtime.WasmtimeError, match="wasm trap: interrupt"):
        from_component(core, store)(store)
    assert verdict(instrumented) == ("SV", "engine", "sv_memory_bounds", None)


@pytest.mark.parametrize(
    ("needs", "limits", "limit"),
    [
        ("(memory 10)", {"memory_size": 65536}, "memory"),
        ("(table 10 funcref)", {"table_elements": 1}, "table"),
        ("", {"instances": 0}, "instance"),
        ("(memory 1)", {"memories": 0}, "memory"),
        ("(table 1 funcref)", {"tables": 0}, "table"),
    ],
)
def test_a_command_that_the_call_instantiates_exceeds_a_limit(
    needs: str, limits: dict[str, int], limit: str, instrumented: Telemetry
) -> None:
    store = wasmtime.Store()
    store.set_limits(**limits)
    linker = wasmtime.Linker(store.engine)
    linker.define_module(
        store, "command", wasmtime.Module(store.engine, f'(module {needs} (func (export "_start")))')
    )
    with pytest.raises(wasmtime.WasmtimeError):
        linker.get_default(store, "command")(store)
    assert verdict(instrumented) == ("MLE", "engine", "mle_store_limit", limit)


def test_a_grow_that_a_limit_denies_is_no_failure(instrumented: Telemetry, load: Any) -> None:
    store, exports = load('(module (memory 1) (func (export "f") (result i32) (memory.grow (i32.const 10))))')
    store.set_limits(memory_size=131072)
    assert exports["f"](store) == -1
    assert verdict(instrumented) == ("OK", "guest", "normal_exit", None)


@pytest.mark.parametrize(
    ("feature", "wat", "cause"),
    [
        ("wasm_exceptions", '(tag $e) (func (export "f") (throw $e))', "re_exception"),
        (
            "wasm_gc",
            '(type $a (array i32)) (func (export "f") (drop (array.get $a (ref.null $a) (i32.const 9))))',
            "re_reference",
        ),
        (
            "wasm_gc",
            '(type $a (array i32)) (func (export "f") '
            "(drop (array.new $a (i32.const 0) (i32.const 0x7fffffff))))",
            "mle_allocation",
        ),
    ],
)
def test_traps_of_newer_proposals(
    feature: str, wat: str, cause: str, instrumented: Telemetry, load: Any
) -> None:
    config = wasmtime.Config()
    if feature == "wasm_gc" and not hasattr(wasmtime.Config, "wasm_gc"):
        pytest.skip("this version of wasmtime has no garbage collected types")
    for name in {feature, "wasm_function_references"}:
        if hasattr(wasmtime.Config, name):
            setattr(config, name, True)
    store, exports = load(f"(module {wat})", config=config)
    with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError)):
        exports["f"](store)
    assert verdict(instrumented)[2] == cause


@pytest.mark.parametrize("text", ["", "something new", "wasm trap: a new kind of trap"])
def test_an_unknown_message_is_missing_evidence(text: str) -> None:
    assert verdict_of(wasmtime.WasmtimeError(text)) == MISSING_EVIDENCE
    assert verdict_of(wasmtime.Trap(text)) == MISSING_EVIDENCE
