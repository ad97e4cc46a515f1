"""Which executions a question is about."""

from __future__ import annotations

from typing import Any, NamedTuple


class Selection(NamedTuple):
    """A range of time, and conditions. The default is all executions.

    Attributes:
        since: nanoseconds since 1970: earlier ones are left out.
        until: likewise; this and later ones are left out.
        runtime: the only one.
        status: the only one; or `FAILED`, all but OK; or `SECURITY`, those that were ended for what they tried;
            or `KILLED`, those that were running when their process died.
        name: is part of the name of what ran, in upper or lower case.
        function: the whole name of what ran.
        min_duration: seconds.
    """

    since: int | None = None
    until: int | None = None
    runtime: str | None = None
    status: str | None = None
    name: str | None = None
    function: str | None = None
    min_duration: float | None = None

    @property
    def times(self) -> tuple[int | None, int | None]:
        """The range of time."""
        return self.since, self.until

    def condition(self) -> tuple[str, list[Any]]:
        """Return a condition in SQL, and its parameters."""
        conditions = [
            ("start_ns >= ?", self.since),
            ("start_ns < ?", self.until),
            ("runtime = ?", self.runtime),
            ("status = ?", None if self.status in _GROUPS else self.status),
            ("contains(lower(name), lower(?))", self.name),
            ("name = ?", self.function),
            ("duration >= ?", self.min_duration),
        ]
        given = [(text, value) for text, value in conditions if value is not None]
        texts = [text for text, _ in given] + ([_GROUPS[self.status]] if self.status in _GROUPS else [])
        return " AND ".join(texts) or "true", [value for _, value in given]


FAILED, SECURITY, KILLED = "failed", "security", "killed"
_GROUPS = {
    FAILED: "status <> 'OK'",
    SECURITY: "status IN ('SV', 'ABUSE')",
    KILLED: "cause = 'ie_host_killed'",
}
