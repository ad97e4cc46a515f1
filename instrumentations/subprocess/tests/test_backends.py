"""Which features of the kernel confine children, and are used to observe them."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import Any

import pytest

from harness import lacking


def modes(ended: Any) -> dict[str, float]:
    """Return the number of children by the way in which their exit was observed."""
    return {a["sandbox.pidfd.mode"]: n for a, n in ended.telemetry.points("sandbox.backend.pidfd")}


def test_exits_are_observed_by_pidfds(ended: Any) -> None:
    if not hasattr(os, "pidfd_open"):
        lacking("pidfds need Linux 5.3")
    for _ in range(3):
        subprocess.Popen(["true"]).wait()
    ended.all(3)
    assert modes(ended) == {"native": 3}


def test_without_pidfds(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def pidfd_open(*_: Any) -> int:
        raise OSError(errno.ENOSYS, "no such system call")

    monkeypatch.setattr(os, "pidfd_open", pidfd_open, raising=False)
    subprocess.Popen(["true"]).wait()
    ended.one()
    assert modes(ended) == {"fallback": 1}


def test_a_child_that_could_not_start_is_not_counted(ended: Any) -> None:
    with pytest.raises(FileNotFoundError):
        subprocess.Popen(["/no/such/program"])
    ended.one()
    assert modes(ended) == {}
