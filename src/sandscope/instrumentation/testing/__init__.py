"""Tools for testing instrumentations: an SDK with in-memory exporters, and a comparison with ``telemetry.yaml``.

    def test_what_is_emitted_is_declared():
        telemetry = Telemetry("deferred")
        instrumentor.instrument(recorder=telemetry.recorder(instrumentor.scope))
        ...
        assert Contract(Path("telemetry.yaml")).violations(telemetry) == []

Requires PyYAML: ``pip install sandscope[testing]``.
"""

from sandscope.instrumentation.testing._contract import Contract
from sandscope.instrumentation.testing._telemetry import Telemetry

__all__ = ["Contract", "Telemetry"]
