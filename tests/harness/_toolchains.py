"""Compile guests from source, with toolchains from packages; both are kept in the cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from harness._contract import ROOT
from harness._requires import lacking
from sandscope_collector.stores import cache_folder

_TIMEOUT = 600
"""Seconds that a package or a compiler may take."""
_CACHE = cache_folder() / "guests"

Command = Callable[[Path], Sequence[str | Path]]
"""Returns the command that creates a given file."""


def packaged_toolchains() -> Path:
    """Return the folder in which the packages of the dependency group ``guests`` are installed."""
    project = ROOT / "pyproject.toml"
    (group,) = re.findall(r"^guests = (\[[^]]*\])", project.read_text(), re.MULTILINE)
    uv = Path(sys.executable).with_name("uv")

    def install(folder: Path) -> None:
        command: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", sys.executable]
        _run([*command, "--target", folder, "--group", f"{project}:guests"], folder)

    try:
        return _cached(_digest(group, sys.version), install)
    except (OSError, subprocess.SubprocessError) as error:
        lacking(f"Cannot install {group} for the guests: {error}. Is there a network?")


def node_package(requirement: str) -> Path:
    """Return the folder in which an npm package is installed; skip the test if there is no npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, of Node.js")
    command: list[str | Path] = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix"]
    try:
        return _cached(_digest(requirement), lambda folder: _run([*command, folder, requirement], folder))
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"npm cannot install {requirement}: {error}")


def rust_target(target: str) -> str:
    """Add a Rust target, and return the compiler; skip the test if there is no rustup."""
    rustup, rustc = shutil.which("rustup"), shutil.which("rustc")
    if rustup is None or rustc is None:
        pytest.skip("needs rustup, from https://rustup.rs")
    try:
        _run([rustup, "target", "add", target], Path.cwd())
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"rustup cannot add {target}: {error}")
    return rustc


def compiled(name: str, sources: Sequence[Path], command: Command, **environment: str) -> Path:
    """Return a guest's binary.

    Args:
        name: the name of the file.
        sources: the source files; a change has it compiled again. The command runs in the folder of the first.
        command: returns the compiler's command.
        environment: environment variables for the command, in addition to those of this process.
    """
    contents = [source.read_text() for source in sources]
    words = [str(word) for word in command(Path(name))]

    def compile_(folder: Path) -> None:
        _run(command(folder / name), sources[0].parent, environment)

    return _cached(_digest(*contents, *words), compile_) / name


def _run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(
        command,
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        said = f"{done.stdout}{done.stderr}"[-2000:]
        raise subprocess.SubprocessError(f"{Path(command[0]).name} ended with {done.returncode}: {said}")


def _digest(*parts: str) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _cached(key: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, made in one step, and by one process, if it is not there."""
    folder = _CACHE / key
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f".{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        unfinished = Path(tempfile.mkdtemp(prefix=".making-", dir=_CACHE))
        try:
            make(unfinished)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder
