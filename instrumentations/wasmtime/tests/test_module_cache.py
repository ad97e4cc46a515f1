"""Hits and misses of the engine's module cache are inferred from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime import component

from harness import Telemetry
from sandscope_instrumentation_wasmtime._measures._module_cache import _folder

MODULE = '(module (func (export "f") (result i32) i32.const {number}))'
COMPONENT = "(component (core module $m) (core instance $i (instantiate $m)))"


def counted(telemetry: Telemetry) -> dict[str, float]:
    """Return hits, misses and size, if they exist, from one collection: older SDKs report a gauge once."""
    found, metrics = {}, telemetry.metrics()
    for name in ("hits", "misses", "size"):
        metric = metrics.get(f"wasm.module.cache.{name}")
        for point in metric.data.data_points if metric is not None else ():
            assert not point.attributes
            found[name] = getattr(point, "value", None)
    return found


@pytest.fixture
def configured(tmp_path: Path) -> Any:
    """Return a function that makes an engine with its own cache."""
    path = tmp_path / "cache.toml"
    path.write_text(f"[cache]\n# where it is\ndirectory = '{tmp_path / 'modules of mine'}'\n")

    def engine() -> wasmtime.Engine:
        config = wasmtime.Config()
        config.cache = str(path)
        return wasmtime.Engine(config)

    return engine


def test_what_is_new_to_the_cache_is_a_miss_and_then_a_hit(instrumented: Telemetry, configured: Any) -> None:
    wasmtime.Module(configured(), MODULE.format(number=1))
    assert counted(instrumented) == {"misses": 1, "size": 1}
    wasmtime.Module(configured(), MODULE.format(number=1))
    assert counted(instrumented) == {"misses": 1, "hits": 1, "size": 1}
    engine = configured()
    for number in (2, 2, 3):
        wasmtime.Module(engine=engine, wasm=MODULE.format(number=number))
    assert counted(instrumented) == {"misses": 3, "hits": 2, "size": 3}


def test_components_are_cached_too(instrumented: Telemetry, configured: Any) -> None:
    for _ in range(2):
        component.Component(configured(), COMPONENT)
    assert counted(instrumented) == {"misses": 1, "hits": 1, "size": 1}


def test_an_engine_without_a_cache_counts_nothing(instrumented: Telemetry, configured: Any) -> None:
    configured()
    wasmtime.Module(wasmtime.Engine(), MODULE.format(number=1))
    wasmtime.Module(wasmtime.Engine(wasmtime.Config()), MODULE.format(number=1))
    assert counted(instrumented) == {}


def test_what_does_not_compile_is_not_counted(instrumented: Telemetry, configured: Any) -> None:
    for wrong in ("(module", b"\0asm\1\0\0\0\xff"):
        with pytest.raises(wasmtime.WasmtimeError):
            wasmtime.Module(configured(), wrong)
    assert counted(instrumented) == {}


def test_a_cache_that_is_elsewhere_counts_nothing(
    instrumented: Telemetry, configured: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "sandscope_instrumentation_wasmtime._measures._module_cache._folder", lambda _: tmp_path / "nowhere"
    )
    wasmtime.Module(configured(), MODULE.format(number=1))
    assert counted(instrumented) == {}


@pytest.mark.parametrize(
    ("value", "error"), [(False, wasmtime.WasmtimeError), (5, TypeError), ("", Exception)]
)
def test_a_wrong_configuration_fails_as_in_plain_wasmtime(
    value: Any, error: type[Exception], instrumented: Telemetry
) -> None:
    with pytest.raises(error):
        wasmtime.Config().cache = value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[cache]\ndirectory = '/a b'\n", "/a b"),
        ('[cache]\n  directory="/c" # mine\n', "/c"),
        ('# directory = "/d"\n[cache]\n', "home/.cache/wasmtime"),
        ("", "home/.cache/wasmtime"),
    ],
)
def test_the_folder_is_read_from_the_file_that_wasmtime_reads(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("home"))
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "cache.toml").write_text(text)
    assert _folder(str(tmp_path / "cache.toml")) == Path(expected)


def test_the_default_folder_is_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert _folder(True) == Path("/cache/wasmtime")
    (tmp_path / "wasmtime").mkdir()
    (tmp_path / "wasmtime" / "config.toml").write_text("[cache]\ndirectory = '/mine'\n")
    assert _folder(True) == Path("/mine")
