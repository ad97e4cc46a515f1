"""Says why the probe leaves a guest alone: each reason once, as a warning."""

from __future__ import annotations

import logging

_logger = logging.getLogger("sandscope")

METERED = "its engine counts fuel or looks at epochs, and the probe would use them up"
LIMITED = "its store limits instances, tables or memories, and the probe would need some"
OLDER_STORE = "its store is older than the instrumentation, and may have limits"
FULL = "its store has had a thousand guests"
SPACE = "address space is limited (RLIMIT_AS), or 4096 stores have the probe"
OTHER_WASI = "its linker has WASI functions from elsewhere than `Linker.define_wasi`"
REFUSED = "its engine refuses the probe's own modules"
PREPARED = "`Linker.instantiate_pre` was used"


class Aside:
    """Remembers what was said since the instrumentation was switched on."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, reason: str) -> None:
        """Log a reason, one of a closed set, if it is the first time."""
        if reason not in self._said:
            self._said.add(reason)
            _logger.warning(
                "The probe leaves a guest alone: %s. Files, denied paths and output of such guests are not "
                "recorded; this is said once.",
                reason,
            )
