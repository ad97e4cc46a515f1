"""Cold starts: how long it takes until a child's program runs, and until a Python child's interpreter is ready."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from typing import Literal, TypeAlias

from sandscope.instrumentation import COLD_START, Execution, Recorder, Site, Value, report_error
from sandscope_instrumentation_subprocess._languages import LANGUAGE, PYTHON
from sandscope_instrumentation_subprocess._starts._interpreter_ready import Answers

PHASE = "sandbox.cold_start.phase"

Phase: TypeAlias = Literal["exec", "interpreter_ready"]


class ColdStarts:
    """Records the cold starts of children."""

    def __init__(self, recorder: Recorder) -> None:
        """Begin without a child.

        Args:
            recorder: takes the measurements.
        """
        self._recorder = recorder
        self._answers = Answers()

    def ask(self, execution: Execution) -> Mapping[str, str]:
        """Return a variable for the environment of a child that has to tell when its interpreter is ready.

        Only a child whose own executable is Python, and which is instrumented because this program is, gets one.

        Args:
            execution: of the child, which starts now.
        """
        site = execution.site
        if site.metric_attributes.get(LANGUAGE) != PYTHON:
            return {}
        try:
            question = self._answers.ask()
            if question is None:
                return {}
            asked = time.perf_counter_ns()

            def on_end(*_: object) -> None:
                answered = self._answers.take(question.token)
                if answered is not None and asked <= answered <= time.perf_counter_ns():
                    self._record(site, "interpreter_ready", answered - asked)

            execution.on_end(on_end)
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("subprocess.cold_start", error)
            return {}
        return question.variables

    def on_exec(self, site: Site, spawned: int) -> None:
        """Record that the kernel has loaded the program of a child.

        Args:
            site: of the child.
            spawned: when its start began, as returned by `time.perf_counter_ns`.
        """
        self._record(site, "exec", time.perf_counter_ns() - spawned)

    def close(self) -> None:
        """Close the file descriptor."""
        self._answers.close()

    def _record(self, site: Site, phase: Phase, nanoseconds: int) -> None:
        attributes = _attributes(phase, site.metric_attributes.get(LANGUAGE))
        self._recorder.measure(COLD_START, nanoseconds / 1e9, attributes)


@cache
def _attributes(phase: Phase, language: str | None) -> Mapping[str, Value]:
    attributes: dict[str, Value] = {
        "sandbox.runtime": "subprocess",
        "sandbox.operation": "process",
        PHASE: phase,
    }
    return attributes if language is None else {**attributes, LANGUAGE: language}
