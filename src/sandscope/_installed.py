"""Finds installed instrumentations without `importlib.metadata`, which takes longer than an interpreter to start."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_GROUP = "[opentelemetry_instrumentor]"

SYSTEM_METRICS = "system_metrics"
"""The name of OpenTelemetry's instrumentation of the machine, the process and the interpreter."""


def instrumentations(path: Sequence[str]) -> set[str]:
    """Return the names of the installed instrumentations' entry points.

    Args:
        path: folders in which packages are installed, as in ``sys.path``.
    """
    return {name for folder in path for file in _entry_points(folder) for name in _names(file)}


def _entry_points(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.name.endswith((".dist-info", ".egg-info")):
                    yield f"{entry.path}/entry_points.txt"
    except OSError:
        return  # not a folder, such as the standard library's archive


def _names(file: str) -> Iterator[str]:
    try:
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123 -- pathlib is not loaded
            lines = [line.strip() for line in opened]
    except OSError:
        return  # the package has none
    if _GROUP not in lines:
        return
    for line in lines[lines.index(_GROUP) + 1 :]:
        if line.startswith("["):
            return
        name, equals, _object = line.partition("=")
        if equals:
            yield name.strip()
