"""What the instrumentors of all runtimes share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from types import ModuleType
from typing import Any, ClassVar

import wrapt
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from sandscope import _guard
from sandscope._recording._choice import get_recorder
from sandscope._recording._recorder import Recorder
from sandscope._scope import Scope
from sandscope.instrumentation._patches import Patches
from sandscope.instrumentation._subinterpreter import refuse_subinterpreter


class RuntimeInstrumentor(BaseInstrumentor):  # type: ignore[misc] # untyped upstream
    """Patches one runtime as soon as it is imported, and never imports it itself.

    ``instrument()`` takes ``tracer_provider``, ``meter_provider`` and ``logger_provider``, or, to test with, a
    ``recorder``.

    Attributes:
        runtime: the name of the module that is patched.
        submodules: modules of the runtime that programs import by themselves; each is patched then.
        scope: the instrumentation scope of its telemetry.
        supported: requirement strings; the same as the distribution's ``instruments`` extra.
    """

    runtime: ClassVar[str]
    submodules: ClassVar[tuple[str, ...]] = ()
    scope: ClassVar[Scope]
    supported: ClassVar[tuple[str, ...]] = ()

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the versions of the runtime that can be patched."""
        return self.supported

    @abstractmethod
    def _patch(self, module: ModuleType, patches: Patches, recorder: Recorder) -> None:
        """Wrap what has to be wrapped: one line for each function."""

    def _instrument(self, **kwargs: Any) -> None:
        refuse_subinterpreter()
        patches = self._patches = Patches()
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
