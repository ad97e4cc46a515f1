"""wasmtime's own methods, as they were before the instrumentation: what the probe does is no execution."""

from __future__ import annotations

import ctypes
from typing import Any


class Originals:
    """Made before anything is patched.

    Attributes:
        wasmtime: the package.
    """

    def __init__(self, wasmtime: Any) -> None:
        self.wasmtime = wasmtime
        self._compile = wasmtime.Module.__init__
        self._instantiate = wasmtime.Instance.__init__
        self._store = wasmtime.Store.__init__
        self._get = wasmtime.Linker.get

    def compile(self, engine: Any, text: str) -> Any:
        """Return a module."""
        module = self.wasmtime.Module.__new__(self.wasmtime.Module)
        self._compile(module, engine, text)
        return module

    def instantiate(self, store: Any, module: Any, imports: list[Any]) -> Any:
        """Return an instance."""
        instance = self.wasmtime.Instance.__new__(self.wasmtime.Instance)
        self._instantiate(instance, store, module, imports)
        return instance

    def export(self, store: Any, instance: Any, name: str) -> Any:
        """Return what an instance exports under a name that it surely has."""
        ffi, encoded = self.wasmtime._ffi, name.encode()
        found = ffi.wasmtime_extern_t()
        place = ctypes.byref(instance._instance)
        text = ctypes.create_string_buffer(encoded)
        ffi.wasmtime_instance_export_get(store._context(), place, text, len(encoded), ctypes.byref(found))
        return self.wasmtime._extern.wrap_extern(found)

    def new_store(self, engine: Any) -> Any:
        """Return a store."""
        store = self.wasmtime.Store.__new__(self.wasmtime.Store)
        self._store(store, engine)
        return store

    def get(self, linker: Any, store: Any, module: str, name: str) -> Any:
        """Return what a linker has under a name.

        Raises:
            WasmtimeError: if it has nothing.
        """
        return self._get(linker, store, module, name)
