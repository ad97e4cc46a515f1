"""The Collector's local files of one signal: each line is read once, when it is complete."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

_ENDED = {"key": "sandscope.recovered", "value": {"stringValue": "ended"}}


class OnDisk:
    """What is in the files.

    Attributes:
        ids: how many records there are of each trace id.
        recovered: for each service, the trace ids of executions that had ended when their program was killed.
    """

    def __init__(self, folder: Path, name: str, *where: str) -> None:
        """Read nothing yet.

        Args:
            folder: of the Collector's data.
            name: the beginning of the files' names.
            where: the names of the lists in a line: of resources, scopes and records.
        """
        self.ids: Counter[str] = Counter()
        self.recovered: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._folder, self._name, self._where = folder, name, where
        self._read: dict[int, int] = {}

    def read(self) -> OnDisk:
        """Read what is new."""
        for path in self._folder.glob(f"{self._name}*.jsonl"):
            with path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                begin = file.seek(self._read.get(inode, 0))
                content = file.read()
            end = content.rfind(b"\n") + 1
            self._read[inode] = begin + end
            for line in content[:end].splitlines():
                self._add(line)
        return self

    def _add(self, line: bytes) -> None:
        groups, scopes, records = self._where
        try:
            request = json.loads(line)
        except ValueError:
            return  # cut off when the Collector was killed
        for group in request[groups]:
            service = _service(group["resource"])
            for scope in group[scopes]:
                for record in scope[records]:
                    self.ids[record.get("traceId", "")] += 1
                    if _ENDED in record.get("attributes", ()):
                        self.recovered[service][record["traceId"]] = None  # once, also if it arrives twice


def _service(resource: Any) -> str:
    named = [entry["value"] for entry in resource["attributes"] if entry["key"] == "service.name"]
    return str(named[0]["stringValue"]) if named else ""
