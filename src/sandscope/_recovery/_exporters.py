"""The OTLP exporters that the environment configures, for telemetry of processes that are dead."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any, Literal

from opentelemetry import context

from sandscope import _guard, _internals, _settings
from sandscope._spool._place import Spool
from sandscope._spool._sender import Sender

Signal = Literal["traces", "logs", "metrics"]

_CLASSES = {
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "logs": ("_log_exporter", "OTLPLogExporter"),
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
}
_REQUEST = 512
"""Records in a request."""


def exporter_of(signal: Signal) -> Any:
    """Return a new OTLP exporter of a signal, configured as the SDK does it; None if it is not exported by OTLP."""
    name = signal.upper()
    wanted = os.environ.get(f"OTEL_{name}_EXPORTER") or "otlp"
    if not {"otlp", "otlp_proto_http", "otlp_proto_grpc"} & {each.strip() for each in wanted.split(",")}:
        return None
    protocol = (
        os.environ.get(f"OTEL_EXPORTER_OTLP_{name}_PROTOCOL")
        or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    )
    transport = "grpc" if protocol.strip() == "grpc" or "otlp_proto_grpc" in wanted else "http"
    module, class_name = _CLASSES[signal]
    return getattr(import_module(f"opentelemetry.exporter.otlp.proto.{transport}.{module}"), class_name)()


def keeping_exporter_of(signal: Signal, service: str) -> Any:
    """Return an exporter as `exporter_of` does, which keeps in the spool what its endpoint does not take now.

    Args:
        signal: the signal.
        service: the ``service.name`` of the process that is dead.
    """
    exporter, base = exporter_of(signal), _settings.spool_folder()
    client = _internals.otlp_client(exporter)
    if base is not None and client is not None:
        spool = Spool(base, _settings.spool_size(), service, _settings.spool_is_expected())
        Sender(exporter, client, spool, sends_once=True)
    return exporter


def at_once() -> AbstractContextManager[None]:
    """Keep requests without a try if the last one was kept: a second wait for the same endpoint is of no use."""
    return _internals.keeping() if _internals.was_kept() else nullcontext()


def send(signal: Signal, records: list[Any], service: str) -> bool:
    """Send or keep spans or log records. Return whether none of them has to be sent again by the caller."""
    exporter = keeping_exporter_of(signal, service) if records else None
    if exporter is None:
        return True
    token = context.attach(context.Context(dict.fromkeys(_internals.SUPPRESSION_KEYS, True)))
    try:
        with at_once():
            return all(
                exporter.export(records[start : start + _REQUEST]).name == "SUCCESS"
                for start in range(0, len(records), _REQUEST)
            )
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        _guard.report("recovery.send", error)
        return False
    finally:
        context.detach(token)
        exporter.shutdown()
