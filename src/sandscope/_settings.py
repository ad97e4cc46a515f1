"""The ``SANDSCOPE_*`` environment variables that the SDK reads. OpenTelemetry's own settings are ``OTEL_*``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from sandscope._errors import SandscopeError

AUDIT_KEY = "SANDSCOPE_AUDIT_KEY"
"""The path of a key with which the security log is sealed. Default none."""

BAGGAGE = "SANDSCOPE_BAGGAGE"
"""``true``: propagate baggage to child processes and guests. Default ``false``."""

BLACK_BOX = "SANDSCOPE_BLACK_BOX"
"""``on``: what runs and what has not been delivered is kept in a file that outlives the process, or the absolute path
of a folder for the file. ``off``: it is not. ``auto``, the default: under ``sandscope run``, with compiled code.
"""

BLACK_BOX_OF_RUN = "SANDSCOPE_BLACK_BOX_OF_RUN"
"""The folder of ``sandscope run``, which it sets for the program."""

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 -- a private folder in it
"""A file system in memory: a file on a disk would make the calling thread wait for the disk at times."""

CARRIED_ATTRIBUTES = "SANDSCOPE_CARRIED_ATTRIBUTES"
"""A comma-separated list of attributes that executions copy from their parent span or baggage, or ``none``.
Default `CARRIED`.
"""

CARRIED = ("gen_ai.tool.name", "gen_ai.tool.call.id", "gen_ai.conversation.id", "session.id")

CHILDREN = "SANDSCOPE_CHILDREN"
"""``continue``: child processes continue the trace, and Python children are instrumented if this program was
instrumented by ``sandscope run`` or ``opentelemetry-instrument``. ``trace``: they continue the trace only. ``off``:
neither. Default ``continue``.
"""

EXIT_TIMEOUT = "SANDSCOPE_EXIT_TIMEOUT"
"""The maximum time in seconds to export remaining telemetry at exit, and at the end of a `multiprocessing.Pool`.
Default 4.
"""

METRIC_ATTRIBUTES = "SANDSCOPE_METRIC_ATTRIBUTES"
"""A comma-separated list of attributes of executions that are also on their metrics. Default none."""

METRIC_ATTRIBUTE_VALUES = "SANDSCOPE_METRIC_ATTRIBUTE_VALUES"
"""The maximum number of different values of each of these in a process; further ones are ``other``. Default 100."""

PYTEST = "SANDSCOPE_PYTEST"
"""``true``: the pytest plugin records the session, as with ``--sandscope``. Default ``false``."""

PYTEST_MESSAGES = "SANDSCOPE_PYTEST_MESSAGES"
"""``true``: with the messages of exceptions. Default ``false``."""

PYTEST_PARAMETERS = "SANDSCOPE_PYTEST_PARAMETERS"
"""``true``: with the parameters in the names of tests. Default ``false``."""

RECORDER = "SANDSCOPE_RECORDER"
"""``direct``: always record through the SDK on the calling thread. ``python``: do not use compiled code.
Default ``auto``.
"""

RELAY = "SANDSCOPE_RELAY"
"""``on``: children send their telemetry through this process, by a pipe. Default ``off``."""

SECURITY_USER = "SANDSCOPE_SECURITY_USER"
"""A comma-separated list of `SECURITY_USER_FIELDS` that `sandscope.security_event` records, or ``none``.
Default `_SECURITY_USER_DEFAULT`.
"""

SECURITY_USER_FIELDS = (
    *("user.id", "user.hash", "user.roles", "session.id", "client.address"),
    *("user.name", "user.full_name", "user.email"),
)
"""The names that semantic conventions have for who it was."""

_SECURITY_USER_DEFAULT = SECURITY_USER_FIELDS[:5]

SPOOL = "SANDSCOPE_SPOOL"
"""``on``: requests that the Collector does not take are kept in a folder on disk, and sent later; or the absolute path
of that folder. ``off``: they are not. ``auto``, the default: once an endpoint is set, or the Collector has answered.
"""

SPOOL_SIZE = "SANDSCOPE_SPOOL_SIZE"
"""The bytes that this folder may have, for all programs together. Default 67108864."""

SYSTEM_METRICS = "SANDSCOPE_SYSTEM_METRICS"
"""``true``: record metrics of the machine, the process and the interpreter, from the first execution on.
Default ``false``.
"""

_MAX_METRIC_ATTRIBUTE_VALUES = 1000
"""Half the number of attribute sets that OpenTelemetry's SDK keeps for a metric."""

_OF_EVERY_METRIC = ("sandbox.runtime", "sandbox.operation", "sandbox.verdict.", "sandbox.limit")
"""The beginnings of attributes that metrics have anyway."""

_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    *(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT" for signal in ("TRACES", "LOGS", "METRICS")),
)

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def audit_key() -> Path | None:
    """Return the path of the key with which the security log is sealed."""
    value = os.environ.get(AUDIT_KEY, "").strip()
    return Path(value) if value else None


def baggage() -> bool:
    """Return whether baggage is propagated to child processes and guests."""
    return read_boolean(BAGGAGE)


def black_box_folder(*, compiled: bool = True) -> Path | None:
    """Return the folder for black boxes; None if there are to be none.

    Args:
        compiled: whether the hot path is compiled. In Python, a black box costs too much to be there unasked.
    """
    value = os.environ.get(BLACK_BOX, "").strip()
    if os.path.isabs(value):  # noqa: PTH117 -- not a path yet
        return Path(value)
    if value.lower() not in {"", "auto", "off", "on"}:
        raise wrong_setting(BLACK_BOX, value, "auto, on, off or the absolute path of a folder")
    if value.lower() == "on":
        return default_black_box_folder()
    of_run = os.environ.get(BLACK_BOX_OF_RUN, "")
    return Path(of_run) if of_run and compiled and value.lower() != "off" else None


def black_boxes_are_off() -> bool:
    """Return whether there are to be no black boxes under ``sandscope run`` either."""
    return os.environ.get(BLACK_BOX, "").strip().lower() == "off"


def default_black_box_folder() -> Path:
    """Return this user's folder for black boxes."""
    return Path(_SHARED_MEMORY) / f"sandscope-{os.geteuid()}"


def spool_folder() -> Path | None:
    """Return the folder for requests that cannot be delivered; None if they are not to be kept."""
    value = os.environ.get(SPOOL, "").strip()
    if os.path.isabs(value):  # noqa: PTH117 -- not a path yet
        return Path(value)
    if value.lower() not in {"", "auto", "on", "off"}:
        raise wrong_setting(SPOOL, value, "auto, on, off or the absolute path of a folder")
    if value.lower() == "off":
        return None
    state = os.environ.get("XDG_STATE_HOME", "")
    base = state if os.path.isabs(state) else os.path.expanduser("~/.local/state")  # noqa: PTH111, PTH117 -- at start
    return Path(base) / "sandscope" / "spool" if os.path.isabs(base) else None  # noqa: PTH117 -- as above


def spool_is_expected() -> bool:
    """Return whether somebody has asked for the spool, or has said where the Collector is."""
    is_asked_for = os.environ.get(SPOOL, "").strip().lower() not in {"", "auto"}
    return is_asked_for or any(os.environ.get(name) for name in _ENDPOINTS)


def spool_size() -> int:
    """Return the maximum size of that folder in bytes."""
    value = os.environ.get(SPOOL_SIZE, "").strip() or str(64 << 20)
    size = int(value) if value.isascii() and value.isdigit() else 0
    if not size:
        raise wrong_setting(SPOOL_SIZE, value, "a positive number of bytes")
    return size


def carried_attributes() -> tuple[str, ...]:
    """Return the names of the attributes that executions copy from their parent span or baggage."""
    value = os.environ.get(CARRIED_ATTRIBUTES)
    return CARRIED if value is None else _names(value)


@lru_cache(maxsize=4)
def _names(value: str) -> tuple[str, ...]:
    names = (name.strip() for name in value.split(","))
    return tuple(name for name in names if name and name.lower() != "none")


def metric_attributes() -> tuple[str, ...]:
    """Return the names of the attributes of executions that are also on metrics."""
    value = os.environ.get(METRIC_ATTRIBUTES)
    return () if not value else _names(value)


def metric_attribute_values() -> int:
    """Return the maximum number of different values of such an attribute."""
    value = os.environ.get(METRIC_ATTRIBUTE_VALUES, "").strip()
    count = int(value or 100) if (value or "100").isdecimal() else 0
    if not 1 <= count <= _MAX_METRIC_ATTRIBUTE_VALUES:
        raise wrong_setting(
            METRIC_ATTRIBUTE_VALUES, value, f"a number from 1 to {_MAX_METRIC_ATTRIBUTE_VALUES}"
        )
    return count


def children() -> str:
    """Return what child processes get: ``continue``, ``trace`` or ``off``."""
    return read_choice(CHILDREN, ("continue", "trace", "off"))


def exit_timeout() -> float:
    """Return the maximum time in seconds to export remaining telemetry at exit."""
    value = os.environ.get(EXIT_TIMEOUT, "").strip()
    try:
        seconds = float(value or 4)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise wrong_setting(EXIT_TIMEOUT, value, "a number of seconds")
    return seconds


def system_metrics() -> bool:
    """Return whether metrics of the machine, the process and the interpreter are recorded.

    Raises:
        SandscopeError: if they are to be, and what records them is not installed.
    """
    if not read_boolean(SYSTEM_METRICS):
        return False
    from sandscope import _installed

    if _installed.SYSTEM_METRICS not in _installed.instrumentations(sys.path):
        raise SandscopeError(
            "Cannot record system metrics: opentelemetry-instrumentation-system-metrics is not installed. "
            f"Run `pip install 'sandscope[system]'`, or leave {SYSTEM_METRICS} out."
        )
    return True


def relay() -> bool:
    """Return whether children send their telemetry through this process."""
    return read_choice(RELAY, ("off", "on")) == "on"


def security_user() -> tuple[str, ...]:
    """Return the names that `sandscope.security_event` records of a user."""
    if not os.environ.get(SECURITY_USER, "").strip():
        return _SECURITY_USER_DEFAULT
    return read_subset(SECURITY_USER, SECURITY_USER_FIELDS)


def always_direct() -> bool:
    """Return whether executions are always recorded on the calling thread."""
    return read_choice(RECORDER, ("auto", "direct", "python")) == "direct"


def sdk_disabled() -> bool:
    """Return whether ``OTEL_SDK_DISABLED`` is ``true``: nothing is patched, recorded or sent."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"  # as the SDK reads it


def check() -> None:
    """Raise a SandscopeError for the first variable with an invalid value; called at start-up."""
    always_direct()
    baggage()
    black_box_folder()
    children()
    exit_timeout()
    relay()
    security_user()
    spool_folder()
    spool_size()
    system_metrics()
    _check_metric_attributes()


def _check_metric_attributes() -> None:
    metric_attribute_values()
    for name in metric_attributes():
        if name.startswith(_OF_EVERY_METRIC):
            raise wrong_setting(
                METRIC_ATTRIBUTES, name, "an attribute of a program, such as a user or a submission"
            )


def read_boolean(name: str, *, default: bool = False) -> bool:
    """Return the value of a Boolean environment variable.

    Args:
        name: the variable's name.
        default: the value if the variable is unset or empty.

    Raises:
        SandscopeError: if the value is not a Boolean.
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
    """Return the value of an environment variable with a fixed set of values.

    Args:
        name: the variable's name.
        choices: the values; the first is the default if the variable is unset or empty.

    Raises:
        SandscopeError: if the value is not one of the choices.
    """
    value = os.environ.get(name, "").strip().lower() or choices[0]
    if value not in choices:
        raise wrong_setting(name, value, one_of(choices))
    return value


def read_subset(name: str, choices: Sequence[str]) -> tuple[str, ...]:
    """Return the values in an environment variable with a comma-separated list, in the order of ``choices``.

    Args:
        name: the variable's name.
        choices: the values; ``none``, the default, is none of them.

    Raises:
        SandscopeError: if one is not of the choices.
    """
    value = os.environ.get(name, "").strip().lower()
    given = [each.strip() for each in value.split(",")] if value and value != "none" else []
    if not {*given} <= {*choices}:
        raise wrong_setting(name, value, some_of(choices))
    return tuple(each for each in choices if each in given)


def read_patterns(name: str) -> tuple[str, ...]:
    """Return the patterns in an environment variable, with commas between them; ``none`` is the default.

    Raises:
        SandscopeError: if one is empty.
    """
    value = os.environ.get(name, "").strip()
    found = tuple(each.strip() for each in value.split(",")) if value and value != "none" else ()
    if not all(found):
        raise wrong_setting(name, value, PATTERNS)
    return found


def read_threshold(name: str) -> int | None:
    """Return the value of an environment variable with a positive integer; None if it is ``off``, the default.

    Raises:
        SandscopeError: if it is neither.
    """
    value = os.environ.get(name, "").strip().lower() or "off"
    if value == "off":
        return None
    if not (value.isascii() and value.isdigit()) or int(value) == 0:
        raise wrong_setting(name, value, POSITIVE)
    return int(value)


PATTERNS = "a list of patterns"
POSITIVE = "a positive integer or off"


def some_of(choices: Sequence[str]) -> str:
    """Return the choices of `read_subset` as a phrase."""
    return f"none or a list of {', '.join(choices)}"


def one_of(choices: Sequence[str]) -> str:
    """Return the choices as a phrase, such as ``a, b or c``."""
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


def wrong_setting(name: str, value: object, expected: str) -> SandscopeError:
    """Return the error for an environment variable or argument with an invalid value.

    Args:
        name: the name of the variable or argument.
        value: its value.
        expected: a description of the valid values.
    """
    return SandscopeError(
        f"Cannot read {name}={value!r}: it is not {expected}. Set it to {expected}, or leave it out."
    )
