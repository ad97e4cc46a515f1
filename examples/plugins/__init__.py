"""A host of plugins that knows nothing of telemetry, and all that is said of it."""
