"""What a fault has cost: for each store, how many executions were sent, are there, are lost, are there twice."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from benchmarks.faults._expected import expected
from benchmarks.faults._faults import COUNTS_LOSSES
from benchmarks.faults._field import Field

PATIENCE = 90.0
"""Seconds to wait for what has not arrived yet."""
SIGNALS = {"jaeger": "span", "spans on disk": "span", "loki": "log", "logs on disk": "log"}
"""The signal that a store has."""
SAMPLE = 30
"""Executions of each program that are looked up again and again until they are there, twice as many in all."""


@dataclass(frozen=True)
class Row:
    """What a store has of the executions of all programs.

    Attributes:
        fault: its name.
        round: its number.
        store: its name.
        sent: executions that a program has seen ending.
        stored: how many of them are in the store.
        renamed: how many of these have another id than the program gave them (`_expected`).
        counted: how many records the programs have counted as lost.
        duplicated: how many records there are more than one of each.
        recovered: seconds from the end of the fault until all that had been sent by then was in the store.
        lost_ids: some of those that are lost.
    """

    fault: str
    round: int
    store: str
    sent: int
    stored: int
    renamed: int
    counted: int
    duplicated: int
    recovered: float | None
    lost_ids: list[str]

    @property
    def lost(self) -> int:
        """How many are not in the store."""
        return self.sent - self.stored

    @property
    def unexplained(self) -> int:
        """How many are lost and not counted, or counted and not lost."""
        return abs(self.counted - self.lost)


def recovery(field: Field, fault: str) -> dict[str, float | None]:
    """Wait until what programs have seen ending by now is in the stores; return how long each store has taken.

    Only a sample is looked up here, so that looking up does not take longer than the stores do.
    """
    over = time.monotonic()
    counts = {program.service: len(program.acknowledged()) for program in field.programs}
    sample = _latest if fault in COUNTS_LOSSES else _sample
    taken: dict[str, float | None] = dict.fromkeys(field.lookup.by_id())
    while time.monotonic() < over + PATIENCE and None in taken.values():
        samples = {
            program.service: sample(expected(field.lookup, program).ids[: counts[program.service]])
            for program in field.programs
        }
        for store, find in field.lookup.by_id().items():
            if taken[store] is None:
                found = [find(service, names).keys() >= names for service, names in samples.items()]
                taken[store] = time.monotonic() - over if all(found) else None
        time.sleep(0.2)
    return taken


def _sample(ids: list[str]) -> set[str]:
    """Return the latest ids, and some from before."""
    return {*ids[-SAMPLE:], *ids[:: len(ids) // SAMPLE + 1]}


def _latest(ids: list[str]) -> set[str]:
    """Return the last ids: of those before, some are lost."""
    return {*ids[-3:]}


def account(field: Field, fault: str, number: int, recovered: dict[str, float | None]) -> list[Row]:
    """Return a row for each store, when all programs have ended."""
    rows = []
    for store, find in field.lookup.by_id().items():
        services = [program.service for program in field.programs]
        deadline = time.monotonic() + PATIENCE
        while True:
            sent = {program.service: expected(field.lookup, program) for program in field.programs}
            found = sum((find(service, entry.ids) for service, entry in sent.items()), Counter[str]())
            lost = [name for entry in sent.values() for name in entry.ids if name not in found]
            counted = field.lookup.counted_as_lost(services, SIGNALS[store])
            if len(lost) == counted or time.monotonic() > deadline:
                break
            time.sleep(1)
        total, renamed = (
            sum(len(entry.ids) for entry in sent.values()),
            sum(entry.renamed for entry in sent.values()),
        )
        twice = sum(found.values()) - len(found)
        rows.append(
            Row(
                fault=fault,
                round=number,
                store=store,
                sent=total,
                stored=len(found),
                renamed=renamed,
                counted=counted,
                duplicated=twice,
                recovered=recovered[store],
                lost_ids=lost[:10],
            )
        )
    return [*rows, _counts(field, fault, number, total)]


def _counts(field: Field, fault: str, number: int, total: int) -> Row:
    """Return the row of Prometheus, which has no ids but counts."""
    begun = time.monotonic()
    while True:
        counted = {
            program.service: field.lookup.counted(program.service, program.runtime, program.operation)
            for program in field.programs
        }
        sent = {program.service: len(program.acknowledged()) for program in field.programs}
        if all(counted[name] >= sent[name] for name in sent) or time.monotonic() > begun + PATIENCE / 3:
            break
        time.sleep(0.5)
    stored = sum(min(counted[name], sent[name]) for name in sent)
    more = sum(max(0, counted[name] - sent[name]) for name in sent)
    return Row(fault, number, "prometheus", total, stored, 0, 0, more, None, [])
