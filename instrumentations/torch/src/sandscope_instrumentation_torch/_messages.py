"""Messages of exceptions without folders: of a path only the last part is recorded."""

from __future__ import annotations

import os
import re

_QUOTED = re.compile(r"""(['"`])([^'"`\n]*[/\\][^'"`\n]*)\1""")
_PATH = re.compile(
    r"""(?<![\w/\\])(?:
        (?:[A-Za-z]:|~|\.{1,2}|\w+:/)?[/\\][^\s'"`]*  # absolute, of a home, relative to here, or a URL
        | [\w.\-]+(?:[/\\][\w.\-]+){2,}               # of three parts or more
        | [\w.\-]+[/\\][\w\-]+\.\w+                   # of two parts, of which the second has an extension
    )""",
    re.VERBOSE,
)


def message_without_folders(error: BaseException, *paths: str) -> str:
    """Return the message of an exception, with the last part of each path only.

    Args:
        error: the exception.
        paths: paths that the message may contain, however they look. Other paths are found by their separators.
    """
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 -- a program's class may do anything
        return ""
    known = [*paths, *(path for path in _paths_of(error) if path)]
    for path in sorted(known, key=len, reverse=True):
        message = message.replace(path, last_part(path))
    if "/" not in message and "\\" not in message:
        return message
    message = _QUOTED.sub(lambda found: f"{found[1]}{last_part(found[2])}{found[1]}", message)
    return _PATH.sub(lambda found: last_part(found[0]), message)


def last_part(path: str) -> str:
    """Return the last part of a path."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def _paths_of(error: BaseException) -> list[str]:
    if not isinstance(error, OSError):
        return []
    names = (error.filename, error.filename2)
    return [os.fsdecode(name) for name in names if isinstance(name, (str, bytes, os.PathLike))]
