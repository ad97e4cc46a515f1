"""Real guests, and the instrumentation with an SDK in memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from harness import Contract, Telemetry, lacking
from sandscope import SandscopeError
from sandscope._stores._go import ENVIRONMENT, find_go
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

HERE = Path(__file__).parent
GUESTS = HERE / "guests"

Load = Callable[..., tuple[wasmtime.Store, Any]]


@pytest.fixture
def instrumented(telemetry: Telemetry) -> Iterator[Telemetry]:
    """Instrument wasmtime; all that a test emits must be declared."""
    instrumentor = WasmtimeInstrumentor()
    instrumentor.instrument(**telemetry.providers)
    yield telemetry
    instrumentor.uninstrument()
    assert Contract(HERE.parent / "telemetry.yaml").violations(telemetry) == []
    assert telemetry.points("sandscope.errors") == []


@pytest.fixture
def load() -> Load:
    """Return what instantiates a core module: ``load(wat, *imports)`` gives (store, exports)."""

    def load(
        wat: str,
        *host: Callable[..., Any],
        config: wasmtime.Config | None = None,
        fuel: int | None = None,
    ) -> tuple[wasmtime.Store, Any]:
        store = wasmtime.Store(wasmtime.Engine(config or wasmtime.Config()))
        if fuel is not None:
            store.set_fuel(fuel)
        module = wasmtime.Module(store.engine, wat)
        types = [imported.type for imported in module.imports]
        imports = [wasmtime.Func(store, type_, func) for type_, func in zip(types, host, strict=True)]
        return store, wasmtime.Instance(store, module, imports).exports(store)

    return load


@pytest.fixture(scope="session")
def engine() -> wasmtime.Engine:
    """Return the engine of the guest that all tests share: compiling it takes a while."""
    return wasmtime.Engine()


@pytest.fixture(scope="session")
def environ_guest(engine: wasmtime.Engine, tmp_path_factory: pytest.TempPathFactory) -> wasmtime.Module:
    """Compile the Go program that prints its environment, to WASI and then to a module."""
    try:
        go = find_go(GUESTS)
    except SandscopeError as error:
        lacking(str(error))
    binary = tmp_path_factory.mktemp("guests") / "environ.wasm"
    environment = os.environ | ENVIRONMENT | {"GOOS": "wasip1", "GOARCH": "wasm"}
    subprocess.run([go, "build", "-o", binary, "environ.go"], cwd=GUESTS, env=environment, check=True)
    return wasmtime.Module.from_file(engine, binary)
