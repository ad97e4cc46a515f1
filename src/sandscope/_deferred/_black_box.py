"""The black box of this process: a file with what runs and what has not been delivered, which outlives the process."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource

from sandscope import _guard
from sandscope._deferred import _clock
from sandscope._deferred._box_file import BoxFile
from sandscope._deferred._box_layout import CLOCK, CLOCK_AT, LEGEND, LEGEND_USED_AT, LENGTH, SLOTS
from sandscope._deferred._compiled import Slots
from sandscope._execution import Site
from sandscope._locks import new_lock
from sandscope._verdict import MISSING_EVIDENCE, OK, Verdict

_MAX_SITES = 10_000
"""The maximum number of sites with a number, for programs that keep creating equal sites."""
_MAX_ENTRY = 8192
"""Bytes of a site or an outcome in the legend."""


class BlackBox:
    """A file and its legend.

    Attributes:
        slots: writes the records of executions.
    """

    def __init__(self, folder: Path, resource: Resource) -> None:
        """Create the file.

        Args:
            folder: where it is created; also created if it does not exist.
            resource: the resource of the telemetry.

        Raises:
            OSError: if it cannot be created. Then nothing remains.
        """
        self._file = BoxFile(folder)
        self._used = 0
        self._numbers: dict[bytes, int] = {}
        self._sites: dict[Site, int] = {}
        self._outcomes: dict[tuple[Verdict, str | None], int] = {}
        self._lock = new_lock()
        if not self._add({"resource": dict(resource.attributes), "schema_url": resource.schema_url}):
            self._file.remove()
            raise OSError("the resource is too large for a black box")
        self._number({"outcome": [*OK, None]})
        self._view = memoryview(self._file.memory)[SLOTS:]
        self.slots = Slots(self._view, self._sites, self._site_number, self._outcome_number)
        self.show_life()

    def show_life(self) -> None:
        """Write the time: what runs has run until then at least."""
        CLOCK.pack_into(self._file.memory, CLOCK_AT, _clock.offset, time.perf_counter_ns())

    def close(self, *, remove: bool) -> None:
        """Write no more.

        Args:
            remove: whether to remove the file, because everything is told. Not in a forked child.
        """
        self.slots.close()
        self._view.release()
        if remove:
            self._file.remove()
        with contextlib.suppress(
            BufferError
        ):  # another thread is writing to it; the end of the process closes it
            self._file.close()

    def _site_number(self, record: Any) -> int:
        site: Site = record.site
        number = self._sites.get(site)
        if number is None:
            scope = record.recorder.instrumentation_scope
            described = (
                *(scope.name, scope.version, site.runtime, site.operation, site.name, site.kind.name),
                *(site.traced, dict(site.attributes), dict(site.metric_attributes)),
            )
            number = self._number({"site": described})
            if number:
                if len(self._sites) >= _MAX_SITES:
                    self._sites.clear()
                self._sites[site] = number
        return number

    def _outcome_number(self, record: Any) -> int:
        verdict = record.verdict or MISSING_EVIDENCE
        key = verdict, None if record.details is None else record.details.error_type
        number = self._outcomes.get(key)
        if number is None:
            number = self._number({"outcome": [*key[0], key[1]]})
            if number:
                self._outcomes[key] = number
        return number

    def _number(self, entry: Mapping[str, Any]) -> int:
        """Return the number of an entry: its position in the legend, from 1 on. 0 if there is no room for it."""
        text = json.dumps(entry, default=str).encode()
        with self._lock:
            number = self._numbers.get(text)
            if number is None:
                number = len(self._numbers) + 1
                if not self._add({**entry, "number": number}):
                    return 0
                self._numbers[text] = number
            return number

    def _add(self, entry: Mapping[str, Any]) -> bool:
        payload = json.dumps(entry, default=str).encode()
        start = LEGEND + self._used
        end = start + LENGTH.size + len(payload)
        if end > SLOTS or len(payload) > _MAX_ENTRY:
            return False
        memory = self._file.memory
        memory[start:end] = LENGTH.pack(len(payload)) + payload
        self._used = end - LEGEND
        LENGTH.pack_into(memory, LEGEND_USED_AT, self._used)
        return True


def open_black_box(folder: Path, resource: Resource) -> BlackBox | None:
    """Return a new black box; None if it cannot be created, which is reported."""
    try:
        return BlackBox(folder, resource)
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("black_box", error)
        return None
