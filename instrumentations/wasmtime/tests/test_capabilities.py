"""A guest requests capabilities by its imports; its store's WASI configuration grants them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime import component

from harness import Contract, Telemetry
from sandscope_instrumentation_wasmtime._evidence import _capabilities
from sandscope_instrumentation_wasmtime._evidence._capabilities import capability_of

HERE = Path(__file__).parent
PREVIEW_1 = "wasi_snapshot_preview1"
TYPES = {
    "path_open": "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)",
    "fd_write": "(param i32 i32 i32 i32) (result i32)",
    "environ_get": "(param i32 i32) (result i32)",
    "args_get": "(param i32 i32) (result i32)",
    "clock_time_get": "(param i32 i64 i32) (result i32)",
    "random_get": "(param i32 i32) (result i32)",
    "proc_exit": "(param i32)",
    "sock_send": "(param i32 i32 i32 i32 i32) (result i32)",
}
IMPORTS = [f'(import "{PREVIEW_1}" "{name}" (func {kind}))' for name, kind in TYPES.items()]
GUEST = f"(module {' '.join(IMPORTS)})"
ALWAYS = {"clock", "random", "process"}
CONFIGURED = {"filesystem", "stdio", "environment", "arguments", "network"}


def requests(telemetry: Telemetry) -> dict[tuple[str, bool], float]:
    """Return the counts by capability and whether it was granted."""
    points = telemetry.points("sandbox.capability.requests")
    assert {attributes["sandbox.runtime"] for attributes, _ in points} <= {"wasmtime"}
    return {
        (attributes["sandbox.capability"], attributes["sandbox.capability.granted"]): value
        for attributes, value in points
    }


def granted(telemetry: Telemetry) -> set[str]:
    """Return the granted capabilities; each was requested once."""
    found = requests(telemetry)
    assert set(found.values()) == {1}
    assert {capability for capability, _ in found} == ALWAYS | CONFIGURED
    return {capability for capability, given in found if given}


def run(configure: Callable[[wasmtime.WasiConfig], None] | None) -> None:
    """Instantiate the guest that requests everything."""
    store = wasmtime.Store()
    if configure is not None:
        config = wasmtime.WasiConfig()
        configure(config)
        store.set_wasi(config)
    linker = wasmtime.Linker(store.engine)
    linker.define_wasi()
    linker.instantiate(store, wasmtime.Module(store.engine, GUEST))


def test_without_a_configuration_nothing_configurable_is_granted(instrumented: Telemetry) -> None:
    run(None)
    assert granted(instrumented) == ALWAYS


GRANTS: dict[str, tuple[Callable[[wasmtime.WasiConfig], None], set[str]]] = {
    "nothing": (lambda config: None, set()),
    "a folder": (lambda config: config.preopen_dir(".", "/data"), {"filesystem"}),
    "arguments": (lambda config: setattr(config, "argv", ["a"]), {"arguments"}),
    "own arguments": (lambda config: config.inherit_argv(), {"arguments"}),
    "variables": (lambda config: setattr(config, "env", [("A", "1")]), {"environment"}),
    "own variables": (lambda config: config.inherit_env(), {"environment"}),
    "stdin": (lambda config: config.inherit_stdin(), {"stdio"}),
    "stdout": (lambda config: config.inherit_stdout(), {"stdio"}),
    "stderr": (lambda config: config.inherit_stderr(), {"stdio"}),
    "a function": (lambda config: setattr(config, "stdout_custom", lambda data: None), {"stdio"}),
    "a file": (lambda config: setattr(config, "stdin_file", __file__), {"stdio"}),
}


@pytest.mark.parametrize("name", GRANTS)
def test_a_configuration_grants(name: str, instrumented: Telemetry) -> None:
    configure, capabilities = GRANTS[name]
    run(configure)
    assert granted(instrumented) == ALWAYS | capabilities


def test_what_could_not_be_configured_is_not_granted(instrumented: Telemetry) -> None:
    def configure(config: wasmtime.WasiConfig) -> None:
        with pytest.raises(wasmtime.WasmtimeError):
            config.stdin_file = "/nowhere/at/all"

    run(configure)
    assert granted(instrumented) == ALWAYS


def test_propagating_the_context_grants_nothing(instrumented: Telemetry) -> None:
    with instrumented.tracer_provider.get_tracer("user").start_as_current_span("user"):
        run(lambda config: None)
    assert granted(instrumented) == ALWAYS


def test_each_instance_is_a_request_and_all_host_functions_are_one_capability(
    instrumented: Telemetry,
) -> None:
    store = wasmtime.Store()
    linker = wasmtime.Linker(store.engine)
    for name in ("f", "g"):
        linker.define_func("env", name, wasmtime.FuncType([], []), lambda: None)
    module = wasmtime.Module(store.engine, '(module (import "env" "f" (func)) (import "env" "g" (func)))')
    for _ in range(3):
        linker.instantiate(store, module)
    assert requests(instrumented) == {("host", True): 3}


def test_a_guest_that_imports_nothing_requests_nothing(instrumented: Telemetry, load: Any) -> None:
    load('(module (func (export "f")))')
    assert requests(instrumented) == {}


def test_a_prepared_instance_requests_what_its_module_requests(instrumented: Telemetry) -> None:
    if not hasattr(wasmtime, "InstancePre"):
        pytest.skip("this version of wasmtime has no InstancePre")
    store = wasmtime.Store()
    linker: Any = wasmtime.Linker(store.engine)
    linker.define_wasi()
    prepared = linker.instantiate_pre(wasmtime.Module(store.engine, GUEST))
    assert requests(instrumented) == {}
    prepared.instantiate(store)
    assert granted(instrumented) == ALWAYS


def test_a_guest_that_cannot_be_linked_is_granted_nothing(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    with pytest.raises(wasmtime.WasmtimeError, match="unknown import"):
        wasmtime.Linker(store.engine).instantiate(store, wasmtime.Module(store.engine, GUEST))
    assert granted(instrumented) == set()


def test_components_request_capabilities_by_interface(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    text = """(component
      (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u64)))))
      (import "wasi:cli/environment@0.2.0" (instance (export "get-arguments" (func (result (list string))))))
      (import "host-f" (func)))"""
    linker = component.Linker(store.engine)
    linker.add_wasip2()
    with linker.root() as root:
        root.add_func("host-f", lambda store: None)
    config = wasmtime.WasiConfig()
    config.inherit_env()
    store.set_wasi(config)
    linker.instantiate(store, component.Component(store.engine, text))
    assert requests(instrumented) == {("random", True): 1, ("environment", True): 1, ("host", True): 1}


@pytest.mark.parametrize(
    ("module", "name", "capability"),
    [
        (PREVIEW_1, "fd_read", "stdio"),
        (PREVIEW_1, "fd_readdir", "filesystem"),
        (PREVIEW_1, "fd_prestat_get", "filesystem"),
        ("wasi_unstable", "poll_oneoff", "clock"),
        (PREVIEW_1, "something_new", "process"),
        ("", "wasi:http/outgoing-handler@0.2.0", "network"),
        ("", "wasi:sockets/tcp@0.2.0", "network"),
        ("", "wasi:cli/stdout@0.2.0", "stdio"),
        ("", "wasi:cli/exit@0.2.0", "process"),
        ("", "wasi:io/streams@0.2.0", None),
        ("", "wasi:filesystemish", "host"),
        ("wasi:filesystem/types@0.2.0", "[method]descriptor.read", "filesystem"),
        ("wasi_snapshot_preview1x", "path_open", "host"),
        ("", "", "host"),
    ],
)
def test_capabilities_by_import(module: str, name: str, capability: str | None) -> None:
    assert capability_of(module, name) == capability


def test_all_capabilities_are_declared() -> None:
    declared = Contract(HERE.parent / "telemetry.yaml").attributes["sandbox.capability"]["type"]["members"]
    assert {member["value"] for member in declared} == {name for name, _ in _capabilities._REQUESTS}
