"""Environments beside the one that the tests run in, with other versions of what we depend on."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from harness._contract import ROOT
from harness._requires import lacking
from sandscope_collector.stores import cache_folder

_UV = Path(sys.executable).with_name("uv")
_TOOLS = ("hypothesis", "pytest", "pyyaml")
"""What the tests need beside; the versions are those that are here."""


def environment(
    requirements: Iterable[str],
    python: str | Path = sys.executable,
    fail: Callable[[str], NoReturn] = lacking,
) -> Path:
    """Return the Python of an environment in the cache, made once, that finds our packages where they are.

    Args:
        requirements: what is installed, with versions.
        python: an interpreter.
        fail: called with the reason if it cannot be made.
    """
    wanted = [*requirements, *(f"{tool}=={version(tool)}" for tool in _TOOLS)]
    made_of = repr((sys.version, str(ROOT), str(python), wanted)).encode()
    path = cache_folder() / "environments" / hashlib.sha256(made_of).hexdigest()[:16]
    made = path / "bin" / "python"
    if not (path / "ready").is_file():
        shutil.rmtree(path, ignore_errors=True)
        for arguments in (["venv", "--python", python, path], ["pip", "install", "--python", made, *wanted]):
            run = subprocess.run([_UV, "--quiet", *arguments], capture_output=True, text=True, check=False)
            if run.returncode:
                fail(f"Cannot install {wanted}: {run.stderr[-500:]}. Connect to a package index.")
        (path / "ready").touch()
    (packages,) = path.glob("lib/python3*/site-packages")
    # Not installed: that would compile in the source folder, which other tests run from.
    ours = (
        ROOT / "src",
        ROOT / "collector-config" / "src",
        *sorted((ROOT / "instrumentations").glob("*/src")),
    )
    (packages / "ours.pth").write_text("\n".join(str(folder) for folder in ours))
    for metadata in Path(sysconfig.get_path("purelib")).glob("sandscope*.dist-info"):
        shutil.copytree(metadata, packages / metadata.name, dirs_exist_ok=True)
    return made
