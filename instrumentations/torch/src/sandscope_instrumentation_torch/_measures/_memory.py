"""The memory of models: of the process, and of torch's allocators of accelerators. Read when metrics are collected."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sandscope.instrumentation import Execution, Metric, Patches, observe_metric, report_error

USAGE = Metric("torch.memory.usage", "updowncounter", "By", "Memory in use, by device and kind")
PEAK = Metric("torch.memory.peak", "gauge", "By", "The most memory that was in use so far, by device")

PEAK_ATTRIBUTE = "torch.load.memory.peak"
"""The attribute of a load for the process's peak at its end."""
CALL_PEAK_ATTRIBUTE = "torch.memory.peak"
"""The attribute of a call for the process's peak at its end."""
LONG_CALL = 1_000_000
"""Nanoseconds of a call from which on it has the attribute: to read the peak takes a microsecond."""

_Values = Iterator[tuple[Mapping[str, str], int]]

_kept = [0, 0]
"""The process that has reset its peak, and the peak until then in bytes."""

_patched_by: list[Patches] = []
"""The patches of the instrumentation; empty before the first one."""


def observe_memory(patches: Patches) -> None:
    """Report the memory until the patches are undone."""
    _patched_by[:] = [patches]
    observe_metric(USAGE, _usage)
    observe_metric(PEAK, _peaks)


def keep_resident_peak() -> int:
    """Reset the peak of Linux, and keep it for `resident_peak`. Return it in bytes; 0 where there is none."""
    peak = resident_peak(since_reset=True)
    if peak is None:
        return 0
    _kept[:] = [os.getpid(), max(peak, _kept[1] if _kept[0] == os.getpid() else 0)]
    Path("/proc/self/clear_refs").write_bytes(b"5")
    return peak


def resident_peak(*, since_reset: bool = False) -> int | None:
    """Return the most memory of this process that was resident so far, in bytes; None where Linux does not say so.

    Not `ru_maxrss`: after `exec`, that of Linux begins with the peak of the process before.

    Args:
        since_reset: since `keep_resident_peak` has reset it, if it has; else since the process began.
    """
    try:
        status = Path("/proc/self/status").read_bytes()
    except OSError:
        return None
    found = status.partition(b"VmHWM:")[2].split(maxsplit=1)
    if not found:
        return None
    kept = _kept[1] if _kept[0] == os.getpid() and not since_reset else 0
    return max(int(found[0]) * 1024, kept)


def peak_setter() -> Callable[[Execution], None]:
    """Return a function that sets the attribute of an execution that is about to end; on Linux only.

    It asks for `ru_maxrss`, which takes a twentieth of the time, unless that may be the peak of the program before, or
    has been reset.
    """
    most_resident = _most_resident()
    inherited = most_resident()
    if inherited <= (resident_peak(since_reset=True) or 0):
        inherited = -1

    def set_peak(execution: Execution) -> None:
        try:
            peak: int | None = most_resident()
            if peak == inherited or _kept[0] == os.getpid():
                peak = resident_peak()
            if peak:
                execution.set_attributes({CALL_PEAK_ATTRIBUTE: peak})
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.memory", error)

    return set_peak


def _most_resident() -> Callable[[], int]:
    """Return a function that returns `ru_maxrss` in bytes; 0 if this is not Linux."""
    if not sys.platform.startswith("linux"):
        return int
    import resource

    own, usage = resource.RUSAGE_SELF, resource.getrusage
    return lambda: usage(own).ru_maxrss * 1024


def _usage() -> _Values:
    if not _is_patched():
        return
    try:
        resident = int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        yield {"torch.memory.device": "cpu", "torch.memory.kind": "resident"}, resident
    except (OSError, ValueError):
        pass  # not Linux
    for name, statistics in _accelerators():
        for kind in ("allocated", "reserved"):
            value = statistics.get(f"{kind}_bytes.all.current", 0)
            yield {"torch.memory.device": name, "torch.memory.kind": kind}, value


def _peaks() -> _Values:
    if not _is_patched():
        return
    resident = resident_peak()
    if resident is not None:
        yield {"torch.memory.device": "cpu"}, resident
    for name, statistics in _accelerators():
        yield {"torch.memory.device": name}, statistics.get("allocated_bytes.all.peak", 0)


def _is_patched() -> bool:
    return any(not patches.undone for patches in _patched_by)


def _accelerators() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the CUDA devices that the program uses, and what torch's allocator says. Never starts CUDA itself."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return
    for index in range(cuda.device_count()):
        statistics = cuda.memory_stats(index)
        if statistics.get("reserved_bytes.all.peak", 0):
            yield f"cuda:{index}", statistics
