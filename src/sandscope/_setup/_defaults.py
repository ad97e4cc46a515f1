"""The distro's default values of ``OTEL_*`` environment variables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

DEFAULTS = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_BSP_SCHEDULE_DELAY": "1000",  # milliseconds; what a signal may end the program before
    "OTEL_BLRP_SCHEDULE_DELAY": "1000",
}


def unset_defaults() -> dict[str, str]:
    """Return the default values of the variables that are not set."""
    defaults = {name: value for name, value in DEFAULTS.items() if not os.environ.get(name)}
    attributes = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    name = program_name()
    if name and not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in attributes:
        defaults["OTEL_SERVICE_NAME"] = name
    return defaults


def program_name() -> str | None:
    """Return the name of the script or module that this interpreter runs, or None.

    Reads ``sys.orig_argv``, because auto-instrumentation runs before ``sys.argv`` is set.
    """
    words = iter(sys.orig_argv[1:])
    for word in words:
        if word == "-m":
            return next(words, None)
        if word in {"-W", "-X", "--check-hash-based-pycs"}:
            next(words, None)
        elif word.startswith("-"):
            if word == "-" or word.startswith("-c"):
                return None
        else:
            return Path(word).stem
    return None


@contextmanager
def temporary_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables while the SDK is being set up. The program and its child processes do not see them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
