"""`sandscope doctor`: check how a program started here would be instrumented."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version

from sandscope import _settings
from sandscope._cli._endpoint_check import check, endpoints
from sandscope._collector import find_otelcol
from sandscope._errors import SandscopeError

_PROBE = """
import json
import sandscope.auto
from sandscope._setup import _recorder_setup
from sandscope._deferred import _compiled
print(json.dumps([_recorder_setup.direct_reason(), _compiled.python_reason]))
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's options."""
    parser.set_defaults(handler=_doctor)


def _doctor(_arguments: argparse.Namespace) -> int:
    from sandscope._cli._doctor_machine import clock, disk, stores

    lines = [_versions(), _collector(), *_endpoints(), *clock(), *stores(), disk(), _recorder(), *_runtimes()]
    for passed, subject, finding in lines:
        print(f"{'ok' if passed else '--':3}{subject:12}{finding}")
    return 0 if all(passed for passed, *_ in lines) else 1


def _versions() -> tuple[bool, str, str]:
    return (
        True,
        "versions",
        ", ".join(
            [
                f"Python {sys.version.split()[0]}",
                *(f"{name} {version(name)}" for name in ("sandscope", "opentelemetry-sdk")),
            ]
        ),
    )


def _collector() -> tuple[bool, str, str]:
    try:
        return True, "Collector", str(find_otelcol())
    except SandscopeError as error:
        return False, "Collector", str(error)


def _endpoints() -> list[tuple[bool, str, str]]:
    return [(passed, "endpoint", finding) for passed, finding in map(check, endpoints())]


def _recorder() -> tuple[bool, str, str]:
    if _settings.sdk_disabled():
        return False, "recorder", "off: OTEL_SDK_DISABLED is true. Unset it to record executions."
    environment = {**os.environ, "SANDSCOPE_EXIT_TIMEOUT": "0"}
    probe = subprocess.run(
        [sys.executable, "-c", _PROBE], env=environment, capture_output=True, text=True, check=False
    )
    if probe.returncode != 0:
        return False, "recorder", f"unknown: {probe.stderr.strip().splitlines()[-1]}"
    direct, in_python = json.loads(probe.stdout)
    if direct:
        return True, "recorder", f"direct: {direct}"
    return True, "recorder", f"deferred, in Python: {in_python}" if in_python else "deferred, compiled"


def _runtimes() -> list[tuple[bool, str, str]]:
    from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts

    result = []
    for entry_point in entry_points(group="opentelemetry_instrumentor"):
        if entry_point.dist is None or not entry_point.dist.name.startswith("sandscope-"):
            continue
        conflict = get_dist_dependency_conflicts(entry_point.dist)
        try:
            installed = "standard library" if entry_point.name == "subprocess" else version(entry_point.name)
        except PackageNotFoundError:
            result.append((True, entry_point.name, "not installed"))
            continue
        finding = (
            f"not instrumented, which requires {conflict.required or conflict.required_any}"
            if conflict
            else "instrumented"
        )
        wrong = _wrong_setting(entry_point)
        result.append((not conflict and not wrong, entry_point.name, f"{installed}: {wrong or finding}"))
    return result


def _wrong_setting(entry_point: EntryPoint) -> str:
    """Return what is wrong with an instrumentation's variables, which a program reads at its runtime's first use."""
    if not any(name.startswith(f"SANDSCOPE_{entry_point.name.upper()}_") for name in os.environ):
        return ""
    from sandscope.instrumentation import Settings

    import_module(entry_point.module)
    for declared in Settings.__subclasses__():
        if declared.__module__.startswith(entry_point.module):
            try:
                declared.read({})
            except SandscopeError as error:
                return str(error)
    return ""
