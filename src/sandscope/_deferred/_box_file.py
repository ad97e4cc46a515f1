"""The file of a black box: in a private folder, of a fixed size, and locked while its process lives."""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
from pathlib import Path

from sandscope._deferred._box_layout import SIZE, Owner
from sandscope._process_start import boot_id, start_of

SUFFIX = ".box"
_NOT_READY = ".new"
_MOST_FILES = 256
"""Files in a folder, also those that nobody has taken: a program that dies again and again must not fill it."""
_ROOM = 16 << 20
"""Bytes that have to be free: the memory of /dev/shm, of which containers have little, is for the program."""

own_files: set[str] = set()
"""The names of the files that this process has locked."""


class BoxFile:
    """The mapped file of this process.

    Attributes:
        memory: the file's content.
        path: the file.
    """

    def __init__(self, folder: Path) -> None:
        """Create the file.

        The space is reserved before it is used: otherwise, a full disk would end the program by SIGBUS.

        Raises:
            OSError: if this is not possible.
        """
        check_folder(folder)
        _check_room(folder)
        owner = this_process()
        name = f"{owner.pid}-{owner.start}-{os.urandom(4).hex()}"
        hidden = folder / f".{name}{_NOT_READY}"
        self.path = folder / f"{name}{SUFFIX}"
        self._descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(self._descriptor, 0, SIZE)
            self.memory = mmap.mmap(self._descriptor, SIZE)
            self.memory[: len(owner.pack())] = owner.pack()
            own_files.add(self.path.name)
            hidden.rename(self.path)  # only now do others see it
        except BaseException:
            hidden.unlink(missing_ok=True)
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Unmap the file, and leave it where it is. Its lock is released, unless this is a forked child."""
        own_files.discard(self.path.name)
        self.memory.close()
        os.close(self._descriptor)

    def remove(self) -> None:
        """Remove the file: there is nothing left to tell."""
        self.path.unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Create a folder that only this user can read.

    Raises:
        OSError: if this is not possible, or if others can write to a folder that is there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(f"the folder of black boxes is not this user's alone: {folder}")


def this_process() -> Owner:
    """Return what identifies this process.

    Raises:
        OSError: if the kernel does not say it.
    """
    pid = os.getpid()
    namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 -- no path
    return Owner(pid, start_of(pid), namespace, boot_id().encode())


def seem_left(folder: Path) -> bool:
    """Return whether there are files in a folder whose processes seem to be dead."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.endswith(SUFFIX)]
    except OSError:
        return False
    return any(not _seems_alive(name) for name in names)


def _seems_alive(name: str) -> bool:
    pid, start, *_ = (*name.split("-"), "", "")
    try:
        return name in own_files or start_of(int(pid)) == int(start)
    except (OSError, ValueError):
        return False


def _check_room(folder: Path) -> None:
    import resource

    space = os.statvfs(folder)
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if space.f_bavail * space.f_frsize < _ROOM or (limit != resource.RLIM_INFINITY and limit < SIZE):
        raise OSError(f"no room for a black box in {folder}")
    with os.scandir(folder) as entries:
        if sum(entry.name.endswith((SUFFIX, _NOT_READY)) for entry in entries) >= _MOST_FILES:
            raise OSError(f"there are too many black boxes in {folder}: run `sandscope recover {folder}`")
