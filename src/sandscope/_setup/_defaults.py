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
WORKER_OF = "sandscope.worker_of"
"""The ``-X`` option that gives a worker of multiprocessing the name of its parent's program."""


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
    parent = sys._xoptions.get(WORKER_OF)
    if isinstance(parent, str):
        return parent
    words = iter(sys.orig_argv[1:])
    for word in words:
        if word == "-m":
            return next(words, None)
        if word in {"-W", "-X", "--check-hash-based-pycs"}:
            next(words, None)
        elif word.startswith("-"):
            if word == "-" or word.startswith("-c"):
                return _parents_name() if "--multiprocessing-fork" in words else None
        else:
            return Path(word).stem
    return None


def _parents_name() -> str | None:
    """Return the name of a parent that is not instrumented: multiprocessing gives its ``sys.argv`` to workers."""
    program = Path(next(iter(getattr(sys, "argv", ())), "-c"))
    name = program.parent.name if program.stem == "__main__" else program.stem
    return None if name in {"", "-c"} else name


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
