"""The only package that touches OpenTelemetry's internals; each function says whether it worked.

Every caller has a way that uses the public API alone, for the day an internal is gone.
"""

from sandscope._internals._connections import leave_connections
from sandscope._internals._context_variable import (
    SPAN_KEY,
    SUPPRESSION_KEYS,
    context_variable,
    set_default_context,
)
from sandscope._internals._encoded import Encoded, accept_encoded
from sandscope._internals._propagators import injects_w3c
from sandscope._internals._provider_slots import open_provider_slot
from sandscope._internals._readers import Readers

__all__ = [
    "SPAN_KEY",
    "SUPPRESSION_KEYS",
    "Encoded",
    "Readers",
    "accept_encoded",
    "context_variable",
    "injects_w3c",
    "leave_connections",
    "open_provider_slot",
    "set_default_context",
]
