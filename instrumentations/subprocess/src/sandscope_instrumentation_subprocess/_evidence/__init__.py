"""The evidence of how a child ended: what the kernel, this program and other programs say of it."""

from sandscope_instrumentation_subprocess._evidence._combined import Evidence, collect_evidence
from sandscope_instrumentation_subprocess._evidence._exit_status import (
    CAN_INSPECT_ZOMBIES,
    SUCCESS,
    ExitStatus,
    decode_exit,
    decode_status,
    find_exited,
    wait_without_reaping,
)
from sandscope_instrumentation_subprocess._evidence._limits import Limits, read_limits
from sandscope_instrumentation_subprocess._evidence._proc import read_memory_peaks
from sandscope_instrumentation_subprocess._evidence._zombie import NOT_INSPECTED, Zombie, inspect_zombie

__all__ = [
    "CAN_INSPECT_ZOMBIES",
    "NOT_INSPECTED",
    "SUCCESS",
    "Evidence",
    "ExitStatus",
    "Limits",
    "Zombie",
    "collect_evidence",
    "decode_exit",
    "decode_status",
    "find_exited",
    "inspect_zombie",
    "read_limits",
    "read_memory_peaks",
    "wait_without_reaping",
]
