"""Finds installed entry points without `importlib.metadata`, which takes longer than an interpreter to start."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INSTRUMENTATIONS = "opentelemetry_instrumentor"
"""The group of the entry points of instrumentations."""

SYSTEM_METRICS = "system_metrics"
"""The name of OpenTelemetry's instrumentation of the machine, the process and the interpreter."""


def instrumentations(path: Sequence[str]) -> set[str]:
    """Return the names of the installed instrumentations' entry points.

    Args:
        path: folders in which packages are installed, as in ``sys.path``.
    """
    return {name for name, _object in entry_points(path, INSTRUMENTATIONS)}


def entry_points(path: Sequence[str], *groups: str) -> Iterator[tuple[str, str]]:
    """Return the names and the objects of entry points.

    Args:
        path: folders in which packages are installed, as in ``sys.path``.
        groups: the groups of the entry points.
    """
    for folder in path:
        for file in _files(folder):
            yield from _entries(file, groups)


def _files(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.name.endswith((".dist-info", ".egg-info")):
                    yield f"{entry.path}/entry_points.txt"
    except OSError:
        return  # not a folder, such as the standard library's archive


def _entries(file: str, groups: Sequence[str]) -> Iterator[tuple[str, str]]:
    try:
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123 -- pathlib is not loaded
            lines = [line.strip() for line in opened]
    except OSError:
        return  # the package has none
    group = ""
    for line in lines:
        if line.startswith("["):
            group = line.strip("[]")
        elif group in groups:
            name, equals, reference = line.partition("=")
            if equals:
                yield name.strip(), reference.strip()
