"""The light start: instruments a program when it first uses what is to be instrumented.

Imports only modules that every interpreter has loaded: each Python child of an instrumented program starts here.
"""

from __future__ import annotations

import os
import sys

from sandscope import _first_use, _relay_pipe
from sandscope._installed import SYSTEM_METRICS, instrumentations
from sandscope._own_process import _at_exit
from sandscope._setup._multiprocessing_workers import prepare_workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

OWN = ("subprocess", "torch", "wasmtime")
"""The runtimes whose instrumentations can wait for their first use."""

_FROM_THE_START = (
    "OTEL_CONFIG_FILE",
    "OTEL_EXPERIMENTAL_CONFIG_FILE",
    "OTEL_PYTHON_AUTO_INSTRUMENTATION_EXPERIMENTAL_GEVENT_PATCH",
    "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED",
)
"""Variables that ask for something which has to be there before the program's first use."""


def start() -> None:
    """Instrument this program: at once if something has to be there from the start, otherwise on first use.

    Does nothing if the SDK is disabled.

    Raises:
        SandscopeError: if a ``SANDSCOPE_*`` variable is invalid, or in a subinterpreter.
    """
    from sandscope._own_process._subinterpreter import refuse_subinterpreter

    refuse_subinterpreter()
    _relay_pipe.adopt()
    if "OTEL_SDK_DISABLED" in os.environ or any(name.startswith("SANDSCOPE_") for name in os.environ):
        from sandscope import _settings

        _settings.check()
        if _settings.sdk_disabled():
            return
    if must_start_at_once(os.environ):
        _instrument()
        return
    _at_exit.reserve()
    for name in sorted({_first_use.OPENTELEMETRY, *OWN}):
        _first_use.on_first_use(name, _instrument)
    prepare_workers()


def must_start_at_once(environment: Mapping[str, str]) -> bool:
    """Return whether something needs the SDK, or patches a library, before the program uses OpenTelemetry."""
    return (
        any(environment.get(name) for name in _FROM_THE_START)
        or environment.get("OTEL_PYTHON_DISTRO", "sandscope") != "sandscope"
        or environment.get("OTEL_PYTHON_CONFIGURATOR", "sandscope") != "sandscope"
        or "prometheus" in environment.get("OTEL_METRICS_EXPORTER", "")
        or not instrumentations(sys.path) <= {*OWN, SYSTEM_METRICS}
    )


def _instrument() -> None:
    from sandscope._setup._process import instrument_this_process

    instrument_this_process()
