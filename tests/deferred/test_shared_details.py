"""Shared details are encoded like the details of a single execution, and are never changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deferred._programs import SITE, Program
from sandscope._deferred import _clock, _compiled
from sandscope.instrumentation import SharedDetails, Site


class Sandbox(SharedDetails):
    keys = ("sandbox",)

    def __init__(self, number: int) -> None:
        self.numbers = (number,)


class MeasuredSandbox(SharedDetails):
    keys = ("sandbox", "memory")

    def __init__(self, number: int) -> None:
        self.numbers = (number, 2 * (number // 4))


class Guest:
    site = SITE


def _executions(
    program: Program, *numbers: int, site: Site = SITE, kind: Callable[[int], SharedDetails] = Sandbox
) -> list[Any]:
    """Return an execution of the wrapped method for each number."""
    call: Any = program.recorder.wrap_method(lambda _guest, _sandbox=None: None, "site", site, "details")
    for number in numbers:
        holder = Guest()
        holder.details = kind(number)  # type: ignore[attr-defined]
        call(Guest(), holder)
    records: list[Any] = list(program.pipeline.queue)
    program.pipeline.identities.give(records)
    return records


NUMBERS = (0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1)


@pytest.mark.parametrize("kind", [Sandbox, MeasuredSandbox])
@pytest.mark.parametrize("extra", [{}, {"own": 5}, {"own": -(2**63), "b": 2}, {"text": "é"}], ids=str)
def test_the_bytes_are_those_of_the_sdk(
    extra: dict[str, Any], kind: Callable[[int], SharedDetails], monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    from sandscope._deferred._readable import readable_log, readable_span

    monkeypatch.setattr(_clock, "refresh", lambda: None)
    program = Program()
    records = _executions(program, *NUMBERS, kind=kind)
    for record in records:
        record.verdict, ended = None, record.verdict
        if extra:
            record.set_attributes(extra)
        record.verdict = ended
    scope, resource = program.recorder.instrumentation_scope, program.recorder.resource
    spans = [readable_span(record, resource, scope) for record in records]
    logs = [readable_log(record, resource, scope) for record in records]
    assert spans[2].attributes["sandbox"] == 127
    encoder = program.recorder.encoder
    assert encoder.spans(records) == encode_spans(spans).SerializeToString()
    assert encoder.logs(records) == encode_logs(logs).SerializeToString()


def test_own_attributes_do_not_change_shared_details() -> None:
    program = Program()
    shared = Sandbox(7)
    one: Any = program.recorder.begin(SITE)
    two: Any = program.recorder.begin(SITE)
    one.details = two.details = shared
    one.set_attributes({"own": 1})
    one.add_event("event")
    assert one.details.attributes == {"sandbox": 7, "own": 1}
    assert two.details is shared
    assert shared.attributes == {"sandbox": 7}
    assert not shared.events
    two.finish()
    one.finish()


def test_an_object_that_is_no_details_is_not_shared() -> None:
    program = Program()
    call: Any = program.recorder.wrap_method(lambda *_args, **_more: None, "site", SITE, "details")
    holder: Any = Guest()
    for details in (None, 5, {"sandbox": 1}):
        holder.details = details
        call(Guest(), holder)
    call(Guest())
    call(Guest(), sandbox=holder)
    assert [record.details for record in program.pipeline.queue] == [None] * 5


@pytest.mark.skipif(bool(_compiled.python_reason), reason="the encoder is not compiled")
def test_records_with_shared_details_are_encoded_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program()
    records = _executions(program, *range(100))
    encoder = program.recorder.encoder
    asked: list[Any] = []
    pieces = encoder._span_templates.pieces
    monkeypatch.setattr(
        encoder._span_templates, "pieces", lambda record: asked.append(record) or pieces(record)
    )
    encoder.spans(records)
    assert len(asked) == 1
