"""The Collector's queues on disk: why it cannot use them, in words that say what to do."""

from __future__ import annotations

import re
from pathlib import Path

from sandscope._collector._data_folder import FolderInUseError
from sandscope._errors import SandscopeError

FOLDER = "queues"
"""In the data folder; `base.yaml` says the same."""


def queue_error(output: str, data: Path) -> SandscopeError | None:
    """Return the error for a Collector that did not start because of its queues; None if that was not the cause.

    Args:
        output: of the Collector.
        data: its data folder.
    """
    queues = data / FOLDER
    # So it says that a file remains locked: by a Collector that was not started by `sandscope`, which locks the folder.
    if re.search(r"^Error: .*failed to start .* exporter: timeout$", output, re.MULTILINE):
        return FolderInUseError(
            f"Cannot use {str(queues)!r}: another Collector uses it. Choose another folder with --data."
        )
    if "go.etcd.io/bbolt" in output or "invalid database" in output:
        return SandscopeError(
            f"Cannot use {str(queues)!r}: a file in it is damaged, perhaps by a crash of the machine. "
            f"Move the folder away: the telemetry in it has not reached the stores."
        )
    return None
