"""The real stores without Docker: Prometheus, Jaeger, Loki and Alertmanager on this machine.

``_catalogue`` says what each is, ``_build`` compiles them, ``_running`` starts and ends them, ``_read`` asks
them for what arrived.
"""

from sandscope._stores._binaries import find_binary, remedy
from sandscope._stores._build import build
from sandscope._stores._catalogue import STORES, Port, Store, chosen, configuration
from sandscope._stores._progress import Progress
from sandscope._stores._read import jaeger_trace, loki_records, prometheus_exemplars, prometheus_query
from sandscope._stores._running import Status, collector_environment, down, status, up
from sandscope._stores._state import Running, data_folder

__all__ = [
    "STORES",
    "Port",
    "Progress",
    "Running",
    "Status",
    "Store",
    "build",
    "chosen",
    "collector_environment",
    "configuration",
    "data_folder",
    "down",
    "find_binary",
    "jaeger_trace",
    "loki_records",
    "prometheus_exemplars",
    "prometheus_query",
    "remedy",
    "status",
    "up",
]
