"""Skip a test if a tool is missing on a developer's machine; fail the test in CI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from sandscope._collector import find_otelcol
from sandscope._errors import SandscopeError


def requires_otelcol() -> Path:
    """Return the Collector's binary."""
    try:
        return find_otelcol()
    except SandscopeError as error:
        lacking(f"{error} In this repository: `make setup`.")


def lacking(reason: str) -> NoReturn:
    """Skip, or fail in CI.

    Args:
        reason: what is missing and how to install it.
    """
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
