"""The evidence of how a child ended: what the kernel, this program and other programs say of it."""

from sandscope_instrumentation_subprocess._evidence._combined import (
    Evidence,
    collect_evidence,
    needs_evidence,
)
from sandscope_instrumentation_subprocess._evidence._exit_status import (
    CAN_INSPECT_ZOMBIES,
    SUCCESS,
    ExitStatus,
    decode_exit,
    decode_status,
    find_exited,
    wait_without_reaping,
)
from sandscope_instrumentation_subprocess._evidence._limits import Limits, own_limits, read_limits
from sandscope_instrumentation_subprocess._evidence._observations import Observations
from sandscope_instrumentation_subprocess._evidence._pidfd_info import exit_status_of
from sandscope_instrumentation_subprocess._evidence._proc import MemoryPeaks
from sandscope_instrumentation_subprocess._evidence._usage import NOT_MEASURED, Usage, usage_of
from sandscope_instrumentation_subprocess._evidence._zombie import NOT_INSPECTED, Zombie, inspect_zombie

__all__ = [
    "CAN_INSPECT_ZOMBIES",
    "NOT_INSPECTED",
    "NOT_MEASURED",
    "SUCCESS",
    "Evidence",
    "ExitStatus",
    "Limits",
    "MemoryPeaks",
    "Observations",
    "Usage",
    "Zombie",
    "collect_evidence",
    "decode_exit",
    "decode_status",
    "exit_status_of",
    "find_exited",
    "inspect_zombie",
    "needs_evidence",
    "own_limits",
    "read_limits",
    "usage_of",
    "wait_without_reaping",
]
