"""Process groups: what is left of one after its leader has ended."""

from __future__ import annotations

import os

_killpg = os.killpg  # without the wrapper

_ENDED = (b"Z", b"X")


def leads_group(pid: int) -> bool:
    """Return whether a zombie is the leader of a process group: only then, something may be left of the group.

    Faster than `group_exists`, which most often means to raise an error.
    """
    try:
        return os.getpgid(pid) == pid
    except OSError:
        return True  # not known


def group_exists(group_id: int) -> bool:
    """Return whether a process group has members, zombies included."""
    try:
        _killpg(group_id, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # this program may not send signals to its members
    return True


def count_members(group_id: int) -> int:
    """Return how many processes of a group have not ended; where there is no ``/proc``, whether there are any."""
    try:
        names = os.listdir("/proc")  # noqa: PTH208 -- strings are what is needed
    except OSError:
        return int(group_exists(group_id))
    return sum(_is_member(name, str(group_id).encode()) for name in names if name.isdigit())


def _is_member(pid: str, group_id: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 -- there may be many
            # The process name in parentheses may contain anything, spaces and parentheses as well.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    return len(fields) > 2 and fields[0] not in _ENDED and fields[2] == group_id
