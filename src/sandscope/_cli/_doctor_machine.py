"""What `sandscope doctor` checks beyond the program: the stores, the clock and the disk."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from sandscope._cli._collector_options import data_folder
from sandscope._cli._endpoint_check import endpoints

_TIMEOUT = 2.0
"""Seconds to wait for an answer."""
_MAX_DIFFERENCE = 5.0
"""Seconds; an answer tells whole ones."""
_ENOUGH = 4 << 30
"""Bytes: the Collector's files take up to 3 GB, and compressed ones are made beside them."""

Line = tuple[bool, str, str]


def stores() -> Iterator[Line]:
    """Yield a line for each store that `sandscope stores` has started."""
    try:
        import sandscope_collector
        from sandscope_collector import stores as own
    except ImportError:
        return
    data = own.data_folder(None)
    for each in own.status(sandscope_collector.configuration(), data):
        if each.state in {"up", "not ready", "exited"}:
            passed = each.state == "up"
            advice = "" if passed else f": read {data / each.name}.log, then run `sandscope stores up`."
            yield passed, "store", f"{each.name} {each.version} is {each.state}{advice}"


def clock() -> Iterator[Line]:
    """Yield a line for each endpoint whose answer tells what time it is there."""
    for endpoint in endpoints():
        difference = _difference(endpoint.url)
        if difference is not None:
            passed = abs(difference) <= _MAX_DIFFERENCE
            found = (
                "as" if passed else f"{abs(difference):.0f} s {'ahead of' if difference > 0 else 'behind'}"
            )
            advice = "" if passed else ". Synchronize both: traces across machines are in the wrong order."
            yield passed, "clock", f"{found} that of {endpoint.url}{advice}"


def disk() -> Line:
    """Return a line about the disk on which the Collector of `sandscope run` writes."""
    folder, _ = data_folder(argparse.Namespace(data=None))
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return False, "disk", f"{folder} cannot be written. Set SANDSCOPE_DATA to a folder that can."
    passed = free >= _ENOUGH
    advice = "" if passed else f", of {_ENOUGH >> 30} that may be needed. Set SANDSCOPE_DATA to another disk."
    return passed, "disk", f"{free / (1 << 30):.1f} GiB are free for {folder}{advice}"


def _difference(url: str) -> float | None:
    """Return how many seconds the clock of this machine is ahead of that of an HTTP server; None if it is not told."""
    try:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            return None
        connection = HTTPConnection(parts.hostname, parts.port or 80, timeout=_TIMEOUT)
        try:
            asked = time.time()
            connection.request("GET", "/")
            told = connection.getresponse().getheader("Date")
            now = (asked + time.time()) / 2
        finally:
            connection.close()
        # Half a second: an answer tells the second that has begun.
        return None if told is None else now - parsedate_to_datetime(told).timestamp() - 0.5
    except (OSError, HTTPException, TypeError, ValueError):
        return None
