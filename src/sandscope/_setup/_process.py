"""Sets up the SDK and the instrumentations of this process, once.

Where everything that takes part is Sandscope's own, it does so without `opentelemetry.instrumentation`, whose imports
take longer than those of the SDK: see `docs/decisions/0034`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from sandscope import _first_use, _settings
from sandscope._errors import SandscopeError
from sandscope._installed import INSTRUMENTATIONS, SYSTEM_METRICS, entry_points
from sandscope._own_process._subinterpreter import refuse_subinterpreter
from sandscope._say import say
from sandscope._setup._defaults import temporary_environment
from sandscope._setup._lazy_psutil import lazy_psutil

_CHOICES = ("OTEL_PYTHON_CONFIGURATOR", "OTEL_PYTHON_DISTRO")
"""Variables that say who sets up the SDK."""
_OTHERS = {
    "OTEL_PYTHON_AUTO_INSTRUMENTATION_EXPERIMENTAL_GEVENT_PATCH": "",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "",
    **dict.fromkeys(_CHOICES, "sandscope"),
}
"""Variables that ask OpenTelemetry's auto-instrumentation for something, unless they have these values."""
_AROUND = ("opentelemetry_pre_instrument", "opentelemetry_post_instrument")
"""The groups of what OpenTelemetry's auto-instrumentation calls before and after the instrumentations."""
_OWN = "sandscope_instrumentation_"

_logger = logging.getLogger("opentelemetry.instrumentation.auto_instrumentation")
_is_set_up = False


def note_set_up() -> None:
    """Note that this process is being set up, by whatever means."""
    global _is_set_up  # noqa: PLW0603 -- a process has one global SDK
    _is_set_up = True


def instrument_this_process() -> None:
    """Set up the SDK and the instrumentations, unless this or ``opentelemetry-instrument`` has already been done.

    Raises:
        SandscopeError: if a ``SANDSCOPE_*`` variable is invalid, or in a subinterpreter.
        BaseException: what interrupts it, such as Ctrl-C.
    """
    if _is_set_up:
        return
    refuse_subinterpreter()
    _settings.check()
    if not _is_alone(os.environ):
        _set_up_with_others()
        return
    note_set_up()
    try:
        _set_up()
    except SandscopeError as error:
        say(f"sandscope: {error} The program runs without instrumentation.")
    except Exception:  # as OpenTelemetry's auto-instrumentation does
        _logger.exception("Failed to auto initialize OpenTelemetry")
    except BaseException:  # Ctrl-C, or what a signal handler of the program raises
        say(
            "sandscope: The set-up was interrupted. The program runs without instrumentation, or with a part of it."
        )
        raise


def _set_up_with_others() -> None:
    """Set up the SDK and all installed instrumentations, by OpenTelemetry's auto-instrumentation."""
    from opentelemetry.instrumentation.auto_instrumentation import initialize

    with temporary_environment({name: "sandscope" for name in _CHOICES if name not in os.environ}):
        initialize()


def _is_alone(environment: Mapping[str, str]) -> bool:
    """Return whether nothing but Sandscope takes part in setting up this process."""
    return (
        all(environment.get(name, own) == own for name, own in _OTHERS.items())
        and not (_settings.system_metrics() and not _settings.sdk_disabled())
        and all(reference.startswith("sandscope.") for _name, reference in entry_points(sys.path, *_AROUND))
        and all(
            name == SYSTEM_METRICS or reference.startswith(_OWN) for name, reference in _instrumentations()
        )
    )


def _instrumentations() -> Iterator[tuple[str, str]]:
    return entry_points(sys.path, INSTRUMENTATIONS)


def _set_up() -> None:
    with lazy_psutil():
        from opentelemetry.instrumentation.version import __version__

        from sandscope._child import _propagation
        from sandscope._setup._configurator import SandscopeConfigurator

    configurator: Any = SandscopeConfigurator  # untyped upstream
    configurator().configure(auto_instrumentation_version=__version__)
    _propagation.continue_parent_trace()
    if not _settings.sdk_disabled():
        for name, reference in dict(_instrumentations()).items():
            if name != SYSTEM_METRICS:
                _first_use.on_first_use(name, partial(_instrument, name, reference))


def _instrument(name: str, reference: str) -> None:
    module, _, attribute = reference.partition(":")
    instrumentor: Any = getattr(import_module(module), attribute)()
    try:
        instrumentor.instrument()
    except SandscopeError as error:  # an invalid setting; a traceback would say nothing more
        say(f"sandscope: {error} {name} is not instrumented.")
