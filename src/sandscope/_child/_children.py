"""What child processes get by `SANDSCOPE_CHILDREN`: the trace context, and instrumentation of Python children."""

from __future__ import annotations

import os

from sandscope import _settings

_PACKAGE = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120 -- pathlib is slow
FOLDER = os.path.join(_PACKAGE, "_start", "python_path")  # noqa: PTH118
"""The folder that instruments each Python program which has it in ``PYTHONPATH``."""

COLD_START_VARIABLE = "SANDSCOPE_COLD_START"
"""Asks a Python child to tell when its interpreter is ready. `FOLDER` removes it before the program begins."""

_UPSTREAM = os.path.join("opentelemetry", "instrumentation", "auto_instrumentation")  # noqa: PTH118
"""The end of the folder that ``opentelemetry-instrument`` adds."""


def children_continue_trace() -> bool:
    """Return whether child processes get the trace context."""
    return _settings.children() != "off"


def python_path_of_child(value: str) -> str:
    """Return the ``PYTHONPATH`` of a child, by ``SANDSCOPE_CHILDREN``.

    A Python child starts the light way, also if ``opentelemetry-instrument`` started this program.

    Args:
        value: the variable's value for the child without Sandscope.
    """
    entries = value.split(os.pathsep)
    kept = [entry for entry in entries if entry != FOLDER and not entry.endswith(_UPSTREAM)]
    if len(kept) == len(entries):
        return value
    return os.pathsep.join([FOLDER, *kept] if _settings.children() == "continue" else kept)


def instruments_python(value: str) -> bool:
    """Return whether Python programs are instrumented that a program starts.

    Args:
        value: the variable ``PYTHONPATH`` of the program.
    """
    return FOLDER in python_path_of_child(value).split(os.pathsep)


def python_path_with_sandscope(value: str) -> str:
    """Return a ``PYTHONPATH`` that instruments a program.

    Args:
        value: the variable's value without Sandscope; may be empty.
    """
    entries = [entry for entry in value.split(os.pathsep) if entry not in {"", FOLDER}]
    return os.pathsep.join([FOLDER, *entries])
