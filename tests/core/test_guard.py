"""Internal errors are counted, and the first of each component is logged."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest

from harness import wait_until
from sandscope import _guard


def test_the_first_error_of_each_component_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    for component in ("first", "second", "first"):
        _guard.report(component, ValueError(component))
    assert [record.args[0] for record in caplog.records if record.args] == ["first", "second"]  # type: ignore[index]
    assert _guard.counts() == {"first": 2, "second": 1}


def test_an_error_at_the_end_of_the_stack_is_logged_too() -> None:
    logged: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(record.getMessage())

    def deeper() -> None:
        try:
            deeper()
        except RecursionError as error:
            _guard.report("deep", error)

    handler = Handler()
    logging.getLogger("sandscope").addHandler(handler)
    try:
        with suppress(RecursionError):
            deeper()
        assert wait_until(lambda: logged)
    finally:
        logging.getLogger("sandscope").removeHandler(handler)
    assert len(logged) == 1
    assert "Telemetry failed in deep: RecursionError" in logged[0]
