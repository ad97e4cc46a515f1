"""A plugin host without any code for telemetry."""
