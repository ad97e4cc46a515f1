"""Auto-instrumentation by import: make ``import sandscope.auto`` the first line of a program.

Does the same as ``opentelemetry-instrument``: sets up the SDK, unless the program has already done so, and patches
each runtime. Both happen when the program first uses OpenTelemetry or a runtime, so that starting costs little. The
order of the imports does not matter. No runtime is imported here.
"""

from sandscope._start import start

start()
