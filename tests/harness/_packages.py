"""Packages that a test's program runs beside, in folders of their own: they are in no other environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness._cache import cached, digest, run_command
from harness._contract import ROOT
from harness._requires import lacking

_LOCK = ROOT / "requirements.lock"


def environment_with(*requirements: str, without: str | None = None) -> dict[str, str]:
    """Return the variable that adds packages to the environment of a program: ``PYTHONPATH``.

    Args:
        requirements: what pip would install. `requirements.lock` decides the versions of what it pins.
        without: a package that they depend on and that the environment of the tests has, such as a large one.
    """
    uv = Path(sys.executable).with_name("uv")

    def install(folder: Path) -> None:
        command: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", sys.executable]
        if without is not None:  # An override for a Python that does not exist leaves it out.
            left_out = folder / "left_out.txt"
            left_out.write_text(f"{without} ; python_version < '3'\n")
            command += ["--override", left_out]
        run_command([*command, "--target", folder, "--override", _LOCK, *requirements], folder)

    try:
        folder = cached(
            "beside",
            digest(*requirements, *([without] if without else []), sys.version, _LOCK.read_text()),
            install,
        )
    except (OSError, subprocess.SubprocessError) as error:
        lacking(f"Cannot install {', '.join(requirements)}: {error}. Is there a network?")
    return {"PYTHONPATH": str(folder)}
