"""The pipe by which a process sends its telemetry through its parent.

Imports only modules that every interpreter has loaded, because each Python child of an instrumented program starts it.
"""

from __future__ import annotations

import os
import stat

VARIABLE = "SANDSCOPE_RELAY_PIPE"
"""Tells a child its end of the pipe: the file descriptor and the inode, as ``1024:81234``."""

_adopted: tuple[int, int] | None = None


def variable_for(descriptor: int) -> dict[str, str]:
    """Return the variable for the environment of a child that inherits a file descriptor of a pipe."""
    return {VARIABLE: f"{descriptor}:{os.fstat(descriptor).st_ino}"}


def adopt() -> None:
    """Take the pipe that the parent has given this process, if it has.

    The program does not see the variable, and its own children inherit neither the variable nor the pipe.
    """
    global _adopted  # noqa: PLW0603 -- one process
    if VARIABLE not in os.environ:
        return
    descriptor, _, inode = os.environ.pop(VARIABLE).partition(":")
    if not (descriptor.isdecimal() and inode.isdecimal() and len(descriptor) < 10):
        return
    given = int(descriptor), int(inode)
    if _is_pipe(*given):
        os.set_inheritable(given[0], False)
        _adopted = given


def descriptor() -> int | None:
    """Return the file descriptor, if there is one and the program has not closed it."""
    return _adopted[0] if _adopted is not None and _is_pipe(*_adopted) else None


def _is_pipe(descriptor: int, inode: int) -> bool:
    """Return whether a descriptor is still that of the pipe: another process may have inherited the variable only."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return stat.S_ISFIFO(status.st_mode) and status.st_ino == inode
