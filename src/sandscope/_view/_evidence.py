"""Why a verdict is what it is, in sentences that each say one thing that was observed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from sandscope._view._usage import quantity

_CAUSES = Path(__file__).with_name("causes.json")
_BASES = {"inferred": "The cause is inferred from the circumstances: nobody saw it happen."}


def evidence(span: dict[str, Any], logs: list[dict[str, Any]]) -> list[str]:
    """Return what is known of how an execution ended.

    Args:
        span: its columns, with its attributes.
        logs: its log records.
    """
    if not span["status"]:
        return [f"Error: {span['status_message']}"] if span["status_message"] else []
    attributes = span["attributes"]
    sentences = [
        _meanings().get(span["cause"] or "", ""),
        *(_reached(log["attributes"]) for log in logs if log["event"] == "sandbox.resource"),
        *(_refused(log["attributes"]) for log in logs if log["event"] == "sandbox.security"),
        *(_abused(log["attributes"]) for log in logs if log["event"] == "sandbox.abuse"),
        f"Signal: {attributes['sandbox.process.signal']}." if "sandbox.process.signal" in attributes else "",
        "" if span["exit_code"] is None else f"Exit code: {span['exit_code']}.",
        *(_raised(log["attributes"]) for log in logs if log["event"] == "sandbox.execution"),
        "" if span["status_message"] == span["cause"] else span["status_message"],
        _BASES.get(attributes.get("sandbox.verdict.basis", ""), ""),
    ]
    different = list(dict.fromkeys(filter(None, sentences)))
    return [each for each in different if not any(each in other for other in different if other != each)]


def _reached(attributes: dict[str, str]) -> str:
    name = attributes.get("sandbox.limit", "")
    limit = quantity(name, attributes.get("sandbox.resource.limit"))
    used = quantity(name, attributes.get("sandbox.resource.usage"))
    reached = f"The {name.replace('cpu', 'CPU')} limit{f' of {limit}' if limit else ''} was reached"
    return f"{reached}{f'; it had used {used}' if used else ''}."


def _refused(attributes: dict[str, str]) -> str:
    kind, action = (
        attributes.get("sandbox.violation.type", ""),
        attributes.get("sandbox.violation.action", ""),
    )
    return f"Security violation: {kind}{f', {action}' if action else ''}."


def _abused(attributes: dict[str, str]) -> str:
    pattern = attributes.get("sandbox.abuse.pattern", "")
    usage, limit = attributes.get("sandbox.resource.usage", ""), attributes.get("sandbox.resource.limit", "")
    return f"Abuse: {pattern}, {usage} where the threshold is {limit}."


def _raised(attributes: dict[str, str]) -> str:
    kind = attributes.get("exception.type")
    return f"{kind}: {attributes.get('exception.message', '')}" if kind else ""


@cache
def _meanings() -> dict[str, str]:
    meanings: dict[str, str] = json.loads(_CAUSES.read_text(encoding="utf-8"))
    return meanings
