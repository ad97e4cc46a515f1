"""What the tests of all packages share; never published."""

from harness._contract import ROOT, Contract
from harness._memory import Telemetry

__all__ = ["ROOT", "Contract", "Telemetry"]
