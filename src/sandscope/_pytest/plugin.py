"""What pytest loads in every session: an option. The rest is imported if the user asks for it."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("sandscope").addoption(
        "--sandscope",
        action="store_true",
        default=False,
        help="record the session as one trace: files, tests, their results, and the processes that they start "
        "(also by SANDSCOPE_PYTEST=true)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start recording, if the option or the variable asks for it."""
    if config.getoption("--sandscope") or "SANDSCOPE_PYTEST" in os.environ:
        from sandscope._pytest._start import start

        start(config)
