"""Patch on import: ``import sandscope.auto`` as a program's first line.

Does what ``opentelemetry-instrument`` does, from inside: sets up the SDK unless the program has done
so, then patches each runtime when it is imported, in whatever order, and imports none.
"""

from __future__ import annotations

from sandscope._setup._distro import instrument_this_process

instrument_this_process()
