"""The configurator: sets up the SDK, except for signals whose provider the program has already set."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
from opentelemetry.util.types import AttributeValue

from sandscope import _internals, _relay_pipe, _settings
from sandscope._setup import (
    _config_file,
    _direct_metrics,
    _exit,
    _green_threads,
    _notice,
    _provider_replacement,
    _spool_setup,
)
from sandscope._setup._defaults import temporary_environment, unset_defaults
from sandscope._setup._dropped_messages import drop_conflicts_between_scopes, dropped_messages
from sandscope._setup._multiprocessing_workers import prepare_workers
from sandscope._setup._recorder_setup import RecorderSetup, disable_deferred

_logger = logging.getLogger("sandscope")

_PROVIDERS: dict[str, Callable[[], Any]] = {
    "traces": trace.get_tracer_provider,
    "metrics": metrics.get_meter_provider,
    "logs": _logs.get_logger_provider,
}

_OTLP = ("TRACES", "LOGS")

_OVERRIDE_LOGGERS = (
    "opentelemetry.trace",
    "opentelemetry.metrics._internal",
    "opentelemetry._logs._internal",
)
"""Loggers that warn of providers that the program has set, which take precedence."""


class SandscopeConfigurator(_OTelSDKConfigurator):
    """OpenTelemetry's configurator with Sandscope's defaults and a time limit for the shutdown at exit."""

    def _configure(self, **kwargs: Any) -> None:
        _relay_pipe.adopt()
        if _settings.sdk_disabled():
            disable_deferred("OTEL_SDK_DISABLED=true")
            return
        preset = {signal for signal, current in _PROVIDERS.items() if _is_set(current())}
        setup = _setup()
        with dropped_messages(*_OVERRIDE_LOGGERS), _green_threads.forks_of_gevent():
            if _config_file.path():
                _config_file.configure()
            else:
                self._configure_from_environment(setup, preset, kwargs)
        added = {
            signal: current()
            for signal, current in _PROVIDERS.items()
            if signal not in preset and _is_set(current())
        }
        if _relay_pipe.descriptor() is None:  # what other processes have kept is not for this child to send
            _spool_setup.keep_what_cannot_be_sent(list(added.values()))
        _notice.install()
        drop_conflicts_between_scopes()
        _exit.shut_down_at_exit(list(added.values()))
        if "metrics" in added and not _config_file.path():
            _direct_metrics.export_after_executions(added["metrics"])
        prepare_workers()
        _green_threads.end_quietly_at_exit()
        _green_threads.load_gevent_before_it_patches()
        _provider_replacement.let_program_replace(added)
        if setup is not None:
            setup.activate(own_providers=bool(preset))

    def _configure_from_environment(
        self, setup: RecorderSetup | None, preset: Collection[str], kwargs: Mapping[str, Any]
    ) -> None:
        exporters = {f"OTEL_{signal.upper()}_EXPORTER": "none" for signal in preset}
        exporters = {**_relayed(), **exporters}
        with temporary_environment({**unset_defaults(), **_without_used_port(), **exporters}):
            arguments = {
                "resource_attributes": _instance(),
                "exporter_args_map": _internals.ExporterArguments(),
                **_setup_arguments(setup),
                **kwargs,
            }
            super()._configure(**arguments)  # type: ignore[no-untyped-call]


def _relayed() -> dict[str, str]:
    """Send what the parent relays as the pipe's transport can, if there is a pipe to it."""
    if _relay_pipe.descriptor() is None:
        return {}
    protocols = ("OTEL_EXPORTER_OTLP_PROTOCOL", *(f"OTEL_EXPORTER_OTLP_{each}_PROTOCOL" for each in _OTLP))
    return {"OTEL_METRICS_EXPORTER": "none", **dict.fromkeys(protocols, "http/protobuf")}


def _setup() -> RecorderSetup | None:
    if _settings.always_direct():
        disable_deferred(f"{_settings.RECORDER}=direct")
    elif _config_file.path():
        disable_deferred("a configuration file configures the SDK")
    else:
        return RecorderSetup()
    return None


def _setup_arguments(setup: RecorderSetup | None) -> dict[str, Any]:
    return {} if setup is None else setup.arguments


def _instance() -> dict[str, AttributeValue]:
    """Identify this process: without an instance id, the counters of several processes overwrite each other."""
    is_set = "service.instance.id=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return {} if is_set else {"service.instance.id": str(uuid.uuid4())}


def _is_set(provider: object) -> bool:
    """Return whether a global provider was set: until then, it is a proxy of the API. Other SDKs have proxies, too."""
    kind = type(provider)
    return "Proxy" not in kind.__name__ or not kind.__module__.startswith("opentelemetry.")


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
