"""Checks of the machine, the Collector and the stores."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from types import ModuleType

from opentelemetry.instrumentation.utils import suppress_http_instrumentation

from sandscope._errors import SandscopeError
from sandscope._metric import QUEUED, WORKERS
from sandscope._recording._executors import STATE
from sandscope._recording._observed import current_values
from sandscope.health._check import Check
from sandscope.health._result import Result, degraded, healthy, unhealthy, unknown


def disk(path: str = "/", *, warn: float = 80.0, limit: float = 95.0, critical: bool = True) -> Check:
    """Check how full the file system of a path is.

    Args:
        path: a path on it.
        warn: from this percentage on, degraded.
        limit: from this percentage on, unhealthy.
        critical: see `Check`.
    """

    def used() -> tuple[float, int]:
        usage = shutil.disk_usage(path)
        return 100 * usage.used / (
            usage.used + usage.free
        ), usage.used  # without what is reserved, as df counts

    return Check("disk", _percentage("disk", used, warn, limit), critical)


def memory(*, warn: float = 85.0, limit: float = 95.0, critical: bool = False) -> Check:
    """Check how much of the machine's memory is in use, in percent as for `disk`; needs psutil."""
    psutil = _psutil("memory")

    def used() -> tuple[float, int]:
        usage = psutil.virtual_memory()
        return usage.percent, usage.used

    return Check("memory", _percentage("memory", used, warn, limit), critical)


def cpu(*, warn: float = 80.0, limit: float = 95.0, critical: bool = False) -> Check:
    """Check how busy the processors have been since the last round, in percent as for `disk`; needs psutil."""
    psutil = _psutil("cpu")
    psutil.cpu_percent()  # the first call has nothing to compare with
    return Check("cpu", _percentage("CPU", lambda: (psutil.cpu_percent(), None), warn, limit), critical)


def network(*, critical: bool = False) -> Check:
    """Check whether an interface other than loopback is up; needs psutil."""
    psutil = _psutil("network")

    def interfaces() -> Result:
        up = [
            name for name, each in psutil.net_if_stats().items() if each.isup and "loopback" not in each.flags
        ]
        return healthy(f"up: {', '.join(up)}", interfaces=len(up)) if up else unhealthy("no interface is up")

    return Check("network", interfaces, critical)


def pool(*, queued: int = 100, critical: bool = True) -> Check:
    """Check the workers and queues of this program: of `sandscope.worker`, `sandscope.queue` and executors.

    Unhealthy if no worker is healthy; degraded if one of them is not, or if too many executions wait; unknown if
    there are neither workers nor queues.

    Args:
        queued: how many executions may wait.
        critical: see `Check`.
    """

    def counted() -> Result:
        states: Counter[str] = Counter()
        for attributes, number in current_values(WORKERS):
            states[attributes[STATE]] += int(number)
        lengths = [int(length) for _, length in current_values(QUEUED)]
        if not states and not lengths:
            return unknown("there are no workers and no queues")
        details = {**states, "queued": sum(lengths)}
        if states and not states["healthy"]:
            return unhealthy("no worker is healthy", **details)
        if sum(states.values()) > states["healthy"]:
            return degraded("some workers are not healthy", **details)
        if sum(lengths) > queued:
            return degraded(f"more than {queued} executions wait", **details)
        return healthy("the workers are healthy" if states else "few executions wait", **details)

    return Check("pool", counted, critical)


def collector(url: str | None = None, *, critical: bool = False) -> Check:
    """Check whether the Collector says that it is healthy.

    Args:
        url: of its health check; by default, port ``SANDSCOPE_HEALTH_PORT``, else 13133, of this machine.
        critical: see `Check`.
    """
    address = url or f"http://127.0.0.1:{os.environ.get('SANDSCOPE_HEALTH_PORT') or 13133}"
    return Check("collector", lambda: _answers(address), critical)


def stores(*, critical: bool = False, **urls: str) -> Check:
    """Check whether stores are ready.

    Args:
        critical: see `Check`.
        urls: the address that answers 200 when a store is ready, by the name of the store, such as
            ``prometheus="http://127.0.0.1:9090/-/ready"``.
    """

    def ready() -> Result:
        found = {name: _answers(url).status for name, url in urls.items()}
        away = sorted(name for name, status in found.items() if status != "healthy")
        if not found:
            return unknown("no store is named")
        if not away:
            return healthy("all are ready", **found)
        result = unhealthy if len(away) == len(found) else degraded
        return result(f"not ready: {', '.join(away)}", **found)

    return Check("stores", ready, critical)


def _percentage(
    what: str, measure: Callable[[], tuple[float, int | None]], warn: float, limit: float
) -> Callable[[], Result]:
    def check() -> Result:
        used, amount = measure()
        result = unhealthy if used >= limit else degraded if used >= warn else healthy
        details = {"percent": round(used, 1), "warn": warn, "limit": limit}
        if amount is not None:
            details["bytes"] = amount
        return result(f"{used:.0f} % of {what} in use", **details)

    return check


def _answers(url: str) -> Result:
    # Ignores proxy settings: a proxy cannot reach this machine's loopback interface.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with suppress_http_instrumentation(), opener.open(url, timeout=3) as response:
            return healthy("it answers", code=response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return unhealthy(f"it answers {error.code}", code=error.code)
    except OSError as error:
        return unhealthy(f"it does not answer: {getattr(error, 'reason', error)}")


def _psutil(name: str) -> ModuleType:
    try:
        import psutil
    except ImportError as error:
        raise SandscopeError(
            f"Cannot check {name!r}: psutil is not installed. Run `pip install 'sandscope[health]'`."
        ) from error
    module: ModuleType = psutil
    return module
