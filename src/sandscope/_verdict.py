"""How an execution ended, who ended it, and which evidence says so."""

from __future__ import annotations

from typing import Literal, NamedTuple

Status = Literal["OK", "RE", "TLE", "MLE", "PLE", "FSE", "SIG", "SV", "ABUSE", "IE"]
"""Success, error, time / memory / process / output limit, signal, violation, abuse, infrastructure."""

Actor = Literal["judge", "kernel", "runtime"]
"""The host program, a limit of the system or of the runtime's limiter, or the guest itself."""

Limit = Literal["memory", "cpu", "wall", "process", "output", "fuel", "epoch", "stack", "table", "instance"]
"""The resource whose limit ended an execution."""


class Verdict(NamedTuple):
    """A verdict from evidence.

    Attributes:
        status: one of the closed set that every runtime shares.
        actor: who ended the execution.
        cause: which evidence decided, from the closed set in ``telemetry.yaml``.
        limit: the resource whose limit was reached, if one was.
    """

    status: Status
    actor: Actor
    cause: str
    limit: Limit | None = None


OK = Verdict("OK", "runtime", "normal_exit")
MISSING_EVIDENCE = Verdict("IE", "runtime", "ie_missing_evidence")
