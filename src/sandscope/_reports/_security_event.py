"""Security events that a program reports itself."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

from sandscope import _guard, _settings
from sandscope._details import Value
from sandscope._execution import Severity
from sandscope._locks import new_lock
from sandscope._manual import OTHER, get_recorder
from sandscope._metric import SECURITY_EVENTS
from sandscope._recording._incidents import SECURITY_TYPE

EVENT = "security.event"
SecuritySeverity: TypeAlias = Literal["low", "medium", "high"]

KNOWN: dict[str, SecuritySeverity] = {
    "auth_failure": "high",
    "auth_success": "low",
    "access_denied": "medium",
    "injection_attempt": "high",
    "privilege_escalation": "high",
    "data_exfiltration": "high",
    "rate_limit_exceeded": "medium",
    "configuration_change": "low",
    "suspicious_model_load": "medium",
}
"""The severity of each type, unless the program says otherwise. Own types are ``medium``."""

_SEVERITIES: dict[SecuritySeverity, Severity] = {"low": "INFO", "medium": "WARN", "high": "ERROR"}
_OWN_TYPE = re.compile("[a-z][a-z0-9_]{0,63}")
_MAX_OWN_TYPES = 32
"""The maximum number of own types in a process, because the type is an attribute of a metric."""
_MAX_ATTRIBUTES = 32
_MAX_TEXT = 1024
"""Characters of a message or a value; the rest is cut off."""
_MAX_ITEMS = 16
_OF_SANDSCOPE = ("security.", "user.", "enduser.")
_SCALARS = (str, bool, int, float)

_logger = logging.getLogger("sandscope")
_lock = new_lock()
_own_types: set[str] = set()
_left_out: set[str] = set()


def security_event(
    event_type: str,
    message: str = "",
    *,
    severity: SecuritySeverity | None = None,
    user: Mapping[str, object] | None = None,
    attributes: Mapping[str, object] | None = None,
) -> None:
    """Report an event that is relevant to security: a log record in the current trace, and a count.

        sandscope.security_event("auth_failure", "wrong password", user={"user.id": account.id})

    The message, the user and the attributes may come from anywhere: what cannot be recorded is left out or cut off, and
    raises nothing.

    Args:
        event_type: ``auth_failure``, ``auth_success``, ``access_denied``, ``injection_attempt``,
            ``privilege_escalation``, ``data_exfiltration``, ``rate_limit_exceeded``, ``configuration_change``,
            ``suspicious_model_load``, or a name of your own in lower case. A process can use 32 of these; further
            ones are recorded as ``other``.
        message: one line for a human reader, of at most 1024 characters.
        severity: ``low``, ``medium`` or ``high``; by default that of the type, ``medium`` for names of your own.
        user: who it was, by the names of ``SANDSCOPE_SECURITY_USER``. Other names are left out, so that a whole account
            may be passed.
        attributes: what else is known, 32 at most; scalars, or lists of 16 strings at most.

    Raises:
        TypeError: if the type is not a string.
        ValueError: if the type is not a name in lower case, or the severity is not one of the three.
    """
    _check(event_type, severity)
    try:
        recorder = get_recorder()
        if recorder is None:
            return
        name = _limited(event_type)
        record: dict[str, Value] = {**_own(attributes), **_user(user), SECURITY_TYPE: name}
        text = _text(message)
        level = _SEVERITIES[severity or KNOWN.get(event_type, "medium")]
        recorder.log(EVENT, f"{name}: {text}" if text else name, severity=level, attributes=record)
        recorder.measure(SECURITY_EVENTS, 1, {SECURITY_TYPE: name})
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("security", error)


def _check(event_type: object, severity: object) -> None:
    if not isinstance(event_type, str):
        raise TypeError(f"Cannot report a security event: its type is {event_type!r}, not a string.")
    if not _OWN_TYPE.fullmatch(event_type):
        raise ValueError(
            f"Cannot report a security event of type {event_type!r}. Use one of {', '.join(KNOWN)}, "
            "or a name of lower-case letters, digits and underscores."
        )
    if severity is not None and severity not in get_args(SecuritySeverity):
        raise ValueError(
            f"Cannot report a security event of severity {severity!r}. "
            f"Use one of {', '.join(get_args(SecuritySeverity))}."
        )


def _limited(event_type: str) -> str:
    if event_type in KNOWN:
        return event_type
    with _lock:
        if event_type in _own_types:
            return event_type
        if len(_own_types) < _MAX_OWN_TYPES:
            _own_types.add(event_type)
            return event_type
        if OTHER not in _own_types:
            _own_types.add(OTHER)
            _logger.warning(
                "Security events of type %s are recorded as %s: the limit of %d own types is reached.",
                *(event_type, OTHER, _MAX_OWN_TYPES),
            )
    return OTHER


def _user(user: Mapping[str, object] | None) -> dict[str, Value]:
    allowed = _settings.security_user()
    found: dict[str, Value] = {}
    for key, value in _items(user):
        if key in allowed:
            _put(found, key, value)
        elif key not in _left_out and len(_left_out) < _MAX_ATTRIBUTES:
            _left_out.add(key)
            _logger.warning("%s does not allow %.64r: it is left out.", _settings.SECURITY_USER, key)
    return found


def _own(attributes: Mapping[str, object] | None) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for key, value in _items(attributes):
        # The allow-list must not have a way around it.
        if not key.startswith(_OF_SANDSCOPE) and key not in _settings.SECURITY_USER_FIELDS:
            _put(found, key, value)
    return found


def _items(mapping: Mapping[str, object] | None) -> list[tuple[str, object]]:
    if not isinstance(mapping, Mapping):
        return []
    return [(key, value) for key, value in mapping.items() if isinstance(key, str) and key]


def _put(found: dict[str, Value], key: str, value: Any) -> None:
    if isinstance(value, (list, tuple, set, frozenset)):
        value = tuple(_text(each) for each in list(value)[:_MAX_ITEMS])
    elif isinstance(value, str):
        value = _text(value)
    elif not isinstance(value, _SCALARS):
        return
    if len(found) < _MAX_ATTRIBUTES:
        found[_text(key)[:128]] = value


def _text(value: object) -> str:
    """Return a text that OTLP can carry: without lone surrogates, and of limited length."""
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 -- a program's class may do anything
        return ""
    return text[:_MAX_TEXT].encode("utf-8", "replace").decode()
