"""When a process started: with its id, this identifies a process, because the system reuses ids. Linux only."""

from __future__ import annotations

from pathlib import Path


def start_of(pid: int) -> int:
    """Return when a process started, in clock ticks since the boot.

    Raises:
        OSError: if there is no such process, or if it has ended and only waits for its parent.
    """
    # The name in parentheses may contain anything, spaces and parentheses as well.
    state, *fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    if state in {b"Z", b"X"}:
        raise ProcessLookupError(f"process {pid} has ended")
    return int(fields[18])


def boot_id() -> str:
    """Return what identifies this boot of the machine.

    Raises:
        OSError: if the kernel does not say it.
    """
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
