"""The stores that have a part in sums that rise and fall, and whose peak is still to be recorded."""

from __future__ import annotations

import atexit

from sandscope.instrumentation import watch_forks
from sandscope_instrumentation_wasmtime._measures._store_state import SANDBOX_PEAK, StoreState


class _LivingStores:
    """The states of stores that have an instance or a limit.

    Attributes:
        states: of these stores.
    """

    def __init__(self) -> None:
        self.states: set[StoreState] = set()

    def after_fork_in_child(self) -> None:
        """Leave the parent's stores to the parent; one that is used here counts from now on."""
        for state in self.states:
            state.instances = state.memory = state.reported_limit = 0
        self.states.clear()

    def at_exit(self) -> None:
        """Record the peaks of stores that live as long as the program, as far as their memories were read."""
        while self.states:
            state = self.states.pop()
            if state.memory:
                state.recorder.measure(SANDBOX_PEAK, state.memory)


_living = _LivingStores()
living_stores = _living.states
watch_forks(_living)
atexit.register(_living.at_exit)
