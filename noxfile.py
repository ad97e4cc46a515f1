"""Run the tests in environments other than `.venv`: `make test-pythons` runs all sessions.

Tests that need torch, the stores or compilers for guests run in `make test` only.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""The versions that the packages support."""
CORE = ("tests/core", "tests/deferred")
PAGE = ("tests/store", "tests/view", "--ignore=tests/view/test_browser.py")
"""The local store and its page, without what needs Chromium."""
ALL = (
    *CORE,
    *PAGE,
    "tests/contract",
    "tests/ways",
    "instrumentations/subprocess",
    "instrumentations/wasmtime",
)
FIRST = (
    "tests/contract",
    "tests/ways/test_start_up.py",
    "tests/ways/test_three_ways.py",
    "instrumentations/subprocess/tests/test_popen_unchanged.py",
    "instrumentations/subprocess/tests/test_verdicts.py",
    "instrumentations/subprocess/tests/test_verdicts_limits.py",
    "instrumentations/subprocess/tests/test_verdicts_told.py",
    "instrumentations/wasmtime/tests/test_freed.py",
    "instrumentations/wasmtime/tests/test_unchanged.py",
    "instrumentations/wasmtime/tests/test_verdicts.py",
)
"""What breaks first with another version."""
IN_CI = os.environ.get("CI") == "true"
SELECTED = (*CORE, *FIRST) if IN_CI else ALL
"""CI runs what breaks first: all of them take about half an hour for each Python."""
QUICK = "not slow and not stores"
WITHOUT_GRPC = ("test_fork_exporters.py", "test_modes.py")
"""Tests that are skipped on a free-threaded Python, because gRPC does not support it."""

cache = Path(os.environ.get("SANDSCOPE_CACHE") or ROOT / ".nox")
nox.options.envdir = str(cache / "nox" / hashlib.sha256(str(ROOT).encode()).hexdigest()[:8])
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = False
# uv is installed beside nox. pyenv's own commands find only the selected version.
pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
places = [*pyenv.glob("versions/3.1*/bin"), Path(sys.executable).parent]
os.environ["PATH"] = os.pathsep.join([*map(str, places), os.environ["PATH"]])


def find(version: str) -> str | None:
    """Return the path of this machine's interpreter of a version, or None."""
    command = ["uv", "python", "find", "--system", "--no-python-downloads", version]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None


HERE = [version for version in PYTHONS if find(version)]
FREE_THREADED = find("3.14t") or find("3.13t")


def build(session: nox.Session, *packages: str) -> list[str]:
    """Build wheels from source distributions, so that they contain no files built in this checkout."""
    built = Path(session.create_tmp(), "built")
    shutil.rmtree(built, ignore_errors=True)
    for package in packages:
        options = ("--no-build-isolation", "--python", session.virtualenv.location, "--out-dir", str(built))
        session.run("uv", "build", "--quiet", *options, package, external=True)
    return sorted(map(str, built.glob("*.whl")))


def install(session: nox.Session) -> None:
    """Install what `requirements.lock` pins, and this project's packages from wheels, as users do."""
    session.install("--quiet", "--require-hashes", "-r", "requirements.lock")
    packages = (
        ".",
        *(str(file.parent) for file in Path("instrumentations").glob("*/pyproject.toml")),
        "collector-config",
    )
    session.install("--quiet", "--no-deps", "--reinstall", *build(session, *packages))


def run_tests(session: nox.Session, *arguments: str, **environment: str) -> None:
    """Run tests on all cores."""
    workers = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadgroup", "--no-loadscope-reorder")
    python = sys.executable if session.venv_backend == "none" else "python"
    session.run(
        python,
        "-m",
        "pytest",
        *workers,
        "-p",
        "no:cacheprovider",
        *(session.posargs or arguments),
        env=environment,
    )


@nox.session(python=HERE[0])
def oldest(session: nox.Session) -> None:
    """Run on the oldest Python with the oldest OpenTelemetry, wasmtime and store that the packages claim to support."""
    absent = [version for version in PYTHONS if version not in HERE]
    session.log(f"not on this machine and not tested: Python {', '.join(absent) or 'none'}")
    install(session)
    project = nox.project.load_toml("pyproject.toml")["project"]
    dependencies = project["dependencies"] + project["optional-dependencies"]["view"]
    wasmtime = nox.project.load_toml("instrumentations/wasmtime/pyproject.toml")
    dependencies += wasmtime["project"]["optional-dependencies"]["instruments"]
    at_least = (re.fullmatch(r"([a-z0-9-]+) ?>= ?([\d.]+\w*).*", dependency) for dependency in dependencies)
    found = {each[1]: each[2] for each in at_least if each}
    found.pop("starlette")  # the test client of the oldest one does not go with the anyio that is pinned
    session.install("--quiet", *(f"{name}=={version}" for name, version in found.items()))
    # Without backtraces: they contain the host's frames, so no two error messages would be the same.
    run_tests(session, *SELECTED, "-m", QUICK, "-k", "not (any_address or same_answer)", RUST_BACKTRACE="0")


@nox.session(python=HERE[-1])
def newest(session: nox.Session) -> None:
    """Run on the newest Python with what `requirements.lock` pins."""
    if session.python == "{}.{}".format(*sys.version_info):
        session.skip("`make test` runs on it")
    install(session)
    run_tests(session, *SELECTED, "-m", QUICK)


@nox.session(python=HERE, default=False)
def stdlib(session: nox.Session) -> None:
    """Run CPython's own tests of what is patched, with and without instrumentation: half an hour for each Python."""
    install(session)
    run_tests(session, "tests/ways/test_stdlib_suite.py", "-rP", SANDSCOPE_TEST_STDLIB="1")


@nox.session(python=HERE[0], default=False)
def oldest_torch(session: nox.Session) -> None:
    """Run the tests of torch with the oldest torch that is supported: an installation of 5 GB."""
    install(session)
    torch = nox.project.load_toml("instrumentations/torch/pyproject.toml")
    (oldest,) = torch["project"]["optional-dependencies"]["instruments"]
    session.install("--quiet", f"torch=={re.search(r'>= ([0-9.]+)', oldest)[1]}.*")
    run_tests(session, "instrumentations/torch", "-m", "not slow")


@nox.session(venv_backend="none")
def uncompiled(session: nox.Session) -> None:
    """Run the deferred recorder's tests in `.venv` with the Python code in place of the compiled code."""
    tests = CORE if IN_CI else (*CORE, "instrumentations/wasmtime")
    chosen = (*tests, "--ignore=tests/deferred/test_native.py", "-m", QUICK, "-k", "not direct")
    run_tests(session, *chosen, SANDSCOPE_RECORDER="python")


@nox.session(python=FREE_THREADED or "3.14t", download_python="never")
def free_threaded(session: nox.Session) -> None:
    """Run the recorder's tests without the GIL: counts stay exact when threads run in parallel."""
    packages = ("sdk", "exporter-otlp-proto-http", "exporter-prometheus", "instrumentation")
    names = ["hypothesis", "pytest", "pytest-xdist", "pyyaml", "setuptools", "wrapt"]
    names += [f"opentelemetry-{package}" for package in packages]
    session.install("--quiet", "--constraint", "requirements.lock", *names)
    session.install("--quiet", "--no-deps", "--no-build-isolation", "--reinstall", *build(session, "."))
    without = (f"--ignore=tests/deferred/{name}" for name in WITHOUT_GRPC)
    run_tests(session, *CORE, *without, PYTHON_GIL="0")
