"""Checks the requests of children, and makes requests of what may be sent on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import repeat
from typing import Any, NamedTuple

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from sandscope import _internals
from sandscope._relay import _relayed_records
from sandscope._relay._origin import Origin
from sandscope._relay._relayed_records import Outcome
from sandscope._relay._rules import (
    MOST_ITEMS,
    SLACK,
    adopt_log,
    adopt_span,
    refusal_of_log,
    refusal_of_span,
    rename,
)
from sandscope._relay_packets import Signal

_MOST_GROUPS = 64
"""Resources of a request, and scopes of a resource."""
_MOST_RECORDS = 4096
"""Records of a request."""

_FIELDS = {
    "span": ("resource_spans", "scope_spans", "spans"),
    "log": ("resource_logs", "scope_logs", "log_records"),
}


class Accepted(NamedTuple):
    """What is sent on.

    Attributes:
        request: encoded; empty if it has no records.
        records: their number.
        seen: the number of records that were looked at.
    """

    request: bytes = b""
    records: int = 0
    seen: int = 0


def check(signal: Signal, request: bytes, origin: Origin, resource: Resource) -> Accepted:
    """Return a request with those records that belong to an execution; the others are counted.

    Args:
        signal: of the request.
        request: as a child has sent it.
        origin: the execution of the child.
        resource: replaces what the child says of itself.
    """
    if signal == "metric":
        _relayed_records.add(signal, "not_relayed")
        return Accepted()
    kind = _internals.message_of(signal)
    try:
        message = kind.FromString(request)
    except Exception:  # noqa: BLE001 -- DecodeError, or what else the implementation raises
        _relayed_records.add(signal, "invalid")
        return Accepted()
    # Otherwise, a Collector of a later version might know a field that this one has not checked.
    message.DiscardUnknownFields()
    return _accept(signal, message, kind(), origin, resource)


def _accept(signal: Signal, message: Any, checked: Any, origin: Origin, resource: Resource) -> Accepted:
    groups, scopes, records = _FIELDS[signal]
    # A single resource: it must not be repeated as often as the child likes.
    target = getattr(checked, groups).add()
    target.resource.CopyFrom(resource)
    refusals: list[Outcome] = []
    kept = 0
    for scope, given in _scopes_of(message, groups, scopes, records, refusals):
        accepted = list(_adopted(signal, given, origin, refusals))
        if accepted:
            kept += len(accepted)
            del scope.attributes[MOST_ITEMS:]
            rename(scope)
            into = getattr(target, scopes).add()
            into.scope.CopyFrom(scope)
            getattr(into, records).extend(accepted)
    for outcome in {*refusals}:
        _relayed_records.add(signal, outcome, refusals.count(outcome))
    return Accepted(checked.SerializeToString() if kept else b"", kept, kept + len(refusals))


def _scopes_of(
    message: Any, groups: str, scopes: str, records: str, refusals: list[Outcome]
) -> Iterator[tuple[Any, Any]]:
    """Yield the scopes of a request with their records, no more than the most of each."""
    room = _MOST_RECORDS
    for group in getattr(message, groups)[:_MOST_GROUPS]:
        for scope in getattr(group, scopes)[:_MOST_GROUPS]:
            given = getattr(scope, records)
            refusals.extend(repeat("too_large", max(0, len(given) - room)))
            yield scope.scope, given[:room]
            room = max(0, room - len(given))


def _adopted(signal: Signal, records: Any, origin: Origin, refusals: list[Outcome]) -> Iterator[Any]:
    refusal_of, adopt = (refusal_of_span, adopt_span) if signal == "span" else (refusal_of_log, adopt_log)
    now = time.time_ns()
    for record in records:
        refusal = refusal_of(record, origin, now + SLACK)
        if refusal is None:
            adopt(record, origin, now)
            yield record
        else:
            refusals.append(refusal)
