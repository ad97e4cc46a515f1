"""The host functions by which guests emit their own telemetry."""
