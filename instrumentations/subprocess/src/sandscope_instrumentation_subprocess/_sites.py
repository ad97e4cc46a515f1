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
            return _site(_SHELL_NAME, True)
        executable = args[0] if isinstance(args, (list, tuple)) and args else args
    if not isinstance(executable, (str, bytes, os.PathLike)):
        return _site(None, shell)
    return _site_of_path(os.fspath(executable), shell)


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
