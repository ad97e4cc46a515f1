"""Health checks of a program: served as JSON on loopback, as metrics, and as log records when something changes.

    from sandscope import health

    @health.check("queue", critical=True)
    def queue():
        return health.degraded("long queue") if len(waiting) > 100 else None

    monitor = health.start(health.disk(), health.memory(), health.cpu(), health.collector(), port=8080)

A check returns None if all is well, or a `Result`; an exception means unhealthy. Nothing here is imported, and no
thread is started, before a program asks for it.
"""

from sandscope.health._builtin import collector, cpu, disk, memory, network, pool, stores
from sandscope.health._check import Check, check
from sandscope.health._monitor import Monitor, start
from sandscope.health._result import Result, Status, degraded, healthy, unhealthy, unknown

__all__ = [
    "Check",
    "Monitor",
    "Result",
    "Status",
    "check",
    "collector",
    "cpu",
    "degraded",
    "disk",
    "healthy",
    "memory",
    "network",
    "pool",
    "start",
    "stores",
    "unhealthy",
    "unknown",
]
