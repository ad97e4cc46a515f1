"""Declarative configuration: sets up the SDK from a file, with OpenTelemetry's own package for it."""

from __future__ import annotations

import logging
import os

from sandscope._setup._dropped_messages import dropped_messages

_VARIABLES = ("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE")
"""The variables that name the file; the first that is set counts."""

_logger = logging.getLogger("sandscope")


def path() -> str | None:
    """Return the path of the configuration file, or None if there is none."""
    return os.environ.get(_variable()) or None


def configure() -> None:
    """Set up the SDK. If that is not possible, one log message says why, and the SDK is not set up."""
    try:
        from opentelemetry.configuration import configure_sdk, load_config_file
    except ImportError:
        _logger.warning(
            "Cannot read %s=%s: opentelemetry-configuration is not installed. "
            "Install it (`pip install opentelemetry-configuration`), or unset the variable. Nothing is recorded.",
            *(_variable(), path()),
        )
        return
    try:
        with dropped_messages("opentelemetry.configuration.file._loader", level=logging.ERROR):
            config = load_config_file(path())
        configure_sdk(config)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _logger.warning(
            "Cannot set up OpenTelemetry from %s=%s: %s. Correct the file or the variable. Nothing is recorded.",
            *(_variable(), path(), " ".join(str(error).split())),
        )


def _variable() -> str:
    return next((name for name in _VARIABLES if os.environ.get(name)), _VARIABLES[0])
