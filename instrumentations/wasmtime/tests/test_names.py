"""A call is named after the exported function and the guest, however the program obtains the function."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime import component

from harness import Telemetry
from sandscope_instrumentation_wasmtime._names._compiled_name import compiled_name
from sandscope_instrumentation_wasmtime._names._source import read_source

NAMED = '(module $named (func (export "f")))'
UNNAMED = '(module (func (export "f")))'
COMMAND = '(module {name} (func (export "_start")))'
COMPONENT = """(component {name} (core module $m (func (export "f"))) (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (export "f" (func $f))
  (instance $api (export "g" (func $f)))
  (export "my:pkg/api" (instance $api)))"""


def names(telemetry: Telemetry) -> tuple[object, ...]:
    """Return span name, module and function of the last call."""
    span = telemetry.spans()[-1]
    attributes = span.attributes or {}
    return span.name, attributes.get("wasm.module"), attributes.get("wasm.function")


@pytest.mark.parametrize("form", [str, lambda wat: bytes(wasmtime.wat2wasm(wat)), wasmtime.wat2wasm])
def test_the_name_section_names_the_module(form: Any, instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    source = form(NAMED)
    module = wasmtime.Module(store.engine, source)
    wasmtime.Instance(store, module, []).exports(store)["f"](store)
    assert names(instrumented) == ("wasm f", "named", "f")


def test_the_file_names_a_module_without_a_name(instrumented: Telemetry, tmp_path: Path) -> None:
    store = wasmtime.Store()
    (tmp_path / "from_file.wat").write_text(UNNAMED)
    (tmp_path / "named.wat").write_text(NAMED)
    serialized = tmp_path / "compiled.cwasm"
    serialized.write_bytes(wasmtime.Module(store.engine, UNNAMED).serialize())
    for module, name in (
        (wasmtime.Module.from_file(store.engine, tmp_path / "from_file.wat"), "from_file"),
        (wasmtime.Module.from_file(engine=store.engine, path=str(tmp_path / "named.wat")), "named"),
        (wasmtime.Module.deserialize_file(store.engine, str(serialized)), "compiled"),
        (wasmtime.Module.deserialize(store.engine, serialized.read_bytes()), None),
        (wasmtime.Module(store.engine, UNNAMED), None),
    ):
        wasmtime.Instance(store, module, []).exports(store)["f"](store)
        assert names(instrumented) == ("wasm f", name, "f")


CACHED = {
    "(module $plugin {f})": "plugin",
    '(module $plugin (import "env" "alpha" (global i32)) (memory (export "memory") 1) {f})': "plugin",
    '(module (import "env" "alpha" (global i32)) {f})': None,
    "(module {f})": None,
    '(module $"' + "x" * 200 + '" {f})': "x" * 128,
}


@pytest.mark.parametrize("text", CACHED, ids=range(len(CACHED)))
@pytest.mark.parametrize("way", ["bytes", "file"])
def test_a_cached_module_has_its_own_name_and_not_a_hash(
    text: str, way: str, instrumented: Telemetry, tmp_path: Path
) -> None:
    store, file = (
        wasmtime.Store(),
        tmp_path / "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15.cwasm",
    )
    function = '(func (export "f")) (func (export "another"))'
    image = wasmtime.Module(store.engine, text.replace("{f}", function)).serialize()
    file.write_bytes(image)
    if way == "bytes":
        module = wasmtime.Module.deserialize(store.engine, image)
    else:
        module = wasmtime.Module.deserialize_file(store.engine, str(file))
    number = wasmtime.Global(store, wasmtime.GlobalType(wasmtime.ValType.i32(), False), wasmtime.Val.i32(1))
    exports: Any = wasmtime.Instance(store, module, [number for _ in module.imports]).exports(store)
    exports["f"](store)
    assert names(instrumented) == ("wasm f", CACHED[text] or (file.stem if way == "file" else None), "f")


@pytest.mark.parametrize("cut", [0, 5, 64, 200])
def test_an_image_of_an_unknown_layout_has_no_name(cut: int) -> None:
    image = wasmtime.Module(wasmtime.Engine(), NAMED).serialize()
    assert compiled_name(BytesIO(image)) == "named"
    assert compiled_name(BytesIO(image[:cut])) is None
    assert compiled_name(BytesIO(image[:16] + b"\xff" * (len(image) - 16))) is None


def test_linkers_propagate_names(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    linker = wasmtime.Linker(store.engine)
    module = wasmtime.Module(store.engine, NAMED)
    instance = linker.instantiate(store, module=module)
    instance.exports(store).by_index[0](store)  # type: ignore[operator]
    assert names(instrumented) == ("wasm f", "named", "f")
    linker.define_instance(store, "space", instance)
    linker.get(store, "space", "f")(store)  # type: ignore[operator]
    assert names(instrumented) == ("wasm f", "named", "f")
    linker.define_module(store, "command", wasmtime.Module(store.engine, COMMAND.format(name="$real")))
    linker.get_default(store, "command")(store)
    assert names(instrumented) == ("wasm _start", "real", "_start")


def test_a_linker_names_what_has_no_name_of_its_own(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    linker = wasmtime.Linker(store.engine)
    command = wasmtime.Module(store.engine, COMMAND.format(name=""))
    linker.define_module(store, name="command", module=command)
    linker.get_default(store, "command")(store)
    assert names(instrumented) == ("wasm _start", "command", "_start")
    linker.define_instance(store, "space", wasmtime.Instance(store, command, []))
    linker.get(store, "space", "_start")(store)  # type: ignore[operator]
    assert names(instrumented) == ("wasm _start", "space", "_start")
    host = wasmtime.Func(store, wasmtime.FuncType([], []), lambda: None)
    linker.define(store, "host", "log", host)
    linker.get(store, "host", "log")(store)  # type: ignore[operator]
    assert names(instrumented) == ("wasm log", "host", "log")


def test_a_default_export_without_a_name_has_none(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    linker = wasmtime.Linker(store.engine)
    text = '(module $m (func (export "")) (func (export "_start") unreachable))'
    linker.define_instance(store, "space", wasmtime.Instance(store, wasmtime.Module(store.engine, text), []))
    linker.get_default(store, "space")(store)
    assert names(instrumented) == ("wasm call", "m", None)


@pytest.mark.skipif(not hasattr(wasmtime, "InstancePre"), reason="this version has no InstancePre")
def test_a_prepared_instance_keeps_its_name(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    prepared = wasmtime.Linker(store.engine).instantiate_pre(wasmtime.Module(store.engine, NAMED))
    prepared.instantiate(store).exports(store)["f"](store)  # type: ignore[operator]
    assert names(instrumented) == ("wasm f", "named", "f")


def test_a_callers_export_is_named(instrumented: Telemetry) -> None:
    store = wasmtime.Store()

    def host(caller: wasmtime.Caller) -> None:
        caller["callback"](caller)  # type: ignore[operator]
        assert caller.get("missing") is None

    module = wasmtime.Module(
        store.engine,
        '(module (import "h" "f" (func $f)) (func (export "run") (call $f)) (func (export "callback")))',
    )
    func = wasmtime.Func(store, wasmtime.FuncType([], []), host, access_caller=True)
    wasmtime.Instance(store, module, [func]).exports(store)["run"](store)  # type: ignore[operator]
    assert [span.name for span in instrumented.spans()] == ["wasm callback", "wasm run"]


def test_components_are_named_too(instrumented: Telemetry, tmp_path: Path) -> None:
    store = wasmtime.Store()
    text = tmp_path / "file.wat"
    text.write_text(COMPONENT.format(name=""))
    linker = component.Linker(store.engine)
    named = component.Component(store.engine, COMPONENT.format(name="$named"))
    instance = linker.instantiate(store, named)
    instance.get_func(store, "f")(store)  # type: ignore[misc]
    assert names(instrumented) == ("wasm f", "named", "f")
    nested = instance.get_export_index(store, "g", instance.get_export_index(store, "my:pkg/api"))
    assert nested is not None
    other = linker.instantiate(store=store, component=named)
    other.get_func(store, nested)(store)  # type: ignore[misc]
    assert names(instrumented) == ("wasm my:pkg/api#g", "named", "my:pkg/api#g")
    loaded = component.Component.from_file(store.engine, text)
    index = loaded.get_export_index("g", loaded.get_export_index("my:pkg/api"))
    assert index is not None
    linker.instantiate(store, loaded).get_func(store, index)(store)  # type: ignore[misc]
    assert names(instrumented) == ("wasm my:pkg/api#g", "file", "my:pkg/api#g")
    assert instance.get_func(store, "missing") is None


def test_what_is_older_than_the_instrumentation_is_recorded_without_a_name(
    telemetry: Telemetry, instrument: Any
) -> None:
    store = wasmtime.Store()
    function = wasmtime.Instance(store, wasmtime.Module(store.engine, NAMED), []).exports(store)["f"]
    instrument()
    function(store)  # type: ignore[operator]
    assert names(telemetry) == ("wasm call", None, None)


def test_long_names_are_truncated(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, f'(module ${"m" * 5000} (func (export "{"f" * 5000}")))')
    wasmtime.Instance(store, module, []).exports(store)["f" * 5000](store)  # type: ignore[operator]
    assert names(instrumented) == ("wasm " + "f" * 128, "m" * 128, "f" * 128)


def test_a_module_makes_each_site_once(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, NAMED)
    first, second = (wasmtime.Instance(store, module, []).exports(store)["f"] for _ in range(2))
    assert vars(first)["_sandscope"] is vars(second)["_sandscope"]


def _section(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes([0, len(body)]) + body


HEADER = b"\0asm\x01\0\0\0"


@pytest.mark.parametrize(
    "source",
    [
        "",
        "(module)",
        '(module (func (export "f")))',
        b"",
        b"\xff\xfe",
        HEADER,
        HEADER + _section(b"\x04name"),
        HEADER + _section(b"\x04name", b"\x01\x01\0"),
        HEADER + _section(b"\x04name", b"\0\x01\0"),
        HEADER + _section(b"\x04name", b"\0\x05\x80\x80\x80\x80\x80\x80\x80"),
        HEADER + b"\0\xff\xff\xff\xff\xff\xff\xff",
        HEADER + b"\0\x80",
        HEADER + _section(b"\xff\xff\xff\xff\x0fname"),
    ],
    ids=repr,
)
def test_a_source_without_a_readable_name_has_none(source: str | bytes) -> None:
    assert read_source(source).name is None


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (";; a comment\n (module $a (func))", "a"),
        (b"(module\n $b)", "b"),
        ("(component $c)", "c"),
        (HEADER + _section(b"\x05other") + _section(b"\x04name", b"\0\x02\x01d"), "d"),
        (HEADER + _section(b"\x04name", b"\0\x03\x02\xffe"), "\ufffde"),
        (wasmtime.wat2wasm("(component $f (core module $inner))"), "f"),
    ],
)
def test_a_readable_name_is_read(source: str | bytes, name: str) -> None:
    assert read_source(source).name == name


STARTS = b"\x08\x01\x00"


@pytest.mark.parametrize(
    ("source", "starts"),
    [
        ("(module (func $f) (start $f))", True),
        (b";; (start $f)\n(module)", False),
        (HEADER + STARTS, True),
        (HEADER + _section(b"\x04name", b"\0\x05\x80\x80\x80\x80\x80\x80\x80") + STARTS, True),
        (HEADER + _section(b"\x04name", b"\0\x02\x01d"), False),
        (HEADER + b"\0\x81\x01" + bytes(129) + STARTS, True),
        ("(component (core module (func $f) (start $f)))", True),
        (wasmtime.wat2wasm("(component (component (core module $m)))"), False),
    ],
)
def test_a_start_function_is_seen(source: str | bytes, starts: bool) -> None:
    assert read_source(source).starts is starts
