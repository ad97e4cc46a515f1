"""The functions of ``wasi_snapshot_preview1`` that the probe counts; guests call all others directly."""

from __future__ import annotations

from typing import NamedTuple

WASI = "wasi_snapshot_preview1"


class WasiFunction(NamedTuple):
    """A function that returns an error number.

    Attributes:
        parameters: their types; the result is always an i32.
        bytes: the counter of the bytes that it moves, if it moves any.
        size: the parameter that is the address of how many bytes were moved.
        path: the parameter that is the address of a path; the next one is the path's length.
    """

    parameters: tuple[str, ...]
    bytes: str | None = None
    size: int = 0
    path: int | None = None


_I, _L = "i32", "i64"

FUNCTIONS = {
    "fd_advise": WasiFunction((_I, _L, _L, _I)),
    "fd_allocate": WasiFunction((_I, _L, _L)),
    "fd_close": WasiFunction((_I,)),
    "fd_datasync": WasiFunction((_I,)),
    "fd_filestat_get": WasiFunction((_I, _I)),
    "fd_filestat_set_size": WasiFunction((_I, _L)),
    "fd_filestat_set_times": WasiFunction((_I, _L, _L, _I)),
    "fd_pread": WasiFunction((_I, _I, _I, _L, _I), "file.bytes_read", size=4),
    "fd_pwrite": WasiFunction((_I, _I, _I, _L, _I), "file.bytes_written", size=4),
    "fd_read": WasiFunction((_I, _I, _I, _I), "file.bytes_read", size=3),
    "fd_readdir": WasiFunction((_I, _I, _I, _L, _I)),
    "fd_renumber": WasiFunction((_I, _I)),
    "fd_seek": WasiFunction((_I, _L, _I, _I)),
    "fd_sync": WasiFunction((_I,)),
    "fd_tell": WasiFunction((_I, _I)),
    "fd_write": WasiFunction((_I, _I, _I, _I), "file.bytes_written", size=3),
    "path_create_directory": WasiFunction((_I, _I, _I), path=1),
    "path_filestat_get": WasiFunction((_I, _I, _I, _I, _I), path=2),
    "path_filestat_set_times": WasiFunction((_I, _I, _I, _I, _L, _L, _I), path=2),
    "path_link": WasiFunction((_I, _I, _I, _I, _I, _I, _I), path=2),
    "path_open": WasiFunction((_I, _I, _I, _I, _I, _L, _L, _I, _I), path=2),
    "path_readlink": WasiFunction((_I, _I, _I, _I, _I, _I), path=1),
    "path_remove_directory": WasiFunction((_I, _I, _I), path=1),
    "path_rename": WasiFunction((_I, _I, _I, _I, _I, _I), path=1),
    "path_symlink": WasiFunction((_I, _I, _I, _I, _I), path=3),
    "path_unlink_file": WasiFunction((_I, _I, _I), path=1),
    "sock_accept": WasiFunction((_I, _I, _I)),
    "sock_recv": WasiFunction((_I, _I, _I, _I, _I, _I), "network.bytes_received", size=4),
    "sock_send": WasiFunction((_I, _I, _I, _I, _I), "network.bytes_sent", size=4),
    "sock_shutdown": WasiFunction((_I, _I)),
}
NAMES = tuple(FUNCTIONS)
"""The probe's memory has the index in this tuple in place of a name."""

DENIED = {2: "EACCES", 63: "EPERM", 76: "ENOTCAPABLE"}
"""The error numbers by which WASI refuses a path."""
