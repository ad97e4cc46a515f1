"""OpenTelemetry for guests in `wasmtime <https://pypi.org/project/wasmtime/>`_.

Usage::

    from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

    WasmtimeInstrumentor().instrument()

    from wasmtime import Instance, Module, Store

    store = Store()
    module = Module(store.engine, '(module $math (func (export "answer") (result i32) i32.const 42))')
    Instance(store, module, []).exports(store)["answer"](store)  # the span `wasm answer`

Each call of an exported function, of a module or a component, is one execution: a span, its metric points
and a log record. Calls inside (host, guest, host, guest) are children. A WASI guest finds the trace context
of the span that is current at ``Store.set_wasi`` in ``TRACEPARENT``.

``instrument()`` takes ``tracer_provider``, ``meter_provider`` and ``logger_provider``; the global ones are
the default. It never imports wasmtime, and may be called before or after the program does.
"""

from __future__ import annotations

from types import ModuleType

from sandscope import Patches, Recorder, RuntimeInstrumentor, Scope, __version__
from sandscope_instrumentation_wasmtime import _names, _wasi
from sandscope_instrumentation_wasmtime._patch import recording

__all__ = ["WasmtimeInstrumentor"]


class WasmtimeInstrumentor(RuntimeInstrumentor):
    """Patches wasmtime: calls of exported functions, and the environment of WASI guests."""

    runtime = "wasmtime"
    submodules = ("wasmtime.component",)
    scope = Scope(__name__, __version__)
    supported = ("wasmtime >= 40, < 51",)

    def _patch(self, module: ModuleType, patches: Patches, recorder: Recorder) -> None:
        patches.replace(module.Func, "__call__", recording(recorder))
        if module.__name__ == "wasmtime.component":
            _names.patch_component(module, patches)
        else:
            _names.patch_module(module, patches)
            _wasi.patch(module, patches)
