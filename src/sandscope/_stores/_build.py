"""Compile the stores from the Go modules that the configuration pins."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from sandscope._errors import SandscopeError
from sandscope._stores._binaries import BUILD_FLAGS, built_folder
from sandscope._stores._catalogue import Store
from sandscope._stores._go import ENVIRONMENT, find_go
from sandscope._stores._progress import Progress


def build(stores: Iterable[Store], configuration: Path, progress: Progress) -> list[Path]:
    """Compile those stores that are not in the cache folder yet.

    Args:
        stores: which; those that come from the system's packages are passed over.
        configuration: the folder with ``<store>/go.mod`` and ``go.sum``.
        progress: where to say how far it is.

    Returns:
        The folder of binaries of each store.

    Raises:
        SandscopeError: when Go is missing or too old, or does not compile a store.
    """
    wanted = [store for store in stores if store.packages]
    folders = []
    for number, store in enumerate(wanted, 1):
        folder = built_folder(store, configuration / store.name)
        if not folder.is_dir():
            _compile(
                store,
                configuration / store.name,
                folder,
                progress,
                f"{store.name} ({number} of {len(wanted)})",
            )
        folders.append(folder)
    return folders


def _compile(store: Store, module: Path, folder: Path, progress: Progress, title: str) -> None:
    go = find_go(module)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    log = folder.with_suffix(".log")
    progress.say(f"building {title}: minutes the first time, nothing after")
    start = time.monotonic()
    try:
        command = [str(go), "build", "-v", *BUILD_FLAGS, "-o", f"{unfinished}{os.sep}", *store.packages]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=module,
                env=os.environ | ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        _follow(process, log, progress, title)
        if process.returncode:
            raise SandscopeError(
                f"Cannot build {store.name!r}: `go build` ended with {process.returncode}:\n"
                f"{_complaint(log)}\nRead all of it in {log}."
            )
        unfinished.chmod(0o755)
        _publish(unfinished, folder)
        log.unlink(missing_ok=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    progress.say(f"built {title} in {time.monotonic() - start:.0f} s: {folder}")


def _follow(process: subprocess.Popen[bytes], log: Path, progress: Progress, title: str) -> None:
    """Show how far a build is until it ends; end it when interrupted."""
    start = time.monotonic()
    try:
        while True:
            try:
                process.wait(timeout=1)
                return
            except subprocess.TimeoutExpired:
                lines = log.read_text(errors="replace").splitlines()
                packages = sum(1 for line in lines if " " not in line)
                last = lines[-1] if lines else "looking at what is cached"
                progress.tick(
                    f"building {title}: {time.monotonic() - start:.0f} s, {packages} packages, {last}"
                )
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)  # go then removes its own temporary files
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _complaint(log: Path) -> str:
    """Return what Go said, without the names of packages that went well."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join([line for line in lines if " " in line and not line.startswith("go: downloading")][-20:])


def _publish(unfinished: Path, folder: Path) -> None:
    """Move a finished build to its place in one step; another process may have been faster."""
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
