"""The site of a child: what is known before it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from opentelemetry.semconv._incubating.attributes.process_attributes import PROCESS_EXECUTABLE_NAME
from opentelemetry.trace import SpanKind

from sandscope.instrumentation import Site, Value, Verdict
from sandscope_instrumentation_subprocess._languages import LANGUAGE, language_of

SHELL = "sandbox.process.shell"
SPAWN_FAILED = Verdict("IE", "host", "ie_supervisor_failure")
STILL_RUNNING = Verdict("IE", "unknown", "ie_still_running")

_SHELL_NAME = "sh"
_UNKNOWN_NAME = "process"
_MAX_NAME_LENGTH = 64


def site_of(args: Any, executable: Any, *, shell: bool) -> Site:
    """Return the site of a program.

    Args:
        args: as given to ``Popen``; an iterator is not read, as that is possible only once.
        executable: as given to ``Popen``.
        shell: as given to ``Popen``.
    """
    if executable is None:
        if shell:
            return SHELL_SITE
        executable = args[0] if isinstance(args, (list, tuple)) and args else args
    if not isinstance(executable, (str, bytes, os.PathLike)):
        return _site(None, shell)
    return _site_of_path(os.fspath(executable), shell)


def executable_name(executable: Any) -> str:
    """Return the file name of a program; empty if it is not known."""
    name = site_of(None, executable, shell=False).attributes.get(PROCESS_EXECUTABLE_NAME)
    return name if isinstance(name, str) else ""


def message_of(error: BaseException) -> str:
    """Return a message without the error's own text, which may contain arguments, paths and other objects."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"[Errno {error.errno}] {os.strerror(error.errno)}"
    return type(error).__qualname__


def _verdict_of_error(_error: BaseException) -> Verdict:
    return SPAWN_FAILED


def _new(name: str, attributes: dict[str, Value], language: str | None = None) -> Site:
    return Site(
        "subprocess",
        "process",
        name,
        SpanKind.CLIENT,
        attributes,
        _verdict_of_error,
        current=False,  # the child is another process, and Popen returns before it ends
        metric_attributes=_of_language(language),
    )


# One object for each language: recorders compare them by identity.
@cache
def _of_language(language: str | None) -> Mapping[str, str]:
    return {} if language is None else {LANGUAGE: language}


UNKNOWN = _new(_UNKNOWN_NAME, {})
"""The site of a child of which nothing is known."""


# Two caches: many paths may end in the same name, and recorders keep data for each site object.
@lru_cache(maxsize=256)
def _site_of_path(executable: str | bytes, shell: bool) -> Site:
    path = os.fsdecode(executable)
    if "\0" in path or any(map(str.isspace, path)):
        return _site(None, shell)  # it may be a command line, with arguments
    name = os.path.basename(path)  # noqa: PTH119 -- bytes and undecodable names as well
    return _site(name.encode("utf-8", "replace").decode()[:_MAX_NAME_LENGTH], shell)


@lru_cache(maxsize=256)
def _site(name: str | None, shell: bool) -> Site:
    attributes: dict[str, Value] = {SHELL: shell}
    if name:
        attributes[PROCESS_EXECUTABLE_NAME] = name
    return _new(name or _UNKNOWN_NAME, attributes, language_of(name or ""))


SHELL_SITE = _site(_SHELL_NAME, True)
