"""The distro, which ``opentelemetry-instrument`` loads first."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.dependencies import DependencyConflictError
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]
from opentelemetry.util._importlib_metadata import EntryPoint

from sandscope import _first_use, _guard, _settings
from sandscope._errors import SandscopeError
from sandscope._installed import SYSTEM_METRICS
from sandscope._own_process._subinterpreter import refuse_subinterpreter
from sandscope._recording._choice import before_first_recorder
from sandscope._say import say
from sandscope._setup._dropped_messages import drop_other_configurators, shorten_own_errors
from sandscope._setup._process import note_set_up
from sandscope._setup._system_metrics import record_system_metrics


class SandscopeDistro(BaseDistro):  # type: ignore[misc] # untyped upstream
    """Sandscope's distro. The default settings are in `sandscope._setup._defaults`."""

    def _configure(self, **_kwargs: Any) -> None:
        shorten_own_errors()
        refuse_subinterpreter()
        _settings.check()
        drop_other_configurators()
        note_set_up()

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Load an instrumentation, Sandscope's own when the program first uses its runtime.

        That of the machine and the process is loaded if a setting asks for it, before the first execution.

        If an instrumentation fails, the others are still loaded. If the SDK is disabled, none is loaded.
        """
        if _settings.sdk_disabled():
            return
        if entry_point.name == SYSTEM_METRICS:
            if _settings.system_metrics():
                before_first_recorder(lambda: record_system_metrics(entry_point))
            return
        if entry_point.module == f"sandscope_instrumentation_{entry_point.name}":
            _first_use.on_first_use(entry_point.name, lambda: self._load(entry_point, **kwargs))
            return
        try:
            self._load(entry_point, **kwargs)
        except (ImportError, DependencyConflictError):
            raise  # the caller handles these and continues
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report(f"instrument.{entry_point.name}", error)

    def _load(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        try:
            super().load_instrumentor(entry_point, **kwargs)
        except SandscopeError as error:  # an invalid setting; a traceback would say nothing more
            say(f"sandscope: {error} {entry_point.name} is not instrumented.")
