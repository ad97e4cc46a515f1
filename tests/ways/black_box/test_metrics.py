"""What a program has counted is in metrics, also if it is killed before it has exported them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import OtlpSink, wait_until
from sandscope._deferred._box_layout import BOTH_DONE, FREE, SLOT_SIZE, SLOTS, TIMES, TIMES_AT
from sandscope._deferred._process_box import MOST_COUNTED
from ways.black_box._dying import (
    BLACK_BOX,
    COUNT,
    PROGRAM,
    RECORDERS,
    boxes_in,
    recover,
    span_ids,
    started,
)

pytestmark = BLACK_BOX


def _marks(folder: Path) -> list[int]:
    """Return the marks of the slots that are in use."""
    content = b"".join(box.read_bytes()[SLOTS:] for box in boxes_in(folder))
    slots = [TIMES.unpack_from(content, at + TIMES_AT) for at in range(0, len(content), SLOT_SIZE)]
    return [marks for *_, marks, state in slots if state != FREE]


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("count", [COUNT, MOST_COUNTED + 100])
def test_what_was_counted_in_metrics_that_were_not_exported_is_counted(
    count: int, recorder: str, tmp_path: Path
) -> None:
    variables = {"SANDSCOPE_SPOOL": "off", "SANDSCOPE_RECORDER": recorder}
    most = min(count, MOST_COUNTED)
    with OtlpSink(answers={"/v1/metrics": 503}) as sink:
        with started(f"{PROGRAM}\nrun({count})\ntime.sleep(300)", sink, tmp_path, **variables):
            assert wait_until(lambda: len(span_ids(sink)) == count and _marks(tmp_path) == [BOTH_DONE] * most)
        sink.answers = {}
        assert recover(tmp_path, sink).returncode == 0
    assert len(span_ids(sink)) == count, "only the metrics were missing"
    assert sink.total("sandbox.executions") == most


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_slot_is_free_when_the_metrics_are_exported(recorder: str, tmp_path: Path) -> None:
    with OtlpSink() as sink:
        program = f"{PROGRAM}\nrun({COUNT})\nprint(flush=True)\ntime.sleep(60)"
        with started(program, sink, tmp_path, SANDSCOPE_RECORDER=recorder) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert wait_until(lambda: sink.total("sandbox.executions") == COUNT)
            assert boxes_in(tmp_path)
            assert wait_until(lambda: _marks(tmp_path) == [])
