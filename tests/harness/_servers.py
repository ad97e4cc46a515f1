"""A server of other software, as a process."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness._sink import PATIENCE, wait_until


@contextmanager
def serving(command: Sequence[str], port: int) -> Iterator[None]:
    """Run a server until the block ends, which begins when it listens on a port of this machine."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert wait_until(lambda: _listens(port) or process.poll() is not None)
            assert process.poll() is None, process.stderr and process.stderr.read()
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
