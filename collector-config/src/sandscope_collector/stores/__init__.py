"""Prometheus, Jaeger, Loki and Alertmanager on this machine, without Docker.

`_catalogue` describes each store, `_build` compiles them, `_up` starts them, `_status` reports on them and `_down`
stops them.
"""

from sandscope_collector.stores._binaries import cache_folder, find_binary, install_command
from sandscope_collector.stores._build import build
from sandscope_collector.stores._catalogue import STORES, Port, Store, select
from sandscope_collector.stores._down import down
from sandscope_collector.stores._go import GO_ENVIRONMENT, find_go, go_version
from sandscope_collector.stores._go_command import GoCommandError, run_go
from sandscope_collector.stores._progress import Progress
from sandscope_collector.stores._state_file import StartedStore, data_folder
from sandscope_collector.stores._status import StoreStatus, status
from sandscope_collector.stores._stores_error import StoresError
from sandscope_collector.stores._up import collector_environment, up

__all__ = [
    "GO_ENVIRONMENT",
    "STORES",
    "GoCommandError",
    "Port",
    "Progress",
    "StartedStore",
    "Store",
    "StoreStatus",
    "StoresError",
    "build",
    "cache_folder",
    "collector_environment",
    "data_folder",
    "down",
    "find_binary",
    "find_go",
    "go_version",
    "install_command",
    "run_go",
    "select",
    "status",
    "up",
]
