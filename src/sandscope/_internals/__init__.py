"""The only package that uses OpenTelemetry's internals. Each function reports whether it succeeded.

Every caller has a fallback that uses only the public API, in case an internal changes.
"""

from sandscope._internals._connections import abandon_connections
from sandscope._internals._context_variable import (
    SPAN_KEY,
    SUPPRESSION_KEYS,
    context_variable,
    set_default_context,
)
from sandscope._internals._encoded import Encoded, accept_encoded
from sandscope._internals._exporter_arguments import ExporterArguments
from sandscope._internals._forked_providers import reset_in_children
from sandscope._internals._metric_readers import export_metrics
from sandscope._internals._propagators import injects_w3c
from sandscope._internals._provider_slots import global_providers, let_provider_be_replaced
from sandscope._internals._rejections import watch_rejections

__all__ = [
    "SPAN_KEY",
    "SUPPRESSION_KEYS",
    "Encoded",
    "ExporterArguments",
    "abandon_connections",
    "accept_encoded",
    "context_variable",
    "export_metrics",
    "global_providers",
    "injects_w3c",
    "let_provider_be_replaced",
    "reset_in_children",
    "set_default_context",
    "watch_rejections",
]
