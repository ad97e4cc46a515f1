"""Reports processes of the same service that have died, before this one or as its workers."""

from __future__ import annotations

import threading
from pathlib import Path

from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from sandscope import _guard, _internals
from sandscope._setup import _spool_setup


def recover_predecessors(folder: Path, resource: Resource) -> threading.Thread | None:
    """Send what their black boxes hold, on a thread, if there seem to be any. Errors are reported.

    Args:
        folder: where the black boxes are.
        resource: of this process: only black boxes with the same ``service.name`` are sent.

    Returns:
        The thread, if one was started.
    """
    from sandscope._deferred._box_layout import IS_SUPPORTED

    if not IS_SUPPORTED:
        return None
    from sandscope._deferred._box_file import seem_left

    try:
        if seem_left(folder):
            service = str(resource.attributes.get(SERVICE_NAME, ""))
            thread = threading.Thread(
                target=_recover, args=(folder, service), name="sandscope-recovery", daemon=True
            )
            thread.start()
            return thread
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("recovery", error)
    return None


def _recover(folder: Path, service: str) -> None:
    try:
        from sandscope import _recovery

        _recovery.recover(folder, service)
        if _internals.was_kept():
            _spool_setup.send_waiting()
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("recovery", error)
