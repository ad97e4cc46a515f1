"""Telemetry that guests emit through their host: limited, and always in the trace of the guest's execution."""
