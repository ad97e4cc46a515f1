"""What a child has sent and received, if it has a network namespace of its own: the kernel counts by namespace."""

from __future__ import annotations

import os
from typing import NamedTuple

from sandscope_instrumentation_subprocess._evidence._proc import read_file

_LOOPBACK = b"lo"
_RECEIVED, _SENT = 0, 8
"""Positions in a line of ``/proc/<pid>/net/dev``, after the name."""


class NetworkUsage(NamedTuple):
    """Bytes that went through the interfaces of a namespace since it was made, without loopback."""

    received: int
    sent: int


def read_network(pid: int) -> NetworkUsage | None:
    """Return what a running child has sent and received; None if it is in the program's namespace, or has ended."""
    namespace = _namespace(pid)
    if namespace is None or namespace == _namespace("self"):
        return None
    return parse(read_file(f"/proc/{pid}/net/dev"))


def parse(text: bytes) -> NetworkUsage | None:
    """Return the sums of ``/proc/<pid>/net/dev``; None if it is empty.

    Args:
        text: two lines of titles, and one for each interface.
    """
    lines = [line.partition(b":") for line in text.splitlines()[2:]]
    if not lines:
        return None
    counts = [rest.split() for name, _, rest in lines if name.strip() != _LOOPBACK]
    return NetworkUsage(*(sum(int(fields[position]) for fields in counts) for position in (_RECEIVED, _SENT)))


def _namespace(pid: int | str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")  # noqa: PTH115 -- a magic link, not a path
    except OSError:
        return None
