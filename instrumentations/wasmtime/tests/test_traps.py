"""Every trap of the engine has a verdict, with or without its code."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime
from wasmtime import _ffi as ffi

from harness import Telemetry
from sandscope.instrumentation import MISSING_EVIDENCE
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor
from sandscope_instrumentation_wasmtime._evidence import _traps
from sandscope_instrumentation_wasmtime._verdicts import verdict_of

BOUNDS = {
    "memory": '(memory 1) (func (export "f") (drop (i32.load (i32.const 100000))))',
    "table": '(table 1 funcref) (func (export "f") (call_indirect (i32.const 5)))',
}


def engines_trap(code: int) -> wasmtime.Trap:
    """Return a trap as the engine makes it."""
    return wasmtime.Trap._from_ptr(ffi.wasmtime_trap_new_code(code))


def words_of(trap: wasmtime.Trap) -> str:
    """Return the engine's message for a trap, without the backtrace of the host that some versions add."""
    return trap.message.partition("\n\n")[0]


@pytest.mark.parametrize("code", wasmtime.TrapCode, ids=lambda code: code.name)
def test_a_trap_has_the_same_verdict_by_code_and_by_message(code: wasmtime.TrapCode) -> None:
    trap = engines_trap(code.value)
    assert trap.trap_code is code
    verdict = verdict_of(trap)
    assert verdict is not MISSING_EVIDENCE
    assert verdict_of(wasmtime.WasmtimeError(words_of(trap))) == verdict
    wrapped = (
        f"error while executing at wasm backtrace:\n    0: 0x2e - <f>\n\nCaused by:\n    {words_of(trap)}\n"
    )
    assert verdict_of(wasmtime.WasmtimeError(wrapped)) == verdict


@pytest.mark.skipif(len(wasmtime.TrapCode) < len(_traps.BY_CODE), reason="this version knows fewer traps")
def test_the_table_has_the_traps_of_the_newest_supported_version_and_no_other() -> None:
    assert set(_traps.BY_CODE) == set(wasmtime.TrapCode.__members__)


def test_a_trap_that_the_enumeration_lacks_has_a_verdict_by_its_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Newer:
        def __call__(self, value: int) -> object:
            raise ValueError(f"{value} is not a valid TrapCode")

    trap = engines_trap(wasmtime.TrapCode.UNREACHABLE.value)
    monkeypatch.setattr(wasmtime._trap, "TrapCode", Newer())
    assert verdict_of(trap).cause == "re_unreachable"


def test_a_code_that_the_table_lacks_is_missing_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(_traps.BY_CODE, "UNREACHABLE")
    assert verdict_of(engines_trap(wasmtime.TrapCode.UNREACHABLE.value)) == MISSING_EVIDENCE


@pytest.mark.parametrize("where", BOUNDS)
@pytest.mark.parametrize("settings", [{"bounds": "failure"}], ids=str)
def test_an_access_out_of_bounds_is_a_failure_if_configured(
    where: str, settings: dict[str, Any], instrumented: Telemetry, load: Any
) -> None:
    store, exports = load(f"(module {BOUNDS[where]})")
    with pytest.raises(wasmtime.Trap):
        exports["f"](store)
    attributes = instrumented.spans()[0].attributes or {}
    assert attributes["sandbox.verdict.status"] == "RE"
    assert attributes["sandbox.verdict.actor"] == "guest"
    assert attributes["sandbox.verdict.cause"] == f"re_{where}_bounds"
    assert instrumented.points("sandbox.security.violations") == []


@pytest.mark.parametrize("where", BOUNDS)
def test_an_access_out_of_bounds_is_a_violation_by_default(
    where: str, instrumented: Telemetry, load: Any
) -> None:
    store, exports = load(f"(module {BOUNDS[where]})")
    with pytest.raises(wasmtime.Trap):
        exports["f"](store)
    ((attributes, count),) = instrumented.points("sandbox.security.violations")
    assert (attributes["sandbox.verdict.cause"], count) == (f"sv_{where}_bounds", 1.0)


def test_bounds_are_those_of_the_current_instrumentation(instrument: Any) -> None:
    trap = engines_trap(wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS.value)
    for bounds, status in (("failure", "RE"), ("violation", "SV")):
        instrument(bounds=bounds)
        assert verdict_of(trap).status == status
        WasmtimeInstrumentor().uninstrument()
        assert verdict_of(trap).status == "SV"


@pytest.mark.skipif(
    not hasattr(wasmtime.Linker, "define_unknown_imports_as_traps"), reason="this version cannot"
)
@pytest.mark.parametrize("name", ["secret", "x\\0a\\0aCaused by:\\0a    wasm trap: interrupt"])
def test_a_call_of_an_unknown_import_is_a_violation(name: str, instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    linker = wasmtime.Linker(store.engine)
    text = f'(module (import "env" "{name}" (func $f)) (func (export "f") (call $f)))'
    module = wasmtime.Module(store.engine, text)
    linker.define_unknown_imports_as_traps(module)
    with pytest.raises(wasmtime.WasmtimeError, match="unknown import"):
        linker.instantiate(store, module).exports(store)["f"](store)  # type: ignore[operator]
    assert (instrumented.spans()[0].attributes or {})["sandbox.verdict.cause"] == "sv_unknown_import"
