"""Code that is shared by the tests of all packages; not published."""

from harness._cgroups import entering, limited_memory, limited_processes
from harness._contract import ROOT, Contract
from harness._lines import complete_lines
from harness._ports import collector_ports, free_ports
from harness._programs import BIN, SANDSCOPE_RUN, STOCK, clean_environment, run_program
from harness._requires import lacking, requires_otelcol
from harness._sink import PATIENCE, OtlpSink, wait_until
from harness._small_disk import small_disk
from sandscope.instrumentation.testing import Telemetry

__all__ = [
    "BIN",
    "PATIENCE",
    "ROOT",
    "SANDSCOPE_RUN",
    "STOCK",
    "Contract",
    "OtlpSink",
    "Telemetry",
    "clean_environment",
    "collector_ports",
    "complete_lines",
    "entering",
    "free_ports",
    "lacking",
    "limited_memory",
    "limited_processes",
    "requires_otelcol",
    "run_program",
    "small_disk",
    "wait_until",
]
