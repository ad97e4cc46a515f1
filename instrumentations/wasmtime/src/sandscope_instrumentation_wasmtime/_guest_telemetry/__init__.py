"""The functions by which guests emit telemetry of their own."""
