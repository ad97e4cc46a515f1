"""What ``/proc`` says of a process, and of a zombie."""

from __future__ import annotations

import os
from typing import NamedTuple

_USER_TICKS, _SYSTEM_TICKS = 11, 12
"""Positions in ``/proc/<pid>/stat``, after the name."""


_CHUNK = 1 << 16


class MemoryPeaks(NamedTuple):
    """How much memory a running process has used so far, in bytes; None means not known.

    Attributes:
        address_space: the peak.
        data: the size of its private data at present; the kernel keeps no peak of it.
        resident: the peak.
    """

    address_space: int | None = None
    data: int | None = None
    resident: int | None = None


class Io(NamedTuple):
    """What a process has read and written; None means not known.

    Attributes:
        bytes_written: passed to the kernel.
        read_calls: system calls that read.
        write_calls: system calls that write.
    """

    bytes_written: int | None = None
    read_calls: int | None = None
    write_calls: int | None = None


def read_file(path: str) -> bytes:
    """Return the contents of a file of a virtual file system; empty if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # faster than `open`: it delays the program
    except OSError:
        return b""
    try:
        chunks = []
        while chunk := os.read(descriptor, _CHUNK):
            chunks.append(chunk)
        return b"".join(chunks)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def has_exited(pid: int) -> bool:
    """Return whether a process is a zombie, or is gone."""
    return read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"], [])


def read_memory_peaks(pid: int) -> MemoryPeaks:
    """Return how much memory a running process has used; nothing is known of a zombie."""
    status = read_file(f"/proc/{pid}/status")
    return MemoryPeaks(*(_kibibytes(_field(status, name)) for name in (b"VmPeak", b"VmData", b"VmHWM")))


def killed_by_seccomp(pid: int) -> bool:
    """Return whether a seccomp filter has killed a zombie: this leaves its own mark."""
    return _field(read_file(f"/proc/{pid}/status"), b"Seccomp") == b"3"


def read_cpu_time(pid: int) -> tuple[float, float] | None:
    """Return the seconds of CPU time in user and in system mode, with the resolution of the kernel's clock ticks."""
    # The process name in parentheses may contain anything, spaces and parentheses as well.
    fields = read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if len(fields) <= _SYSTEM_TICKS:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[_USER_TICKS]) / ticks, int(fields[_SYSTEM_TICKS]) / ticks


def read_io(pid: int) -> Io:
    """Return what a process has read and written, to pipes and terminals as well."""
    text = read_file(f"/proc/{pid}/io")
    fields = (_field(text, name) for name in (b"wchar", b"syscr", b"syscw"))
    return Io(*(None if value is None else int(value) for value in fields))


def _field(text: bytes, name: bytes) -> bytes | None:
    """Return the first word of a value that is not in the first line."""
    words = text.partition(b"\n" + name + b":")[2].split(maxsplit=1)
    return words[0] if words else None


def _kibibytes(value: bytes | None) -> int | None:
    return None if value is None else int(value) * 1024
