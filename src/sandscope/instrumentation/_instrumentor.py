"""The base class of all instrumentors."""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection
from types import ModuleType
from typing import Any, ClassVar

from sandscope import _first_use, _guard, _settings
from sandscope._own_process._subinterpreter import refuse_subinterpreter
from sandscope._recording._choice import get_recorder
from sandscope._recording._recorder import Recorder
from sandscope._scope import Scope
from sandscope.instrumentation._patches import Patches

_logger = logging.getLogger("sandscope")


class RuntimeInstrumentor(ABC):
    """Patches a runtime when the program imports it. Never imports the runtime itself.

    Patches nothing if ``OTEL_SDK_DISABLED`` is ``true``.

    Has the methods of OpenTelemetry's ``BaseInstrumentor``, and one instance. Where a program has imported that
    class, it counts as its subclass; it does not import it itself, as that takes long (`docs/decisions/0034`).

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

    is_instrumented_by_opentelemetry = False
    _instance: ClassVar[Any] = None
    _patches: Patches
    _recorder: Recorder | None = None

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Any:
        """Return the instance."""
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        imported = sys.modules.get("opentelemetry.instrumentation.instrumentor")
        if imported is not None:
            imported.BaseInstrumentor.register(RuntimeInstrumentor)
        return cls._instance

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the supported versions of the runtime."""
        return self.supported

    def instrument(
        self, *, skip_dep_check: bool = False, raise_exception_on_conflict: bool = False, **kwargs: Any
    ) -> None:
        """Patch the runtime, now or when the program imports it.

        Args:
            skip_dep_check: whether to patch any version of the runtime.
            raise_exception_on_conflict: whether to raise an error if the runtime's version is not supported;
                otherwise, it is logged.
            kwargs: ``tracer_provider``, ``meter_provider`` and ``logger_provider``; or a ``recorder`` for tests; and
                the instrumentation's settings.

        Raises:
            DependencyConflictError: of OpenTelemetry; see above.
        """
        if self.is_instrumented_by_opentelemetry:
            _logger.warning("%s is instrumented already.", self.runtime)
            return
        conflict = None if skip_dep_check else self._check_dependency_conflicts()
        if conflict is not None:
            if raise_exception_on_conflict:
                from opentelemetry.instrumentation.dependencies import DependencyConflictError

                raise DependencyConflictError(conflict)
            _logger.error("%s", conflict)
            return
        self._instrument(**kwargs)
        self.is_instrumented_by_opentelemetry = True

    def uninstrument(self, **kwargs: Any) -> None:
        """Restore what was patched."""
        if not self.is_instrumented_by_opentelemetry:
            _logger.warning("%s is not instrumented.", self.runtime)
            return
        self._uninstrument(**kwargs)
        self.is_instrumented_by_opentelemetry = False

    @abstractmethod
    def _patch(self, module: ModuleType, patches: Patches, recorder: Recorder) -> None:
        """Patch the functions of a module: one line for each function."""

    def _check_dependency_conflicts(self) -> Any:
        """Return what is wrong with the runtime's version, or None."""
        if not self.instrumentation_dependencies():
            return None
        from opentelemetry.instrumentation.dependencies import get_dependency_conflicts

        return get_dependency_conflicts(self.instrumentation_dependencies())

    def _instrument(self, **kwargs: Any) -> None:
        refuse_subinterpreter()
        patches = self._patches = Patches()
        if _settings.sdk_disabled():
            return
        self._recorder = kwargs.get("recorder") or get_recorder(
            self.scope,
            tracer_provider=kwargs.get("tracer_provider"),
            meter_provider=kwargs.get("meter_provider"),
            logger_provider=kwargs.get("logger_provider"),
        )

        def imported(module: ModuleType) -> None:
            # Not of the closure, which stays registered: nothing is kept of an instrumentation that has ended.
            recorder = self._recorder
            if recorder is None or self._patches is not patches:
                return  # uninstrumented before the runtime was imported
            try:
                self._patch(module, patches, recorder)
            except Exception as error:  # noqa: BLE001 -- an import must not fail because of telemetry
                patches.undo()
                _guard.report(f"instrument.{self.runtime}", error)

        for name in (self.runtime, *self.submodules):
            _first_use.after_import(name, imported)

    def _uninstrument(self, **_kwargs: Any) -> None:
        patches, self._patches, self._recorder = self._patches, Patches(), None
        patches.undo()
