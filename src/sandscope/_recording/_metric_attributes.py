"""The attributes of executions that the program's settings allow on metrics, such as its users or submissions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sandscope import _settings
from sandscope._execution import NO_ATTRIBUTES, Execution

OTHER = "other"
"""The value of all values beyond the limit."""

_MAX_LENGTH = 128
"""In characters."""

_known: dict[str, set[str]] = {}
"""The values so far, by attribute. Never more than the limit, because every value is a time series of its own."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_known.clear)


def allowed_attributes(execution: Execution) -> Mapping[str, str]:
    """Return an execution's values of the attributes that are allowed on metrics. None are by default.

    They are its own, or copied from its parent span or baggage. An attribute that it does not have is left out.
    """
    names = _settings.metric_attributes()
    if not names:
        return NO_ATTRIBUTES
    details, site = execution.details, execution.site
    own: Mapping[str, Any] = {} if details is None else details.attributes
    found = {name: own.get(name, site.attributes.get(name)) for name in names}
    return {name: _capped(name, str(value)) for name, value in found.items() if value is not None}


def _capped(name: str, value: str) -> str:
    value = value[:_MAX_LENGTH]
    known = _known.setdefault(name, set())
    if value not in known:
        if len(known) >= _settings.metric_attribute_values():
            return OTHER
        known.add(value)
    return value
