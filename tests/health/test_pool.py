"""The check of the program's own workers and queues."""

from __future__ import annotations

import sandscope
from sandscope import health


def test_a_pool_is_as_well_as_its_workers() -> None:
    check = health.pool()
    assert check.critical
    assert check.run().status == "unknown"
    with sandscope.worker() as first, sandscope.worker() as second:
        assert check.run() == health.healthy(
            "the workers are healthy", healthy=2, unhealthy=0, quarantined=0, queued=0
        )
        second.state = "quarantined"
        assert check.run().status == "degraded"
        assert check.run().details["quarantined"] == 1
        first.state = "unhealthy"
        assert check.run().status == "unhealthy"
    assert check.run().status == "unknown"


def test_a_queue_that_is_too_long_is_degraded() -> None:
    waiting = [0] * 3
    with sandscope.queue("jobs", lambda: len(waiting)):
        assert health.pool(queued=3).run() == health.healthy("few executions wait", queued=3)
        assert health.pool(queued=2).run() == health.degraded("more than 2 executions wait", queued=3)


def test_a_queue_that_cannot_be_read_does_not_fail_the_check() -> None:
    def broken() -> int:
        raise OSError("canary")

    with sandscope.queue("jobs", broken):
        found = health.pool().run()
    assert (found.status, "canary" in found.message) == ("unknown", False)
