"""The distro: what ``opentelemetry-instrument`` loads first."""

from __future__ import annotations

import os
from typing import Any

from opentelemetry.instrumentation.auto_instrumentation import initialize
from opentelemetry.instrumentation.dependencies import DependencyConflictError
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]
from opentelemetry.instrumentation.environment_variables import OTEL_PYTHON_CONFIGURATOR, OTEL_PYTHON_DISTRO
from opentelemetry.util._importlib_metadata import EntryPoint

from sandscope import _guard, _settings
from sandscope._setup._defaults import temporary_environment
from sandscope.instrumentation._subinterpreter import refuse_subinterpreter

_configured = False


class SandscopeDistro(BaseDistro):  # type: ignore[misc] # untyped upstream
    """Sandscope under ``opentelemetry-instrument``; its defaults are in `sandscope._setup._defaults`."""

    def _configure(self, **_kwargs: Any) -> None:
        global _configured  # noqa: PLW0603 -- there is one global SDK in a process
        refuse_subinterpreter()
        _settings.check()
        _configured = True

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Load one instrumentation; one that fails does not keep the others from being loaded."""
        try:
            super().load_instrumentor(entry_point, **kwargs)
        except (ImportError, DependencyConflictError):
            raise  # the caller knows these, and goes on
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            _guard.report(f"instrument.{entry_point.name}", error)


def instrument_this_process() -> None:
    """Set up the SDK and the instrumentations once, unless ``opentelemetry-instrument`` has done so.

    Raises:
        SandscopeError: if a ``SANDSCOPE_*`` variable cannot be read, or in a subinterpreter.
    """
    if _configured:
        return
    refuse_subinterpreter()
    _settings.check()
    ours = {OTEL_PYTHON_DISTRO: "sandscope", OTEL_PYTHON_CONFIGURATOR: "sandscope"}
    with temporary_environment({name: value for name, value in ours.items() if name not in os.environ}):
        initialize()
