"""Compiles guests by toolchains that packages carry; both stay in the cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness._contract import ROOT
from harness._requires import lacking

_TIMEOUT = 600
_CACHE = Path(
    os.environ.get("SANDSCOPE_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sandscope"),
    "guests",
)

Command = Callable[[Path], Sequence[str | Path]]
"""From the file to make to the command that makes it."""


def packaged_toolchains() -> Path:
    """Return the folder in which the packages of the group ``guests`` are installed."""
    requirements = _group("guests")
    hint = f"Cannot install {', '.join(requirements)} for the guests: "

    def install(unfinished: Path) -> None:
        uv = Path(sys.executable).with_name("uv")
        command = [uv, "pip", "install", "--quiet", "--target", unfinished, *requirements]
        _run(command, os.environ, hint)

    return _cached(f"tools-{_digest(*requirements, sys.version)}", install)


def compiled(name: str, sources: Sequence[Path], command: Command, environment: Mapping[str, str]) -> Path:
    """Return a guest's binary.

    Args:
        name: of the file.
        sources: files whose contents decide whether it is compiled once more; the first one's folder is
            where the command runs.
        command: makes it.
        environment: variables of the command besides those of this process.
    """
    contents = [source.read_bytes().decode() for source in sources]
    words = [str(word) for word in command(Path(name))]

    def build(unfinished: Path) -> None:
        variables = {**os.environ, **environment}
        _run(command(unfinished / name), variables, f"Cannot compile {name}: ", sources[0].parent)

    return _cached(_digest(*contents, *words), build) / name


def _cached(key: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, made in one step if it is not there."""
    folder = _CACHE / key
    if folder.is_dir():
        return folder
    _CACHE.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".making-", dir=_CACHE))
    try:
        make(unfinished)
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():  # another process was not faster, either
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder
