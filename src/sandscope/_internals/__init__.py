"""The only package that uses OpenTelemetry's internals. Each function reports whether it succeeded.

Every caller has a fallback that uses only the public API, in case an internal changes.
"""

from sandscope._internals._answer import Answer, OtlpClient
from sandscope._internals._connections import abandon_connections
from sandscope._internals._context_variable import (
    SPAN_KEY,
    SUPPRESSION_KEYS,
    context_variable,
    is_instrumentation_enabled,
    set_default_context,
)
from sandscope._internals._encoded import Encoded, accept_encoded
from sandscope._internals._exporter_arguments import ExporterArguments
from sandscope._internals._forked_providers import exporters_of, reset_in_children
from sandscope._internals._metric_readers import export_metrics, is_shut_down, watch_exports
from sandscope._internals._otlp_client import (
    Keeper,
    is_keeping,
    keeper_of,
    keeping,
    note_kept,
    otlp_client,
    set_keeper,
    was_kept,
)
from sandscope._internals._propagators import injects_w3c
from sandscope._internals._provider_slots import global_providers, let_provider_be_replaced
from sandscope._internals._rejections import watch_rejections
from sandscope._internals._requests import count_records, message_of, records_in

__all__ = [
    "SPAN_KEY",
    "SUPPRESSION_KEYS",
    "Answer",
    "Encoded",
    "ExporterArguments",
    "Keeper",
    "OtlpClient",
    "abandon_connections",
    "accept_encoded",
    "context_variable",
    "count_records",
    "export_metrics",
    "exporters_of",
    "global_providers",
    "injects_w3c",
    "is_instrumentation_enabled",
    "is_keeping",
    "is_shut_down",
    "keeper_of",
    "keeping",
    "let_provider_be_replaced",
    "message_of",
    "note_kept",
    "otlp_client",
    "records_in",
    "reset_in_children",
    "set_default_context",
    "set_keeper",
    "was_kept",
    "watch_exports",
    "watch_rejections",
]
