"""Work in a forked child."""

from __future__ import annotations

import os
import pickle
import select
import signal
import warnings
from collections.abc import Callable
from typing import Any

import pytest

if not hasattr(os, "fork"):
    pytest.skip("there is no fork here", allow_module_level=True)


def in_child(work: Callable[[], object], seconds: float = 20.0) -> Any:
    """Return what `work` returns in a forked child."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads
        pid = os.fork()
    if pid == 0:
        try:
            os.write(write, pickle.dumps(work()))
        except BaseException as error:  # noqa: BLE001 -- told to the parent
            os.write(write, pickle.dumps(repr(error)))
        finally:
            os._exit(0)
    os.close(write)
    try:
        if not select.select([read], [], [], seconds)[0]:
            os.kill(pid, signal.SIGKILL)
            pytest.fail("the child hangs")
        return pickle.loads(os.read(read, 65536))  # noqa: S301 -- from ourselves
    finally:
        os.close(read)
        os.waitpid(pid, 0)
