"""Build the source distributions, and from them the wheels for every platform, into a folder.

The Collector is compiled by Go, and the extension by Zig's C compiler: both compile for any platform on any machine.

Usage: python -m release.build [--out dist] [--platform linux-x86_64 ...] [--python 3.11 ...]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from release.platforms import PLATFORMS, PYTHONS, Platform

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
INSTRUMENTATIONS = tuple(path.parent for path in sorted(ROOT.glob("instrumentations/*/pyproject.toml")))


class ReleaseError(Exception):
    """Something cannot be built or is not right; the message says what, and what to do."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Build what the command line names; by default, everything."""
    parser = argparse.ArgumentParser(prog="make wheels", description="Build the wheels of all platforms.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where to write them (default: dist)")
    parser.add_argument("--platform", action="append", choices=[each.name for each in PLATFORMS])
    parser.add_argument("--python", action="append", choices=PYTHONS)
    chosen = parser.parse_args(arguments)
    platforms = [each for each in PLATFORMS if each.name in (chosen.platform or [each.name])]
    missing = [version for version in chosen.python or PYTHONS if find_python(version) is None]
    pythons = [version for version in chosen.python or PYTHONS if version not in missing]
    started = time.monotonic()
    try:
        for wheel in build(chosen.out, platforms, pythons):
            print(f"{time.monotonic() - started:5.0f} s  {wheel.name}", flush=True)
    except ReleaseError as error:
        sys.exit(str(error))
    if missing:
        named = " ".join(missing)
        print(f"Left out: Python {named}. Run `uv python install {named}`, then again.")


def build(out: Path, platforms: Sequence[Platform], pythons: Sequence[str]) -> Iterator[Path]:
    """Build everything, and yield each file when it is there.

    Args:
        out: the folder for the files.
        platforms: those that get wheels with compiled parts.
        pythons: the versions that get wheels with the extension.

    Raises:
        ReleaseError: if something cannot be built; with the end of what the build said.
    """
    zig = find_zig()
    sdist = build_sdist(ROOT, out)
    yield sdist
    for folder in INSTRUMENTATIONS:
        source = build_sdist(folder, out)
        yield source
        yield build_wheel(source, out)
    for platform in platforms:
        for version in pythons:
            yield build_extension(sdist, out, platform, version, zig)
    collector = build_sdist(ROOT / "collector-config", out)
    yield collector
    for platform in platforms:
        yield build_wheel(ROOT / "collector-config", out, environment=platform.environment)


def build_sdist(project: Path, out: Path) -> Path:
    """Return a project's source distribution."""
    return _uv_build(project, out, "--sdist")


def build_wheel(source: Path, out: Path, environment: Mapping[str, str] | None = None) -> Path:
    """Return the wheel of a folder or a source distribution."""
    return _uv_build(source, out, "--wheel", environment=environment)


def build_extension(sdist: Path, out: Path, platform: Platform, version: str, zig: Path) -> Path:
    """Return the wheel of `sandscope` with its extension, for one platform and one Python.

    Args:
        sdist: the source distribution.
        out: the folder for the wheel.
        platform: what to compile for.
        version: of Python, such as 3.11; an interpreter of this machine has its headers.
        zig: the compiler.
    """
    python = find_python(version)
    if python is None:
        raise ReleaseError(f"Cannot find Python {version}. Run `uv python install {version}`.")
    compiler = f"{zig} cc -target {platform.zig}"
    # What setuptools and CPython read when an extension is compiled for another platform.
    environment = {
        "CC": compiler,
        "LDSHARED": " ".join([compiler, "-shared", *platform.link]),
        "CFLAGS": "-O3 -DNDEBUG -fwrapv -Wall -g0",
        "LDFLAGS": "",
        "_PYTHON_HOST_PLATFORM": platform.python,
        "SETUPTOOLS_EXT_SUFFIX": f".cpython-{version.replace('.', '')}-{platform.extension}",
    }
    tag = f"--config-setting=--build-option=--plat-name={platform.tag}"
    wheel = _uv_build(sdist, out, "--wheel", "--python", str(python), tag, environment=environment)
    # An installation without a compiler goes without the extension; a release does not.
    with zipfile.ZipFile(wheel) as inside:
        if not any(name.endswith(platform.extension) for name in inside.namelist()):
            wheel.unlink()
            raise ReleaseError(
                f"Cannot compile the extension for {platform.name} and Python {version}. "
                f"Run `{compiler} --version`: does it run?"
            )
    return wheel


def find_python(version: str) -> Path | None:
    """Return this machine's interpreter of a version, or None."""
    command = [_uv(), "python", "find", "--no-project", "--no-python-downloads", version]
    places = [str(path) for path in Path.home().glob(".pyenv/versions/3.*/bin")]
    environment = os.environ | {"PATH": os.pathsep.join([*places, os.environ["PATH"]])}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def find_zig() -> Path:
    """Return the compiler that the dependency group ``wheels`` installs.

    Raises:
        ReleaseError: if it is not installed.
    """
    package = find_spec("ziglang")
    if package is None or package.origin is None:
        raise ReleaseError("Cannot find Zig's C compiler: the package ziglang is missing. Run `make wheels`.")
    return Path(package.origin).with_name("zig")


def _uv() -> str:
    return str(Path(sysconfig.get_path("scripts")) / "uv")


def _uv_build(source: Path, out: Path, *options: str, environment: Mapping[str, str] | None = None) -> Path:
    # What builds is pinned like everything else.
    command = [_uv(), "build", "--build-constraints", str(LOCK), "--require-hashes", *options]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        done = subprocess.run(
            [*command, "--out-dir", folder, str(source)],
            env=os.environ | dict(environment or {}),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        built = [path for path in Path(folder).iterdir() if path.suffix in {".whl", ".gz"}]
        if done.returncode or len(built) != 1:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
            raise ReleaseError(f"Cannot build {source.name} ({' '.join(options)}):\n{said}")
        return built[0].replace(out / built[0].name)


if __name__ == "__main__":
    main()
