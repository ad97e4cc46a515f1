"""The values in OTLP/JSON: attributes, numbers and times, whatever they contain."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeAlias

Item: TypeAlias = "dict[str, Any]"

_MIN_TIME, _MAX_TIME = 0, (1 << 63) - 1
_SCALARS = frozenset(("stringValue", "intValue", "boolValue", "doubleValue"))


def items(item: Item, name: str) -> list[Any]:
    """Return a list that may be absent."""
    return item.get(name) or []


def attributes(item: Item) -> dict[str, str]:
    """Return the attributes of an item; those without a value are left out."""
    found: dict[str, str] = {}
    for pair in item.get("attributes") or ():
        value = pair["value"]
        text = value.get("stringValue")
        if text is None:
            text = _text_of(value)
            if text is None:
                continue
        found[pair["key"]] = text
    return found


def text(value: Any) -> str | None:
    """Return an ``AnyValue`` as text."""
    return None if value is None else _text_of(value)


def time(value: Any) -> int | None:
    """Return nanoseconds since 1970; None if it is not a time that a column can hold."""
    number = integer(value)
    return number if number is not None and _MIN_TIME < number <= _MAX_TIME else None


def times(values: Iterable[Any]) -> list[int | None]:
    """Return the same for many."""
    values = list(values)
    try:
        numbers: list[int | None] = list(map(int, values))
    except (TypeError, ValueError, OverflowError):
        return list(map(time, values))
    if numbers and (min(numbers) <= _MIN_TIME or max(numbers) > _MAX_TIME):  # type: ignore[type-var, operator]
        return list(map(time, values))
    return numbers


def integer(value: Any) -> int | None:
    """Return a number; None if a column cannot hold it."""
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= _MAX_TIME else None


def real(value: Any) -> float | None:
    """Return a number; None if it is not one."""
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def named(names: tuple[str, ...], number: Any) -> str:
    """Return the name of a number of an enumeration; the first of them if it has none."""
    return names[number] if isinstance(number, int) and 0 <= number < len(names) else names[0]


def json_list(objects: Iterable[Item]) -> str | None:
    """Return a list as JSON; None if it is empty."""
    found = list(objects)
    if not found:
        return None
    import orjson

    return orjson.dumps(found).decode()


def _text_of(value: Item) -> str | None:
    found = None
    for kind, content in value.items():
        if kind not in _SCALARS:
            content = _plain(value)  # noqa: PLW2901 -- what it stands for
        found = content if content is None or isinstance(content, str) else json.dumps(content)
    return found


def _plain(value: Any) -> Any:
    """Return what an ``AnyValue`` stands for; integers stay text, as they are in JSON."""
    for kind, content in (value or {}).items():
        if kind == "arrayValue":
            return [_plain(each) for each in items(content, "values")]
        if kind == "kvlistValue":
            return {each["key"]: _plain(each.get("value")) for each in items(content, "values")}
        return content
    return None
