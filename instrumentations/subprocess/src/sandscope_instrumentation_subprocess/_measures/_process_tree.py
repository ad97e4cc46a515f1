"""The processes that a child has started, and those that they have started."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

from sandscope_instrumentation_subprocess._evidence._proc import read_file

_SHARED_FOR = 0.005
"""Seconds for which one reading of the table of processes serves all children."""

_PARENT = 1
"""A position in ``/proc/<pid>/stat``, after the name."""


class _Table(NamedTuple):
    children: dict[int, list[int]]
    time: float


_table = _Table({}, float("-inf"))


def descendants(pid: int, most: int) -> list[int]:
    """Return a process and its descendants, zombies included; not those whose parent has ended.

    Args:
        pid: of the process.
        most: the maximum number.
    """
    found = [pid]
    for parent in found:
        if len(found) >= most:
            break
        found += _children(parent)
    return found[:most]


def name_of(pid: int) -> str:
    """Return the name of the program that a process executes, at most 15 characters; empty if it has ended."""
    return read_file(f"/proc/{pid}/comm").decode(errors="replace").rstrip("\n")


def _children(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 -- strings are what is needed
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        try:
            descriptor = os.open(f"/proc/{pid}/task/{thread}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return _all_children().get(pid, [])  # not every kernel has this file
        os.close(descriptor)
        found += map(int, read_file(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _all_children() -> dict[int, list[int]]:
    global _table  # noqa: PLW0603 -- one reading for all children at about the same time
    if time.monotonic() > _table.time + _SHARED_FOR:
        children: dict[int, list[int]] = {}
        for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 -- strings are what is needed
            with suppress(IndexError, ValueError):  # it has ended
                # The process name in parentheses may contain anything, spaces and parentheses as well.
                fields = read_file(f"/proc/{name}/stat").rpartition(b")")[2].split()
                children.setdefault(int(fields[_PARENT]), []).append(int(name))
        _table = _Table(children, time.monotonic())
    return _table.children
