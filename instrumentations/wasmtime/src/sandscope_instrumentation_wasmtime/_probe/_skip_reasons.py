"""Why the probe skips a guest: each reason is logged once, as a warning."""

from __future__ import annotations

import logging

PLACE = "wasmtime.probe"
"""The component under which the probe's own errors are counted."""

METERED = "its engine counts fuel or checks epochs, and its configuration is not known or allows no exception"
OLDER_STORE = "its store is older than the instrumentation, and may have limits"
FULL = "its store has had a thousand guests"
ADDRESS_SPACE = "address space is limited (RLIMIT_AS), or 4096 stores have the probe"
OTHER_WASI = "its linker has WASI functions from elsewhere than `Linker.define_wasi`"
PREPARED = "`Linker.instantiate_pre` was used"
REFUSED = "wasmtime does not instantiate it with the probe"
NO_MEMORY = "it exports no memory, or one that is shared or has 64-bit addresses or pages of another size"
STARTS = "it has a start function"
EXPORTS_IMPORT = "it exports a function that it imports"
UNKNOWN = (
    "it was deserialized, so that it may have a start function that calls more than WASI, or meets limits"
)

_logger = logging.getLogger("sandscope")


class SkipReasons:
    """The reasons that were logged since the instrumentation was switched on."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def warn(self, reason: str) -> None:
        """Log a reason, one of a closed set, if it is the first time."""
        if reason not in self._logged:
            self._logged.add(reason)
            _logger.warning(
                "The probe skips a guest: %s. Files, denied paths and output of such guests are not recorded. "
                "Each reason is logged once.",
                reason,
            )
