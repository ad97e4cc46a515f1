"""Auto-instrumentation by import: make ``import sandscope.auto`` the first line of a program.

Does the same as ``opentelemetry-instrument``: sets up the SDK, unless the program has already done so, and patches
each runtime when the program imports it. The order of the imports does not matter. No runtime is imported here.
"""

from __future__ import annotations

from sandscope._setup._distro import instrument_this_process

instrument_this_process()
