"""Find the binaries of a store: in the cache folder, by the inputs of their build, or on PATH."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from sandscope_collector.stores._catalogue import Store

BUILD_FLAGS = ("-mod=readonly", "-trimpath", "-ldflags=-s -w")


def built_folder(store: Store, module: Path) -> Path:
    """Return the folder in the cache for a store's binaries, whether they exist or not.

    Its name is the hash of the inputs. The version of Go is not one of them: the binaries must be found on a
    machine without Go, and a newer Go does not justify compiling for twenty minutes.

    Args:
        store: the store.
        module: the folder with its `go.mod` and `go.sum`.
    """
    digest = hashlib.sha256()
    for part in ((module / "go.mod").read_bytes(), (module / "go.sum").read_bytes()):
        digest.update(hashlib.sha256(part).digest())
    digest.update(repr((store.packages, BUILD_FLAGS, sys.platform, platform.machine())).encode())
    return cache_folder() / "stores" / store.name / digest.hexdigest()[:32]


def find_binary(store: Store, configuration: Path) -> Path | None:
    """Return the path of the binary of a store, or None if it is neither built nor installed."""
    if not store.packages:
        found = shutil.which(store.binary)
        return Path(found) if found else None
    path = built_folder(store, configuration / store.name) / store.binary
    return path if path.is_file() else None


def install_command(store: Store) -> str:
    """Return the command that builds or installs a store."""
    return store.installation or f"sandscope stores build {store.name}"


def version(store: Store, configuration: Path) -> str:
    """Return a store's version: that of the pinned module, or of the installed binary; "" if unknown."""
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


def cache_folder() -> Path:
    """Return the absolute path of the folder for everything that is built."""
    if chosen := os.environ.get("SANDSCOPE_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "sandscope"
