"""Compile the stores from the Go modules that the configuration pins."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from sandscope_collector.stores._binaries import BUILD_FLAGS, built_folder
from sandscope_collector.stores._catalogue import Store
from sandscope_collector.stores._go import find_go
from sandscope_collector.stores._go_command import GoCommandError, run_go
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
        module = configuration / store.name
        folder = built_folder(store, module)
        if not folder.is_dir():
            _compile(store, module, folder, progress, f"{store.name} ({number} of {len(compiled)})")
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
        arguments = ("build", "-v", *BUILD_FLAGS, "-o", f"{unfinished}{os.sep}", *store.packages)
        run_go(go, arguments, module, log=log, progress=progress, title=title)
        unfinished.chmod(0o755)
        _publish(unfinished, folder)
        log.unlink(missing_ok=True)
    except GoCommandError as error:
        raise StoresError(
            f"Cannot build {store.name!r}: {error}\nRead the whole output in '{log}'."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    progress.say(f"built {title} in {time.monotonic() - start:.0f} s: {folder}")


def _publish(unfinished: Path, folder: Path) -> None:
    """Move a finished build into place in one step; another process may have built the same first."""
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
