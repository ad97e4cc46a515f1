"""How a process ended that somebody else has reaped, by its pidfd (Linux 6.15 and later)."""

from __future__ import annotations

import fcntl
import struct

from sandscope_instrumentation_subprocess._evidence._exit_status import ExitStatus, decode_status

_PIDFD_GET_INFO = 0xC040FF0B  # _IOWR(0xFF, 11, struct pidfd_info), in the size that all versions have
_PIDFD_INFO_EXIT = 1 << 3
_INFO = struct.Struct("=QQ11Ii")
"""``struct pidfd_info``: first the mask of what is asked for and known, last the exit status."""


def exit_status_of(pidfd: int) -> ExitStatus | None:
    """Return how a process ended, or None if it runs, is not reaped yet, or the kernel does not say.

    Args:
        pidfd: opened before the process was reaped.
    """
    information = bytearray(_INFO.pack(_PIDFD_INFO_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, information)
    except OSError:
        return None
    mask, *_, status = _INFO.unpack(information)
    return decode_status(status) if mask & _PIDFD_INFO_EXIT else None
