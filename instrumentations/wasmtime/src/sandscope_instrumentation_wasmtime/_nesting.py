"""Whether a thread is inside a guest, for the setting ``spans="outer"``."""

from __future__ import annotations

import threading


class _Nesting(threading.local):
    """Whether this thread is inside a call or an instantiation that has a span, with that setting."""

    inside = False


nesting = _Nesting()
