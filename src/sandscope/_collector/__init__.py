"""Run the OpenTelemetry Collector: find its binary, compose its configuration, start and stop it."""

from sandscope._collector._collector_process import CollectorProcess
from sandscope._collector._composition import Composition
from sandscope._collector._data_folder import FolderInUseError
from sandscope._collector._find import find_otelcol
from sandscope._collector._ports import PortInUseError, Ports
from sandscope._collector._validate import validate

__all__ = [
    "CollectorProcess",
    "Composition",
    "FolderInUseError",
    "PortInUseError",
    "Ports",
    "find_otelcol",
    "validate",
]
