"""A Linux kernel of a test's own, as a process: its cgroups can be mounted as a test needs them.

It sees this machine's files, and cannot write to them. What uses up its memory leaves that of the machine alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from harness._contract import ROOT

MEMORY = "768M"
INIT = Path(__file__).with_name("user_mode_linux.sh")


def run_tests(cgroups: Literal["v1", "v2", "both"], tests: Sequence[str], timeout: float) -> str:
    """Run tests there, and return what pytest and the kernel have written; skip the test if there is no such kernel.

    Args:
        cgroups: version 1, version 2, or both: then the processes are in version 2.
        tests: words of pytest's command line.
        timeout: in seconds.
    """
    kernel = shutil.which("linux.uml")
    if kernel is None:
        pytest.skip("needs a kernel of its own: apt install user-mode-linux")
    command = [
        kernel,
        f"mem={MEMORY}",
        *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet"),
        *("con=null", "con0=null,fd:1", "console=tty0"),
        # The rest is the environment of the first process.
        *(f"init={INIT}", f"CGROUPS={cgroups}", f"ROOT={ROOT}", f"PYTHON={sys.executable}"),
        f"TESTS={','.join(tests)}",
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            return process.communicate(timeout=timeout)[0].decode(errors="replace")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
