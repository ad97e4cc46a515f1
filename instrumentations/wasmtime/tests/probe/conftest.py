"""Guests that call any WASI function with the arguments that a test chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from sandscope_instrumentation_wasmtime._probe._wasi_functions import FUNCTIONS, WASI

Configure = Callable[[wasmtime.WasiConfig], None]


class Guest:
    """An instance, and short ways to call it."""

    def __init__(self, store: wasmtime.Store, instance: wasmtime.Instance) -> None:
        self.store = store
        self.exports: Any = instance.exports(store)

    def __call__(self, name: str, *args: int) -> Any:
        """Call an export."""
        return self.exports[name](self.store, *args)

    def put(self, address: int, *content: int | bytes) -> None:
        """Write bytes, and numbers of four bytes each, into its memory."""
        data = b"".join(each if isinstance(each, bytes) else each.to_bytes(4, "little") for each in content)
        self.exports["memory"].write(self.store, data, address)

    def get(self, address: int) -> int:
        """Read a number of four bytes from its memory."""
        return int.from_bytes(self.memory(address, 4), "little")

    def memory(self, address: int, size: int) -> bytes:
        """Read its memory."""
        return bytes(self.exports["memory"].read(self.store, address, address + size))

    def write(self, descriptor: int, content: bytes) -> int:
        """Let it write something, from address 1024 on."""
        self.put(1024, content)
        self.put(0, 1024, len(content))
        return int(self("fd_write", descriptor, 0, 1, 8))

    def open(self, path: bytes, flags: int = 0, rights: int = 2) -> int:
        """Let it open a path of its first directory; the descriptor is at address 8 then."""
        self.put(512, path)
        return int(self("path_open", 3, 1, 512, len(path), flags, rights, 0, 0, 8))


def text_of(names: list[str], more: str = "", memory: str = '(memory (export "memory") 2)') -> str:
    """Return a module that exports a function for each WASI function that it imports."""
    imports, functions = [], []
    for name in names:
        parameters = FUNCTIONS[name].parameters
        kind = f"(param {' '.join(parameters)}) (result i32)"
        arguments = " ".join(f"(local.get {index})" for index in range(len(parameters)))
        imports.append(f'(import "{WASI}" "{name}" (func $wasi_{name} {kind}))')
        functions.append(f'(func (export "{name}") {kind} (call $wasi_{name} {arguments}))')
    return f"(module $caller {' '.join(imports)} {memory} {' '.join(functions)} {more})"


@pytest.fixture(scope="session")
def text() -> Callable[..., str]:
    """Return what makes the text of a guest: ``text(names, more)``."""
    return text_of


@pytest.fixture
def settings() -> dict[str, Any]:
    """Switch the probe on."""
    return {"probe": True}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return the directory that guests have as descriptor 3, with a file and a way out of it."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "file").write_bytes(b"content")
    (folder / "link").symlink_to("/etc/passwd")
    return folder


@pytest.fixture
def start(engine: wasmtime.Engine, data: Path) -> Callable[..., Guest]:
    """Return what instantiates a guest: by default one that can call all that the probe stands around."""

    def start(
        source: str | wasmtime.Module | None = None,
        configure: Configure = lambda _config: None,
        store: wasmtime.Store | None = None,
        engine: wasmtime.Engine = engine,
        prepare: Callable[[wasmtime.Linker, wasmtime.Store], None] = lambda _linker, _store: None,
    ) -> Guest:
        if store is None:
            store = wasmtime.Store(engine)
            config = wasmtime.WasiConfig()
            config.preopen_dir(str(data), "/data")
            configure(config)
            store.set_wasi(config)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        prepare(linker, store)
        if not isinstance(source, wasmtime.Module):
            source = wasmtime.Module(engine, source or text_of(list(FUNCTIONS)))
        return Guest(store, linker.instantiate(store, source))

    return start
