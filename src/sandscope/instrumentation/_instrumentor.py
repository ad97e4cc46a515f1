"""The base class of all instrumentors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from types import ModuleType
from typing import Any, ClassVar

import wrapt
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from sandscope import _guard, _settings
from sandscope._recording._choice import get_recorder
from sandscope._recording._recorder import Recorder
from sandscope._scope import Scope
from sandscope._subinterpreter import refuse_subinterpreter
from sandscope.instrumentation._patches import Patches


class RuntimeInstrumentor(BaseInstrumentor):  # type: ignore[misc] # untyped upstream
    """Patches a runtime when the program imports it. Never imports the runtime itself.

    Patches nothing if ``OTEL_SDK_DISABLED`` is ``true``.

    ``instrument()`` accepts ``tracer_provider``, ``meter_provider`` and ``logger_provider``, or a ``recorder`` for
    tests.

    Attributes:
        runtime: the name of the module to patch.
        submodules: further modules of the runtime that programs import separately; each is patched on its import.
        scope: the instrumentation scope of the telemetry.
        supported: requirement strings, equal to the ``instruments`` extra of the distribution.
    """

    runtime: ClassVar[str]
    submodules: ClassVar[tuple[str, ...]] = ()
    scope: ClassVar[Scope]
    supported: ClassVar[tuple[str, ...]] = ()

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the supported versions of the runtime."""
        return self.supported

    @abstractmethod
    def _patch(self, module: ModuleType, patches: Patches, recorder: Recorder) -> None:
        """Patch the functions of a module: one line for each function."""

    def _instrument(self, **kwargs: Any) -> None:
        refuse_subinterpreter()
        patches = self._patches = Patches()
        if _settings.sdk_disabled():
            return
        recorder: Recorder = kwargs.get("recorder") or get_recorder(
            self.scope,
            tracer_provider=kwargs.get("tracer_provider"),
            meter_provider=kwargs.get("meter_provider"),
            logger_provider=kwargs.get("logger_provider"),
        )

        def imported(module: ModuleType) -> None:
            if self._patches is not patches:
                return  # uninstrumented before the runtime was imported
            try:
                self._patch(module, patches, recorder)
            except Exception as error:  # noqa: BLE001 -- an import must not fail because of telemetry
                patches.undo()
                _guard.report(f"instrument.{self.runtime}", error)

        for name in (self.runtime, *self.submodules):
            wrapt.register_post_import_hook(imported, name)

    def _uninstrument(self, **_kwargs: Any) -> None:
        patches, self._patches = self._patches, Patches()
        patches.undo()
