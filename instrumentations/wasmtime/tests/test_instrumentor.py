"""Patching waits for the import, is undone completely, and requires a version that was tested."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime import component

from harness import Contract, Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor, _verdicts
from sandscope_instrumentation_wasmtime._evidence import _traps
from sandscope_instrumentation_wasmtime._evidence._shared_stack import SHARED_STACK
from sandscope_instrumentation_wasmtime._probe import _denied_paths

HERE = Path(__file__).parent

OWNERS = (
    wasmtime.Func,
    wasmtime.Module,
    wasmtime.Instance,
    wasmtime.Linker,
    wasmtime.Caller,
    wasmtime.Store,
    wasmtime.Trap,
    wasmtime.WasmtimeError,
    wasmtime._managed.Managed,
    wasmtime.WasiConfig,
    wasmtime._instance.InstanceExports,
    component.Func,
    component.Component,
    component.Instance,
    component.Linker,
    component.LinkerInstance,
    *([wasmtime.InstancePre] if hasattr(wasmtime, "InstancePre") else []),
)

PROGRAM = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

order = sys.argv[1]
exporter = InMemorySpanExporter()
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(exporter))
if order != "before":
    import wasmtime
WasmtimeInstrumentor().instrument(tracer_provider=provider)
assert ("wasmtime" in sys.modules) is (order != "before"), "the instrumentor imports nothing"
assert "wasmtime.component" not in sys.modules
if order == "undone":
    WasmtimeInstrumentor().uninstrument()
import wasmtime
assert "wasmtime.component" not in sys.modules
store = wasmtime.Store()
text = '(module (func (export "f")))'
wasmtime.Instance(store, wasmtime.Module(store.engine, text), []).exports(store)["f"](store)
from wasmtime import component
text = '''(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
  (func (export "g") (canon lift (core func $i "f"))))'''
built = component.Component(store.engine, text)
component.Linker(store.engine).instantiate(store, built).get_func(store, "g")(store)
print([span.name for span in exporter.get_finished_spans()])
"""


@pytest.mark.parametrize(
    ("order", "spans"),
    [("before", "['wasm f', 'wasm g']"), ("after", "['wasm f', 'wasm g']"), ("undone", "[]")],
)
def test_instrument_and_import_come_in_any_order(order: str, spans: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, order], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.strip() == spans


def test_uninstrument_restores_every_attribute(instrument: Any) -> None:
    def state() -> list[dict[str, Any]]:
        return [dict(vars(owner)) for owner in OWNERS]

    before = state()
    instrument(host_spans=True)
    unchanged = [owner for owner, old in zip(OWNERS, before, strict=True) if dict(vars(owner)) == old]
    WasmtimeInstrumentor().uninstrument()
    assert unchanged == []
    assert state() == before


def test_instrumenting_again_records_once(telemetry: Telemetry, instrument: Any, load: Any) -> None:
    store, exports = load('(module (func (export "f")))')
    for _ in range(2):
        instrument()
        exports["f"](store)
        WasmtimeInstrumentor().uninstrument()
    exports["f"](store)
    assert len(telemetry.spans()) == 2


def test_the_supported_range_is_that_of_the_extra_and_holds_the_installed_version() -> None:
    extra = re.search(r"^instruments = \[(.+)\]$", (HERE.parent / "pyproject.toml").read_text(), re.M)
    assert extra is not None
    assert extra.group(1) == ", ".join(f'"{one}"' for one in WasmtimeInstrumentor.supported)
    assert WasmtimeInstrumentor().instrumentation_dependencies() == ("wasmtime >= 40, < 51",)
    assert 40 <= int(version("wasmtime").split(".")[0]) < 51


def test_every_cause_is_declared_with_its_status_and_actor() -> None:
    declared = Contract(HERE.parent / "telemetry.yaml").causes
    verdicts = [*_traps.BY_CODE.values(), *_verdicts.OUT_OF_BOUNDS_FAILURES.values()]
    verdicts += [verdict for _, verdict in _verdicts.MESSAGES]
    verdicts += [_verdicts.EXIT_CODE, _verdicts.HOST_ERROR, _verdicts.UNKNOWN_IMPORT, SHARED_STACK]
    assert {verdict.cause: (verdict.status, verdict.actor) for verdict in verdicts} == {
        name: (cause["status"], cause["actor"])
        for name, cause in declared.items()
        if name
        not in {"normal_exit", "ie_host_killed", "ie_interrupted", "ie_missing_evidence", _denied_paths.CAUSE}
    }
