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

from sandscope_collector.stores._binaries import BUILD_FLAGS, built_folder
from sandscope_collector.stores._catalogue import Store
from sandscope_collector.stores._go import find_go, go_environment
from sandscope_collector.stores._progress import Progress
from sandscope_collector.stores._stores_error import StoresError


def build(stores: Iterable[Store], configuration: Path, progress: Progress) -> list[Path]:
    """Compile the stores that are not yet in the cache folder.

    Args:
        stores: the stores to build; those that come from system packages are skipped.
        configuration: the folder with ``<store>/go.mod`` and ``go.sum``.
        progress: where to report progress.

    Returns:
        The folder with the binaries of each store.

    Raises:
        StoresError: if Go is missing or too old, or if a store does not compile.
    """
    compiled = [store for store in stores if store.packages]
    folders = []
    for number, store in enumerate(compiled, 1):
        folder = built_folder(store, configuration / store.name)
        if not folder.is_dir():
            _compile(
                store,
                configuration / store.name,
                folder,
                progress,
                f"{store.name} ({number} of {len(compiled)})",
            )
        folders.append(folder)
    return folders


def _compile(store: Store, module: Path, folder: Path, progress: Progress, title: str) -> None:
    go = find_go(module)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    log = folder.with_suffix(".log")
    progress.say(f"building {title}: this takes minutes, once")
    start = time.monotonic()
    try:
        command = [str(go), "build", "-v", *BUILD_FLAGS, "-o", f"{unfinished}{os.sep}", *store.packages]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=module,
                env=go_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        _follow(process, log, progress, title)
        if process.returncode:
            raise StoresError(
                f"Cannot build {store.name!r}: `go build` exited with code {process.returncode}:\n"
                f"{_errors(log)}\nRead the whole output in '{log}'."
            )
        unfinished.chmod(0o755)
        _publish(unfinished, folder)
        log.unlink(missing_ok=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    progress.say(f"built {title} in {time.monotonic() - start:.0f} s: {folder}")


def _follow(process: subprocess.Popen[bytes], log: Path, progress: Progress, title: str) -> None:
    """Report the progress of a build until it ends; stop it when interrupted."""
    start = time.monotonic()
    try:
        while True:
            try:
                process.wait(timeout=1)
                return
            except subprocess.TimeoutExpired:
                lines = log.read_text(errors="replace").splitlines()
                packages = sum(1 for line in lines if " " not in line)
                last = lines[-1] if lines else "checking Go's cache"
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


def _errors(log: Path) -> str:
    """Return the end of the output of Go, without the names of the packages that it compiled."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join([line for line in lines if " " in line and not line.startswith("go: downloading")][-20:])


def _publish(unfinished: Path, folder: Path) -> None:
    """Move a finished build into place in one step; another process may have built the same first."""
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
