"""Everything that a verdict is based on."""

from __future__ import annotations

import resource
from typing import NamedTuple

from sandscope_instrumentation_subprocess._child import Child, SentSignal
from sandscope_instrumentation_subprocess._evidence._exit_status import ExitStatus
from sandscope_instrumentation_subprocess._evidence._usage import usage_of
from sandscope_instrumentation_subprocess._evidence._zombie import NOT_INSPECTED, Zombie
from sandscope_instrumentation_subprocess._sites import SHELL


class Evidence(NamedTuple):
    """Everything that a verdict is based on; None means not known.

    Attributes:
        exit_code: if the child exited.
        signal: the number of the signal that ended it.
        zombie: what was read between its exit and its reaping.
        memory_peak: bytes of address space, or of resident memory.
        sent_signals: the signals that this program sent to it.
        program: the file name of the executable.
        is_shell: whether it was started as a shell.
        told: whether the signal is the one that a shell says has ended its own child.
    """

    exit_code: int | None = None
    signal: int | None = None
    zombie: Zombie = NOT_INSPECTED
    memory_peak: int | None = None
    sent_signals: tuple[SentSignal, ...] = ()
    program: str | None = None
    is_shell: bool = False
    told: bool = False


def collect_evidence(
    child: Child, exit_status: ExitStatus, zombie: Zombie, reported: resource.struct_rusage | None
) -> Evidence:
    """Combine everything that is known about a child that has ended.

    Args:
        child: with what was observed while it ran.
        exit_status: how it ended.
        zombie: what was read before it was reaped.
        reported: what the kernel reported when it was reaped.
    """
    site = child.execution.site
    return Evidence(
        exit_status.exit_code,
        exit_status.signal,
        zombie,
        child.memory_peak
        if reported is None
        else max(child.memory_peak or 0, usage_of(reported).memory_peak or 0),
        tuple(child.sent_signals.values()),
        site.name,
        is_shell=bool(site.attributes.get(SHELL)),
    )
