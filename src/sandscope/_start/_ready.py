"""Tells the parent process that the interpreter is ready: the end of a cold start.

Imports only modules that every interpreter has loaded.
"""

from __future__ import annotations

import os
import time


def tell_ready(question: str) -> None:
    """Write the time to the parent's pipe, if the parent has asked this process. Never raises.

    Args:
        question: the pipe as a file in the parent's ``/proc`` folder, what that file is a link to, and a token.
    """
    now = time.perf_counter_ns()  # the same clock as in the parent
    try:
        file, pipe, token = question.split(" ")
        # An exec or another child may have inherited the variable; the program may have reused the descriptor.
        if not file.startswith(f"/proc/{os.getppid()}/fd/") or os.readlink(file) != pipe:  # noqa: PTH115
            return
        descriptor = os.open(file, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"{token} {now}\n".encode())
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return  # another user or namespace, or the parent has ended
