"""The settings of the instrumentation: arguments of ``instrument()``, or environment variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sandscope.instrumentation import Settings, choice, subset, threshold


@dataclass(frozen=True)
class SubprocessSettings(Settings):
    """What is recorded.

    Attributes:
        output: which of a child's output, as `communicate` returns it, is recorded as log records.
        controls: the controls of a sandbox that every child is expected to be under.
        abuse_processes: the number of simultaneous processes from which on a child counts as a fork bomb.
        abuse_descriptors: the number of open file descriptors from which on a child counts as exhausting them.
    """

    output: Literal["off", "stderr", "all"] = choice("SANDSCOPE_SUBPROCESS_OUTPUT", "off", "stderr", "all")
    controls: tuple[str, ...] = subset(
        "SANDSCOPE_SUBPROCESS_CONTROLS", "namespace", "cgroup", "capability", "seccomp", "no_new_privs"
    )
    abuse_processes: int | None = threshold("SANDSCOPE_SUBPROCESS_ABUSE_PROCESSES")
    abuse_descriptors: int | None = threshold("SANDSCOPE_SUBPROCESS_ABUSE_DESCRIPTORS")

    @property
    def ask_for_samples(self) -> bool:
        """Whether children are observed while they run, for more than their verdict."""
        return bool(self.controls or self.abuse_processes or self.abuse_descriptors)
