"""The oldest wasmtime that the instrumentation names: its tests pass with it, too.

The newest is what `requirements.lock` pins, and all other tests run with. What takes minutes is left to it: guests
of other languages, and guests that ask for anything.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import ROOT, clean_environment, lacking
from sandscope._stores._binaries import _cache_folder
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

UV = Path(sys.executable).with_name("uv")
TESTS = ROOT / "instrumentations" / "wasmtime" / "tests"
LEFT_OUT = "not (test_guests or same_answer)"
# Without the interpreter's own end: in wasmtime 40, the finalisers of stores that live until then may crash it.
RUN = "import os, pytest, sys; code = pytest.main(sys.argv[1:]); sys.stdout.flush(); os._exit(code)"


def _oldest() -> str:
    """Return the version that the supported range begins with."""
    (range_,) = WasmtimeInstrumentor.supported
    found = re.fullmatch(r"wasmtime >= (\d+), < \d+", range_)
    assert found is not None
    return found[1]


def _installed(version: str) -> Path:
    """Return a folder that has this wasmtime, and nothing else, made once."""
    digest = hashlib.sha256(repr((sys.version, version)).encode()).hexdigest()[:16]
    path = _cache_folder() / "oldest-wasmtime" / digest
    if not (path / "ready").is_file():
        shutil.rmtree(path, ignore_errors=True)
        command = [UV, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", path]
        run = subprocess.run(
            [*map(str, command), f"wasmtime=={version}.*"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if run.returncode:
            lacking(f"Cannot install wasmtime {version}: {run.stderr[-500:]}. Connect to a package index.")
        (path / "ready").touch()
    return path


@pytest.mark.slow
def test_the_instrumentations_tests_pass_with_it() -> None:
    version = _oldest()
    folder = _installed(version)
    environment = clean_environment(
        PYTHONPATH=os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))),
        PYTHONDONTWRITEBYTECODE="1",
        RUST_BACKTRACE="0",  # else its messages end with the host's own frames, and no two are the same
    )
    run = subprocess.run(
        [sys.executable, "-c", "from importlib.metadata import version; print(version('wasmtime'))"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.startswith(f"{version}."), "it is the one that is imported"
    tests = subprocess.run(
        [sys.executable, "-c", RUN, "-q", "-x", "-p", "no:cacheprovider", "-k", LEFT_OUT, TESTS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout[-5000:] + tests.stderr[-1000:]
