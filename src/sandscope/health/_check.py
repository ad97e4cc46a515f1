"""The declaration of a check, and the decorator for a program's own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sandscope._errors import SandscopeError
from sandscope.health._result import Result, presentable, unhealthy

Function = Callable[[], "Result | Awaitable[Result | None] | None"]

MAX_CHECKS = 64
"""The name of a check is an attribute of metrics."""


@dataclass(frozen=True)
class Check:
    """A check.

    Attributes:
        name: its name.
        function: returns a `Result`, or None if all is well; may be a coroutine function.
        critical: whether the program is unhealthy if this check is.
        failures: after how many results in a row a worse status counts.
        recoveries: after how many results in a row a better status counts.
        timeout: after how many seconds without a result it is unhealthy.
    """

    name: str
    function: Function
    critical: bool = False
    failures: int = 3
    recoveries: int = 2
    timeout: float = 5.0

    def __post_init__(self) -> None:
        """Raise a SandscopeError if a value makes no sense."""
        for name, value in (
            ("failures", self.failures),
            ("recoveries", self.recoveries),
            ("timeout", self.timeout),
        ):
            if value <= 0:
                raise SandscopeError(
                    f"Cannot use the health check {self.name!r}: {name}={value!r}. Give a positive number."
                )

    def run(self) -> Result:
        """Run the check on this thread; an exception is the result unhealthy, with its class as the message."""
        try:
            found = self.function()
            if inspect.isawaitable(found):
                found = asyncio.run(_awaited(found))
            return presentable(found)
        except Exception as error:  # noqa: BLE001 -- whatever a check raises, the others continue
            return unhealthy(type(error).__name__)  # its text may contain addresses and passwords


async def _awaited(found: Awaitable[Any]) -> Any:
    return await found


registered: dict[str, Check] = {}


def check(
    name: str, *, critical: bool = False, failures: int = 3, recoveries: int = 2, timeout: float = 5.0
) -> Callable[[Function], Function]:
    """Register a function as a check of this program; the function itself stays as it is.

    Args:
        name: the check's name, in the JSON and as an attribute of metrics.
        critical: whether the program is unhealthy if this check is; otherwise it is degraded.
        failures: after how many results in a row a worse status counts.
        recoveries: after how many results in a row a better status counts.
        timeout: seconds after which a check that has not returned is unhealthy.

    Raises:
        SandscopeError: if a check has this name, or there are too many.
    """

    def register(function: Function) -> Function:
        added = Check(name, function, critical, failures, recoveries, timeout)
        if name in registered or len(registered) >= MAX_CHECKS:
            cause = "it exists" if name in registered else f"there are {MAX_CHECKS} already"
            raise SandscopeError(
                f"Cannot add the health check {name!r}: {cause}. Use another name, or fewer checks."
            )
        registered[name] = added
        return function

    return register
