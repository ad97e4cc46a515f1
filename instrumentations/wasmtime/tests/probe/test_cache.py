"""The probe leaves no files in the program's module cache, and its modules are in none of the cache's metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from harness import Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

CONFIGURED: dict[str, dict[str, Any]] = {
    "cache only": {},
    "stack": {"max_wasm_stack": 300_000},
    "debug information": {"debug_info": True, "cranelift_opt_level": "none"},
    "features": {"wasm_threads": True, "wasm_memory64": True, "memory_guard_size": 65536},
}


@pytest.fixture
def run(tmp_path: Path, text: Callable[..., str]) -> Callable[..., Any]:
    """Return a function that runs a guest that uses WASI, on an engine with a cache."""
    path = tmp_path / "cache.toml"
    path.write_text(f"[cache]\ndirectory = '{tmp_path / 'cache'}'\n")

    def run(**configured: Any) -> Any:
        config = wasmtime.Config()
        config.cache = str(path)
        for name, value in configured.items():
            setattr(config, name, value)
        engine = wasmtime.Engine(config)
        store, linker = wasmtime.Store(engine), wasmtime.Linker(engine)
        store.set_wasi(wasmtime.WasiConfig())
        linker.define_wasi()
        exports: Any = linker.instantiate(store, wasmtime.Module(engine, text(["fd_close"]))).exports(store)
        return exports["fd_close"](store, 77)

    return run


def files(folder: Path) -> list[str]:
    """Return the modules in the cache."""
    return sorted(
        path.name for path in (folder / "cache").rglob("*") if path.is_file() and "." not in path.name
    )


@pytest.mark.parametrize("what", CONFIGURED)
def test_the_cache_holds_the_programs_modules_only(
    what: str, telemetry: Telemetry, instrument: Any, run: Callable[..., Any], tmp_path: Path
) -> None:
    plain = run(**CONFIGURED[what])
    program = files(tmp_path)
    assert len(program) == 1
    instrument(probe=True)
    assert run(**CONFIGURED[what]) == plain
    WasmtimeInstrumentor().uninstrument()
    assert files(tmp_path) == program
    # First, because an older SDK forgets a gauge's value once it is read.
    assert telemetry.points("wasm.module.cache.size") == [({}, 1)]
    assert telemetry.points("wasm.file.errors")[0][1] == 1  # the probe was there
    assert telemetry.points("sandscope.errors") == []
