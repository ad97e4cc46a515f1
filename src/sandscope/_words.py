"""The words for statuses and actors, and for quantities."""

from __future__ import annotations

STATUSES = {
    "OK": "success",
    "RE": "runtime error",
    "TLE": "time limit exceeded",
    "MLE": "memory limit exceeded",
    "PLE": "process limit exceeded",
    "FSE": "file size limit exceeded",
    "SIG": "fatal signal",
    "SV": "security violation",
    "ABUSE": "abuse",
    "IE": "infrastructure error",
}
ACTORS = {
    "guest": "ended by itself",
    "engine": "ended by its runtime",
    "kernel": "ended by the kernel",
    "host": "ended by its host",
    "unknown": "it is not known by whom",
}


def seconds(value: float | None) -> str:
    """Return a duration with the unit that suits it."""
    if value is None:
        return ""
    for size, unit, digits in ((1.0, "s", 2), (1e-3, "ms", 1), (1e-6, "µs", 0)):
        if value >= size:
            return f"{value / size:.{digits}f} {unit}"
    return f"{value * 1e9:.0f} ns"


def size(value: float | None) -> str:
    """Return bytes with the unit that suits them."""
    if value is None:
        return ""
    for factor, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if value >= factor:
            return f"{value / factor:.1f} {unit}"
    return f"{value:.0f} B"


def verdict(status: str, actor: str, cause: str, limit: str | None = None) -> str:
    """Return a verdict in words."""
    reached = f" ({limit} limit)" if limit else ""
    return f"{STATUSES.get(status, status)}{reached}, {ACTORS.get(actor, actor)}: {cause}"
