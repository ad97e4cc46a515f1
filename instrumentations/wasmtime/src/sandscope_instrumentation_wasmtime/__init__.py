"""OpenTelemetry for WebAssembly guests in the package ``wasmtime``.

Usage::

    from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

    WasmtimeInstrumentor().instrument()

    from wasmtime import Instance, Module, Store

    store = Store()
    module = Module(store.engine, '(module $math (func (export "answer") (result i32) i32.const 42))')
    Instance(store, module, []).exports(store)["answer"](store)  # the span `wasm answer`

Each call of a function that a module or component exports is one execution: a span, its metric points and a log
record. Nested calls (host, guest, host, guest) are child spans. A WASI guest gets the context of the span that is
current at ``Store.set_wasi`` as ``TRACEPARENT``.

``instrument()`` takes ``tracer_provider``, ``meter_provider`` and ``logger_provider``; by default, the global ones
are used. It also takes each setting of `WasmtimeSettings` by its name; by default, environment variables such as
``SANDSCOPE_WASMTIME_SPANS`` are read. It does not import wasmtime, and may be called before or after the program
imports it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from sandscope.instrumentation import GuestTelemetry, Patches, Recorder, RuntimeInstrumentor, Scope
from sandscope_instrumentation_wasmtime import _host_functions, _probe, _verdicts, _wasi
from sandscope_instrumentation_wasmtime._evidence import _capabilities, _violations
from sandscope_instrumentation_wasmtime._guest_telemetry import _guest_functions, _wasi_otel
from sandscope_instrumentation_wasmtime._guest_telemetry._wasi_otel import add_wasi_otel
from sandscope_instrumentation_wasmtime._measures import (
    _exports,
    _fuel,
    _host_limits,
    _instances,
    _memory,
    _module_cache,
    _store_state,
)
from sandscope_instrumentation_wasmtime._names import _functions
from sandscope_instrumentation_wasmtime._patch import recording
from sandscope_instrumentation_wasmtime._settings import WasmtimeSettings

__all__ = ["WasmtimeInstrumentor", "add_wasi_otel"]

__version__ = "0.1.0"


class WasmtimeInstrumentor(RuntimeInstrumentor):
    """Instruments wasmtime."""

    runtime = "wasmtime"
    submodules = ("wasmtime.component",)
    scope = Scope(__name__, __version__)
    supported = ("wasmtime >= 40, < 51",)
    _settings = WasmtimeSettings()

    def _instrument(self, **kwargs: Any) -> None:
        self._settings = WasmtimeSettings.read(kwargs)
        super()._instrument(**kwargs)

    def _patch(self, module: ModuleType, patches: Patches, recorder: Recorder) -> None:
        settings = self._settings
        _verdicts.patch(patches, settings.bounds)
        host_recorder = recorder if settings.host_spans and settings.spans != "off" else None
        if module.__name__ == self.runtime and (settings.probe or settings.output):
            _probe.patch(module, patches, recorder, output=settings.output)
        patches.replace(module.Func, "__call__", recording(recorder, settings))
        if module.__name__ == "wasmtime.component":
            _instances.patch_component(module, patches, recorder, settings)
            _module_cache.patch_component(module, patches, recorder)
            if settings.spans != "off":
                _functions.patch_component(module, patches)
            _host_functions.patch_component(module, patches, host_recorder)
            if settings.guest_telemetry:
                _wasi_otel.patch(patches, GuestTelemetry(recorder, self.runtime))
        else:
            _store_state.patch(module, patches, recorder)
            _fuel.patch(module, patches, measured=settings.fuel)
            _host_limits.patch(module, patches)
            _memory.patch(module, patches)
            _instances.patch_module(module, patches, recorder, settings)
            _exports.patch(module, patches, named=settings.spans != "off")
            _violations.patch(module, patches, recorder)
            _module_cache.patch_module(module, patches, recorder)
            if settings.spans != "off":
                _functions.patch_module(module, patches)
            _host_functions.patch_module(module, patches, host_recorder)
            _wasi.patch(module, patches)
            _capabilities.patch(module, patches)
            if settings.guest_telemetry:
                _guest_functions.patch(module, patches, GuestTelemetry(recorder, self.runtime))
