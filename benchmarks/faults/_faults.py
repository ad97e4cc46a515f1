"""The faults: each happens to what runs, and returns when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from threading import Thread

from benchmarks.faults._field import Field
from benchmarks.faults._stores import STORE_NAMES

Fault = Callable[[Field, Random, bool], None]
"""Takes what runs, the source of chance, and whether it is to be short."""


def nothing(field: Field, _random: Random, short: bool) -> None:
    """Nothing happens: what the other figures are compared with."""
    time.sleep(1 if short else 5)


def program_killed(field: Field, random: Random, short: bool) -> None:
    """Each program is killed by SIGKILL at a random moment, and started again."""
    for _ in range(1 if short else 3):
        for program in field.programs:
            time.sleep(random.uniform(0, 1.5))
            program.kill()
            program.start()


def collector_killed(field: Field, random: Random, short: bool) -> None:
    """The Collector is killed by SIGKILL at a random moment, and started again after up to 3 s."""
    for _ in range(1 if short else 3):
        time.sleep(random.uniform(0, 1.5))
        field.kill_collector()
        time.sleep(random.uniform(0, 3))
        field.start_collector()


def collector_stopped(field: Field, _random: Random, short: bool) -> None:
    """The Collector is stopped (SIGSTOP) for 20 s, or 6 s."""
    field.stop_collector(6 if short else 20)


def store_killed(name: str) -> Fault:
    """Return the fault that a store is killed for a minute, or 10 s."""

    def killed(field: Field, _random: Random, short: bool) -> None:
        field.stores[name].kill()
        time.sleep(10 if short else 60)
        field.stores[name].start()

    killed.__doc__ = f"{name} is killed by SIGKILL for a minute, or 10 s."
    return killed


def collector_killed_while_a_store_is_down(field: Field, random: Random, short: bool) -> None:
    """A store is down, and the Collector is killed and started again meanwhile."""
    store = field.stores[random.choice(STORE_NAMES)]
    store.kill()
    time.sleep(random.uniform(1, 3))
    collector_killed(field, random, short)
    time.sleep(1 if short else 10)
    store.start()


def clock_set_back(field: Field, random: Random, short: bool) -> None:
    """The clock of the programs is set back by up to half an hour."""
    assert field.clock is not None
    field.clock.set_back(random.randrange(1, 1800))
    time.sleep(2 if short else 10)


def disk_full(field: Field, _random: Random, short: bool) -> None:
    """The disk of the spool is full while the Collector has ended: what memory does not hold is lost, and counted."""
    assert field.disk is not None
    field.disk.fill()
    _without_collector(field, 20 if short else 60)
    field.disk.free()


def spool_full(field: Field, _random: Random, short: bool) -> None:
    """The Collector has ended for longer than the spool has room for: the oldest is dropped, and counted."""
    _without_collector(field, 15 if short else 60)


def _without_collector(field: Field, seconds: float) -> None:
    """End the Collector as it should end: what it has taken, it has acknowledged, so that losses can be counted."""
    field.collector.stop()
    time.sleep(seconds)
    field.collector.start()


def all_at_once(field: Field, random: Random, short: bool) -> None:
    """All of the above at the same time, except what is lost by design: a killed program could not count it."""
    together: list[Fault] = [
        *map(store_killed, STORE_NAMES),
        program_killed,
        *([clock_set_back] if field.clock else []),
    ]
    seeds = [random.random() for _ in together]
    threads = [
        Thread(target=fault, args=(field, Random(seed), short))  # noqa: S311 -- to be repeated
        for fault, seed in zip(together, seeds, strict=True)
    ]
    for thread in threads:
        thread.start()
    collector_killed(field, random, short)
    collector_stopped(field, random, short)
    for thread in threads:
        thread.join()


FAULTS: dict[str, Fault] = {
    "nothing": nothing,
    "program": program_killed,
    "collector": collector_killed,
    "collector-stopped": collector_stopped,
    **{name: store_killed(name) for name in STORE_NAMES},
    "collector-and-store": collector_killed_while_a_store_is_down,
    "clock": clock_set_back,
    "disk-full": disk_full,
    "spool-full": spool_full,
    "all": all_at_once,
}
COUNTS_LOSSES = {"disk-full", "spool-full"}
"""In these, what exceeds is lost. It has to be counted."""
ON_A_SMALL_DISK = {"disk-full"}
VARIABLES = {
    "disk-full": {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"},
    "spool-full": {"SANDSCOPE_SPOOL_SIZE": "524288"},
}
"""Environment variables of the programs. The shorter a try is, the sooner memory gives up what cannot be kept."""
