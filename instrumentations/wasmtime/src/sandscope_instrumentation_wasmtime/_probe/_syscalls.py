"""The functions of ``wasi_snapshot_preview1`` that the probe stands around; all others go past it."""

from __future__ import annotations

from typing import Literal, NamedTuple

WASI = "wasi_snapshot_preview1"

STDIO = 3
"""Descriptors below are stdin, stdout and stderr, until the guest closes or renumbers them."""


class Syscall(NamedTuple):
    """One function that answers with an error number.

    Attributes:
        parameters: their types; the result is always an i32.
        counted: as a call on a file or on a socket, or not at all.
        moved: which way bytes go, if they do.
        size: the parameter that points to how many went.
        path: the parameter that points to a path; its length is the next one.
    """

    parameters: tuple[str, ...]
    counted: Literal["file", "network"] | None = "file"
    moved: Literal["in", "out"] | None = None
    size: int = 0
    path: int | None = None


_I, _L = "i32", "i64"

SYSCALLS = {
    "environ_get": Syscall((_I, _I), None),
    "environ_sizes_get": Syscall((_I, _I), None),
    "fd_advise": Syscall((_I, _L, _L, _I)),
    "fd_allocate": Syscall((_I, _L, _L)),
    "fd_close": Syscall((_I,)),
    "fd_datasync": Syscall((_I,)),
    "fd_filestat_get": Syscall((_I, _I)),
    "fd_filestat_set_size": Syscall((_I, _L)),
    "fd_filestat_set_times": Syscall((_I, _L, _L, _I)),
    "fd_pread": Syscall((_I, _I, _I, _L, _I), moved="in", size=4),
    "fd_pwrite": Syscall((_I, _I, _I, _L, _I), moved="out", size=4),
    "fd_read": Syscall((_I, _I, _I, _I), moved="in", size=3),
    "fd_readdir": Syscall((_I, _I, _I, _L, _I)),
    "fd_renumber": Syscall((_I, _I)),
    "fd_seek": Syscall((_I, _L, _I, _I)),
    "fd_sync": Syscall((_I,)),
    "fd_tell": Syscall((_I, _I)),
    "fd_write": Syscall((_I, _I, _I, _I), moved="out", size=3),
    "path_create_directory": Syscall((_I, _I, _I), path=1),
    "path_filestat_get": Syscall((_I, _I, _I, _I, _I), path=2),
    "path_filestat_set_times": Syscall((_I, _I, _I, _I, _L, _L, _I), path=2),
    "path_link": Syscall((_I, _I, _I, _I, _I, _I, _I), path=2),
    "path_open": Syscall((_I, _I, _I, _I, _I, _L, _L, _I, _I), path=2),
    "path_readlink": Syscall((_I, _I, _I, _I, _I, _I), path=1),
    "path_remove_directory": Syscall((_I, _I, _I), path=1),
    "path_rename": Syscall((_I, _I, _I, _I, _I, _I), path=1),
    "path_symlink": Syscall((_I, _I, _I, _I, _I), path=3),
    "path_unlink_file": Syscall((_I, _I, _I), path=1),
    "sock_accept": Syscall((_I, _I, _I), "network"),
    "sock_recv": Syscall((_I, _I, _I, _I, _I, _I), "network", "in", 4),
    "sock_send": Syscall((_I, _I, _I, _I, _I), "network", "out", 4),
    "sock_shutdown": Syscall((_I, _I), "network"),
}
NAMES = tuple(SYSCALLS)
"""A denial names its function by the index in here."""

DENIALS = {2: "EACCES", 63: "EPERM", 76: "ENOTCAPABLE"}
"""Error numbers that say no to a path."""
