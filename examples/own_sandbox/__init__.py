"""A sandbox that no instrumentation patches: bubblewrap, with `sandscope.execution`."""
