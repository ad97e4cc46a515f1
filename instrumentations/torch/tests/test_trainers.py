"""Beside transformers' Trainer and Lightning: they train as without, and a step is measured once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import ROOT, clean_environment
from harness._packages import environment_with

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.since_torch("2.6", "transformers needs it"),
    pytest.mark.parametrize("accumulate", [1, 3]),
    pytest.mark.parametrize("library", ["transformers", "lightning"]),
]
_PROGRAM = ROOT / "instrumentations" / "torch" / "tests" / "programs" / "trainers.py"
_PACKAGES = {"transformers": ("transformers", "accelerate"), "lightning": ("pytorch-lightning",)}


def _trained(tmp_path: Path, library: str, *arguments: str) -> tuple[dict[str, Any], str]:
    """Return what the program printed, and its stderr."""
    packages = environment_with(*_PACKAGES[library], without="torch")["PYTHONPATH"]
    path = os.pathsep.join([str(ROOT / "tests"), packages])
    done = subprocess.run(
        [sys.executable, str(_PROGRAM), library, *arguments],
        env=clean_environment(PYTHONPATH=path, HF_HUB_OFFLINE="1"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = (each for each in done.stdout.splitlines() if each.startswith('{"losses"'))
    return json.loads(line), done.stderr


def test_a_training_is_as_without_and_measured_once(
    torch: Any, tmp_path: Path, library: str, accumulate: int
) -> None:
    plain, _ = _trained(tmp_path, library, str(accumulate))
    patched, errors = _trained(tmp_path, library, str(accumulate), "instrumented")
    assert len(plain["losses"]) >= plain["steps"] == 12 / accumulate
    assert len(set(plain["losses"])) > 2
    assert patched == plain, "the same losses, weights, steps and figures of its own"

    found = json.loads(errors.splitlines()[-1])
    steps = 12 / accumulate
    # accelerate fetches a batch ahead: the last step of each of the two epochs waits for none.
    waits = steps - 2 if (library, accumulate) == ("transformers", 1) else steps
    assert found["counts"] == {
        "step.duration": steps,
        "data_wait.duration": waits,
        "backward.duration": 12,
        "optimizer.duration": steps,
        "samples": 48,
        "rate": steps,
    }
    assert found["spans"]["training Tiny"] == 12
    assert sum(count for name, count in found["spans"].items() if name.startswith("inference ")) >= 2
    assert set(found["spans"]) == {"training Tiny", "inference Tiny"}
    assert (found["violations"], found["errors"]) == ([], [])
