"""`sandscope ci vulnerabilities`: what pip-audit has found, as a metric and as log records."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from sandscope._ci import Run, detect
from sandscope._cli._ci_recording import recording
from sandscope._errors import SandscopeError
from sandscope._say import say

_MAX_SERIES = 200
"""The maximum number of different vulnerabilities on the metric; further ones are ``other``."""
_MAX_LENGTH = 128
_OTHER = "other"


class Vulnerability(NamedTuple):
    """A known vulnerability of an installed package.

    Attributes:
        id: such as PYSEC-2024-1 or CVE-2024-1.
        package: its name.
        version: the one that is installed.
        fixed_in: the versions without it.
    """

    id: str
    package: str
    version: str
    fixed_in: tuple[str, ...]


def count_vulnerabilities(arguments: argparse.Namespace) -> int:
    """Record what a scan has found.

    Raises:
        SandscopeError: if the file is not what pip-audit writes.
    """
    found, packages = read(arguments.file)
    run = detect(os.environ)
    with recording(arguments, run) as is_recorded:
        if is_recorded:
            _record(found, packages, run)
    named = ", ".join(f"{each.id} in {each.package} {each.version}" for each in found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    what = (
        f"{_number(len(found), 'known vulnerability', 'known vulnerabilities')}: {named}{more}"
        if found
        else "no known vulnerability"
    )
    say(f"sandscope: {_number(packages, 'package', 'packages')}, {what}")
    return 0


def _number(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def read(file: Path) -> tuple[list[Vulnerability], int]:
    """Return the vulnerabilities in a report of pip-audit, each once, and how many packages it has looked at."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        packages = content["dependencies"] if isinstance(content, dict) else content
        found = {
            Vulnerability(
                _text(each["id"]),
                _text(package["name"]),
                _text(package.get("version", "")),
                tuple(_text(version) for version in each.get("fix_versions") or ()),
            )
            for package in packages
            for each in package.get("vulns") or ()
        }
    except OSError as error:
        raise SandscopeError(
            f"Cannot read {str(file)!r}: {error.strerror}. Run `pip-audit --format json --output {file}` first."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SandscopeError(
            f"Cannot read {str(file)!r}: it is not a report of pip-audit. Run `pip-audit --format json --output "
            f"{file}`."
        ) from error
    return sorted(found), sum("skip_reason" not in package for package in packages)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value[:_MAX_LENGTH]


def _record(found: list[Vulnerability], packages: int, run: Run | None) -> None:
    from sandscope._cli._ci_task import ci_recorder
    from sandscope._metric import SCANNED_PACKAGES, VULNERABILITIES

    recorder = ci_recorder()
    pipeline = {"cicd.pipeline.name": run.name} if run is not None and run.name else {}
    recorder.measure(SCANNED_PACKAGES, packages, pipeline)
    for number, each in enumerate(found):
        is_named = number < _MAX_SERIES
        labels = {
            "security.vulnerability.id": each.id if is_named else _OTHER,
            "security.vulnerability.package": each.package if is_named else _OTHER,
        }
        recorder.measure(VULNERABILITIES, 1, {**labels, **pipeline})
        recorder.log(
            "security.vulnerability",
            f"{each.id} in {each.package} {each.version}",
            severity="WARN",
            attributes={
                **pipeline,
                "security.vulnerability.id": each.id,
                "security.vulnerability.package": each.package,
                "security.vulnerability.version": each.version,
                "security.vulnerability.fixed_in": each.fixed_in,
            },
        )
