"""Where a store's binaries are: in the cache folder by what they were built from, or on PATH."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from sandscope._stores._catalogue import Store

BUILD_FLAGS = ("-mod=readonly", "-trimpath", "-ldflags=-s -w")


def built_folder(store: Store, module: Path) -> Path:
    """Return the cache folder of a store's binaries, whether they are there or not.

    Its name is the hash of the inputs. Go's own version is not among them: the binaries must be found where
    no Go is installed, and a newer Go is no reason to compile for twenty minutes.

    Args:
        store: the store.
        module: the folder with its `go.mod` and `go.sum`.
    """
    digest = hashlib.sha256()
    for part in ((module / "go.mod").read_bytes(), (module / "go.sum").read_bytes()):
        digest.update(hashlib.sha256(part).digest())
    digest.update(repr((store.packages, BUILD_FLAGS, sys.platform, platform.machine())).encode())
    return _cache_folder() / "stores" / store.name / digest.hexdigest()[:32]


def find_binary(store: Store, configuration: Path) -> Path | None:
    """Return the file that runs a store, or nothing when it is neither built nor installed."""
    if not store.packages:
        found = shutil.which(store.binary)
        return Path(found) if found else None
    path = built_folder(store, configuration / store.name) / store.binary
    return path if path.is_file() else None


def remedy(store: Store) -> str:
    """Return the command that gets a store which `find_binary` does not find."""
    return store.hint or f"sandscope stores build {store.name}"


def version(store: Store, configuration: Path) -> str:
    """Return a store's version: the pinned module's, or what the installed binary says; "" if unknown."""
    if store.packages:
        required = (configuration / store.name / "go.mod").read_text()
        modules = re.findall(r"^(?:require )?\t?(\S+) (v\S+)$", required, re.MULTILINE)
        return next((number for name, number in modules if store.packages[0].startswith(name + "/")), "")
    binary = find_binary(store, configuration)
    if binary is None:
        return ""
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"version (\d\S*)", done.stdout + done.stderr)
    return f"v{found.group(1)}" if found else ""


def _cache_folder() -> Path:
    if own := os.environ.get("SANDSCOPE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sandscope"
