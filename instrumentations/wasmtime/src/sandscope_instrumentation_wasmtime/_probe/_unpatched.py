"""wasmtime's methods as they were before they were patched: what the probe does is no part of the program."""

from __future__ import annotations

from typing import Any


class Unpatched:
    """To be made before anything is patched.

    Attributes:
        wasmtime: the package.
    """

    def __init__(self, wasmtime: Any) -> None:
        self.wasmtime = wasmtime
        self._exports_class = wasmtime._instance.InstanceExports
        self._module = wasmtime.Module.__init__
        self._instance = wasmtime.Instance.__init__
        self._exports = self._exports_class.__init__
        self._store = wasmtime.Store.__init__
        self._set_limits = wasmtime.Store.set_limits
        self._get = wasmtime.Linker.get
        self._deserialize = wasmtime.Module.deserialize

    def module(self, engine: Any, text: str) -> Any:
        """Compile a module."""
        return _make(self.wasmtime.Module, self._module, engine, text)

    def deserialized(self, engine: Any, encoded: bytearray) -> Any:
        """Return a module that another engine has compiled.

        Raises:
            WasmtimeError: if the engines' settings differ.
        """
        return self._deserialize(engine, encoded)

    def instance(self, store: Any, module: Any, imports: list[Any]) -> Any:
        """Instantiate a module."""
        return _make(self.wasmtime.Instance, self._instance, store, module, imports)

    def exports(self, store: Any, instance: Any) -> Any:
        """Return the exports of an instance by their names."""
        return _make(self._exports_class, self._exports, store, instance)

    def store(self, engine: Any) -> Any:
        """Make a store."""
        return _make(self.wasmtime.Store, self._store, engine)

    def set_limits(self, store: Any, **limits: int) -> None:
        """Set a store's limits; those that are not given are lifted."""
        self._set_limits(store, **limits)

    def linked(self, linker: Any, store: Any, module: str, name: str) -> Any:
        """Return what a linker has under a name.

        Raises:
            WasmtimeError: if it has nothing.
        """
        return self._get(linker, store, module, name)


def _make(class_: Any, initialize: Any, *args: Any) -> Any:
    made = class_.__new__(class_)
    initialize(made, *args)
    return made
