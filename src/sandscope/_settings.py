"""Every ``SANDSCOPE_*`` variable that the SDK reads; what OpenTelemetry names stays with ``OTEL_*``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache

from sandscope._errors import SandscopeError

BAGGAGE = "SANDSCOPE_BAGGAGE"
"""``true``: baggage goes into children and guests as well. Default ``false``."""

CARRIED_ATTRIBUTES = "SANDSCOPE_CARRIED_ATTRIBUTES"
"""Names, separated by commas: attributes that executions carry from their parent span or baggage. ``none``: none.
Default `CARRIED`.
"""

CARRIED = ("gen_ai.tool.name", "gen_ai.tool.call.id", "gen_ai.conversation.id", "session.id")

EXIT_TIMEOUT = "SANDSCOPE_EXIT_TIMEOUT"
"""Seconds that sending the rest may take when the program ends. Default 4."""

RECORDER = "SANDSCOPE_RECORDER"
"""``direct``: record through the SDK on the calling thread, always; ``python``: never by compiled code.
Default ``auto``.
"""

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def baggage() -> bool:
    """Return whether baggage goes into children and guests."""
    return read_boolean(BAGGAGE)


def carried_attributes() -> tuple[str, ...]:
    """Return the attributes that executions carry from their parent span or baggage."""
    value = os.environ.get(CARRIED_ATTRIBUTES)
    return CARRIED if value is None else _names(value)


@lru_cache(maxsize=4)
def _names(value: str) -> tuple[str, ...]:
    names = (name.strip() for name in value.split(","))
    return tuple(name for name in names if name and name.lower() != "none")


def exit_timeout() -> float:
    """Return how many seconds sending may take after the program's own end."""
    value = os.environ.get(EXIT_TIMEOUT, "").strip()
    try:
        seconds = float(value or 4)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise wrong_setting(EXIT_TIMEOUT, value, "a number of seconds")
    return seconds


def always_direct() -> bool:
    """Return whether executions are to be recorded on the calling thread."""
    return read_choice(RECORDER, ("auto", "direct", "python")) == "direct"


def check() -> None:
    """Raise for the first variable that cannot be read, while starting."""
    always_direct()
    baggage()
    exit_timeout()


def read_boolean(name: str, *, default: bool = False) -> bool:
    """Return the value of a variable that is true or false.

    Args:
        name: of the variable.
        default: what it is where it is unset or empty.

    Raises:
        SandscopeError: if it is neither.
    """
    value = os.environ.get(name, "").strip().lower()
    if not value:
        return default
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise wrong_setting(name, value, "true or false")


def read_choice(name: str, choices: Sequence[str]) -> str:
    """Return the value of a variable that is one of a few words.

    Args:
        name: of the variable.
        choices: the words; the first is taken where it is unset or empty.

    Raises:
        SandscopeError: if it is none of them.
    """
    value = os.environ.get(name, "").strip().lower() or choices[0]
    if value not in choices:
        raise wrong_setting(name, value, one_of(choices))
    return value


def one_of(choices: Sequence[str]) -> str:
    """Return words as a sentence lists them: ``a, b or c``."""
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


def wrong_setting(name: str, value: object, wanted: str) -> SandscopeError:
    """Return the error for a variable or argument that cannot be read.

    Args:
        name: of the variable or argument.
        value: what it is.
        wanted: what it is to be instead.
    """
    return SandscopeError(
        f"Cannot read {name}={value!r}: it is not {wanted}. Set it to {wanted}, or leave it out."
    )
