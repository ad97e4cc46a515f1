"""What an execution used, against its limits."""

from __future__ import annotations

from typing import Any, NamedTuple

from sandscope._words import seconds, size

_BYTES = {"memory", "output", "stack"}
_MILLISECONDS = {"cpu", "wall"}


class Usage(NamedTuple):
    """A resource.

    Attributes:
        name: what it is.
        used: how much of it was used, in words.
        limit: how much there was, in words, or "".
        share: what was used, in percent of the limit; None if one of them is not known.
    """

    name: str
    used: str
    limit: str
    share: float | None


def usage(span: dict[str, Any], logs: list[dict[str, Any]]) -> list[Usage]:
    """Return the resources of which something is known.

    Args:
        span: its columns, with its attributes.
        logs: its log records.
    """
    attributes = span["attributes"]
    reached = {
        log["attributes"].get("sandbox.limit"): _number(log["attributes"].get("sandbox.resource.limit"))
        for log in logs
        if log["event"] == "sandbox.resource"
    }
    limits = {
        "cpu": _number(attributes.get("sandbox.process.limit.cpu")),
        "memory": _number(attributes.get("sandbox.process.limit.memory")),
    }
    if reached.get("cpu"):
        limits["cpu"] = (reached["cpu"] or 0) / 1e3
    limits["memory"] = reached.get("memory") or limits["memory"]
    known = [
        _usage("CPU time", span["cpu_time"], limits["cpu"], seconds),
        _usage("Peak memory", span["memory_peak"], limits["memory"], size),
        _usage("Fuel", _number(attributes.get("wasm.fuel.consumed")), reached.get("fuel"), _plain),
        _usage("Written to disk", _number(attributes.get("sandbox.process.disk.written")), None, size),
        _usage(
            "Output", _number(attributes.get("sandbox.process.output.written")), reached.get("output"), size
        ),
    ]
    return [each for each in known if each is not None]


def quantity(name: str, text: str | None) -> str:
    """Return an amount of what a limit is about, in words.

    Args:
        name: of the limit.
        text: the amount, in the limit's unit.
    """
    number = _number(text)
    if number is None:
        return ""
    if name in _BYTES:
        return size(number)
    return seconds(number / 1e3) if name in _MILLISECONDS else _plain(number)


def _usage(name: str, used: float | None, limit: float | None, words: Any) -> Usage | None:
    if used is None:
        return None
    share = min(100.0, 100 * used / limit) if limit else None
    return Usage(name, words(used), words(limit) if limit else "", share)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _plain(number: float) -> str:
    return f"{number:,.0f}"
