"""How an execution ended, who ended it, and which evidence says so."""

from __future__ import annotations

from typing import Literal, NamedTuple

Status = Literal["OK", "RE", "TLE", "MLE", "PLE", "FSE", "SIG", "SV", "ABUSE", "IE"]
"""Success, error, time / memory / process / output limit, signal, violation, abuse, infrastructure."""

Actor = Literal["guest", "engine", "kernel", "host", "unknown"]
"""Who ended it: itself, the runtime's own limiter, a limit of the system, the program that started it, or nobody
who was seen.
"""

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


OK = Verdict("OK", "guest", "normal_exit")
MISSING_EVIDENCE = Verdict("IE", "unknown", "ie_missing_evidence")
