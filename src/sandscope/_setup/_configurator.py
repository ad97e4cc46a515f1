"""The configurator: sets up the SDK, except for signals whose provider the program has already set."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
from opentelemetry.util.types import AttributeValue

from sandscope import _internals, _settings
from sandscope._setup import _exit, _notice, _provider_replacement
from sandscope._setup._defaults import temporary_environment, unset_defaults
from sandscope._setup._recorder_setup import RecorderSetup, disable_deferred

_logger = logging.getLogger("sandscope")

_PROVIDERS = {
    "OTEL_TRACES_EXPORTER": trace.get_tracer_provider,
    "OTEL_METRICS_EXPORTER": metrics.get_meter_provider,
    "OTEL_LOGS_EXPORTER": _logs.get_logger_provider,
}

_OVERRIDE_LOGGERS = (
    "opentelemetry.trace",
    "opentelemetry.metrics._internal",
    "opentelemetry._logs._internal",
)


class SandscopeConfigurator(_OTelSDKConfigurator):
    """OpenTelemetry's configurator with Sandscope's defaults and a time limit for the shutdown at exit."""

    def _configure(self, **kwargs: Any) -> None:
        setup = _setup()
        preset = {name: "none" for name, current in _PROVIDERS.items() if _is_real(current())}
        settings = {**unset_defaults(), **_without_used_port(), **preset}
        with temporary_environment(settings), _no_override_warnings():
            arguments = {
                "resource_attributes": _instance(),
                "exporter_args_map": _internals.ExporterArguments(),
                **_setup_arguments(setup),
                **kwargs,
            }
            super()._configure(**arguments)  # type: ignore[no-untyped-call]
        providers = [current() for name, current in _PROVIDERS.items() if name not in preset]
        _notice.install()
        _exit.shut_down_at_exit(providers)
        _provider_replacement.let_program_replace(providers)
        if setup is not None:
            setup.activate(own_providers=bool(preset))


def _setup() -> RecorderSetup | None:
    if _settings.always_direct():
        disable_deferred(f"{_settings.RECORDER}=direct")
    elif os.environ.get("OTEL_CONFIG_FILE"):
        disable_deferred("OTEL_CONFIG_FILE configures the SDK")
    else:
        return RecorderSetup()
    return None


def _setup_arguments(setup: RecorderSetup | None) -> dict[str, Any]:
    return {} if setup is None else setup.arguments


def _instance() -> dict[str, AttributeValue]:
    """Identify this process: without an instance id, the counters of several processes overwrite each other."""
    is_set = "service.instance.id=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {} if is_set else {"service.instance.id": str(uuid.uuid4())}


@contextmanager
def _no_override_warnings() -> Iterator[None]:
    """Suppress OpenTelemetry's warnings about providers that the program has set: they take precedence."""
    loggers = [logging.getLogger(name) for name in _OVERRIDE_LOGGERS]
    for logger in loggers:
        logger.addFilter(_drop)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_drop)


def _drop(_record: logging.LogRecord) -> bool:
    return False


def _is_real(provider: object) -> bool:
    return "Proxy" not in type(provider).__name__


def _without_used_port() -> dict[str, str]:
    """Disable the Prometheus exporter if its port is in use: child processes inherit the port, and must start."""
    exporters = [name.strip() for name in os.environ.get("OTEL_METRICS_EXPORTER", "").split(",")]
    if "prometheus" not in exporters:
        return {}
    host = os.environ.get("OTEL_EXPORTER_PROMETHEUS_HOST", "localhost")
    port = os.environ.get("OTEL_EXPORTER_PROMETHEUS_PORT", "9464")
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
    except (OSError, ValueError) as error:
        _logger.warning(
            "Cannot serve metrics on %s:%s: %s. Set OTEL_EXPORTER_PROMETHEUS_PORT to a free port.",
            host,
            port,
            error,
        )
        exporters.remove("prometheus")
        return {"OTEL_METRICS_EXPORTER": ",".join(exporters) or "none"}
    return {}
