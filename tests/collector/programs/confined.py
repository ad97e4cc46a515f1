"""One child in a cgroup of its own, where this program can make one, and one in the program's."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

top = next(path for path in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if path.exists())
folder = top / f"sandscope-test-{os.getpid()}"


def enter() -> None:
    """Enter the cgroup."""
    with suppress(OSError):
        (folder / "cgroup.procs").write_text("0")


with suppress(OSError):
    folder.mkdir()
subprocess.run(["sleep", "0.5"], preexec_fn=enter, check=True)
subprocess.run(["sleep", "0.5"], check=True)
with suppress(OSError):
    folder.rmdir()
