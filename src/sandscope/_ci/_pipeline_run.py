"""A run of a pipeline: its identity, which all its steps can derive, and what is recorded of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

Result = Literal["success", "failure", "error", "timeout", "cancellation", "skip"]
"""The values of ``cicd.pipeline.result``."""

_WORDS = {
    "action_required": "skip",
    "canceled": "cancellation",
    "cancelled": "cancellation",
    "failed": "failure",
    "neutral": "skip",
    "skipped": "skip",
    "stale": "error",
    "startup_failure": "error",
    "timed_out": "timeout",
}
"""What the CI systems call these results."""

_MAX_LENGTH = 256
"""In characters: who writes a workflow chooses the names."""


@dataclass(frozen=True)
class Run:
    """One run of a pipeline.

    Attributes:
        name: of the pipeline; empty if it is not known.
        identity: attributes of the spans of a run and its tasks: its id and its address.
        source: attributes of the resource: the pipeline, the repository and the revision.
        key: the id of the run, from which the ids of the trace are derived.
        job: the job of this process, or an empty string.
        task_url: the address of the job.
        started: when it has begun, in seconds since 1970; None if that is not known.
        ended: when it ended; None if it continues.
        result: how it has ended; None if that is not known.
    """

    name: str
    key: str
    identity: Mapping[str, str]
    source: Mapping[str, str] = field(default_factory=dict)
    job: str = ""
    task_url: str = ""
    started: float | None = None
    ended: float | None = None
    result: Result | None = None

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits. The Collector's receiver for GitHub derives the same."""
        return hashlib.sha256(f"{self.key}t".encode()).hexdigest()[:32]

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits, of the span that is the root of the trace."""
        return hashlib.sha256(f"{self.key}s".encode()).hexdigest()[16:32]

    @property
    def traceparent(self) -> str:
        """The root, as the variable ``TRACEPARENT`` names it."""
        return f"00-{self.trace_id}-{self.span_id}-01"


def result_of(word: str | None) -> Result | None:
    """Return the result that a CI system calls by that word; None if there is none."""
    text = (word or "").strip().lower()
    text = _WORDS.get(text, text)
    return cast(Result, text) if text in get_args(Result) else None


def seconds_of(text: str | None) -> float | None:
    """Return a time in seconds since 1970, from that number or as ISO 8601 has it; None if it is neither."""
    try:
        return float(text or "")
    except ValueError:
        pass
    try:
        # Before Python 3.11, `fromisoformat` does not read the Z.
        moment = datetime.fromisoformat((text or "").strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def present(attributes: Mapping[str, str | None]) -> dict[str, str]:
    """Return the attributes that have a value, cut to a length that can be sent."""
    return {
        name: value[:_MAX_LENGTH].encode("utf-8", "replace").decode()
        for name, value in attributes.items()
        if value
    }


def address(text: str | None) -> str:
    """Return an address without a user, a password, a query and a fragment."""
    try:
        parts = urlsplit(text or "")
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return ""
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme in {"http", "https"} and host else ""
