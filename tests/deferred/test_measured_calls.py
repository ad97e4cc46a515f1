"""Calls that are measured instead of recorded: the same with each recorder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deferred._programs import SCOPE, SITE, Program
from sandscope._recording._direct_recorder import DirectRecorder
from sandscope.instrumentation import SharedDetails

RECORDERS = (
    pytest.param(lambda: Program().recorder, id="deferred"),
    pytest.param(lambda: DirectRecorder(SCOPE), id="direct"),
)


@pytest.mark.parametrize("recorder_of", RECORDERS)
@pytest.mark.parametrize("always", [False, True])
def test_calls_are_measured_as_their_shared_details_say(always: bool, recorder_of: Callable[[], Any]) -> None:
    class Sandbox(SharedDetails):
        keys, numbers = ("sandbox.id",), (1,)

        def __init__(self) -> None:
            self.skip, self.running = 2, False

    class Holder:
        details = Sandbox()

    seen: list[str] = []
    call = recorder_of().wrap_method(
        lambda *_: seen.append("plain"),
        "site",
        SITE,
        "details",
        measured=lambda *_: seen.append("measured"),
        measures_all=always,
    )
    holder = Holder()
    for _ in range(3):
        call(object(), holder)
    holder.details.running = True
    call(object(), holder)
    holder.details.running, holder.details.skip = False, -1
    call(object(), holder)
    call(object())
    expected = ["measured"] * 3 if always else ["plain", "plain", "measured"]
    assert seen == [*expected, "plain", "measured" if always else "plain", "plain"]
