"""What a program has counted is in metrics, also if it is killed before it has exported them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import OtlpSink, wait_until
from sandscope._deferred._box_layout import SLOTS
from sandscope._deferred._process_box import MOST_COUNTED
from ways.black_box._dying import (
    BLACK_BOX,
    COUNT,
    PROGRAM,
    RECORDERS,
    boxes_in,
    killed_box,
    recover,
    span_ids,
    started,
)

pytestmark = BLACK_BOX


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("count", [COUNT, MOST_COUNTED + 100])
def test_what_was_counted_in_metrics_that_were_not_exported_is_counted(
    count: int, recorder: str, tmp_path: Path
) -> None:
    with OtlpSink(answers={"/v1/metrics": 503}) as sink:
        program = f"{PROGRAM}\nrun({count})\ntime.sleep(1)\nkill()"
        killed_box(tmp_path, sink, program, SANDSCOPE_SPOOL="off", SANDSCOPE_RECORDER=recorder)
        assert len(span_ids(sink)) == count, "only the metrics are missing"
        sink.answers = {}
        assert recover(tmp_path, sink).returncode == 0
    assert len(span_ids(sink)) == count
    assert sink.total("sandbox.executions") == min(count, MOST_COUNTED)


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_slot_is_free_when_the_metrics_are_exported(recorder: str, tmp_path: Path) -> None:
    with OtlpSink() as sink:
        program = f"{PROGRAM}\nrun({COUNT})\nprint(flush=True)\ntime.sleep(60)"
        with started(program, sink, tmp_path, SANDSCOPE_RECORDER=recorder) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert wait_until(lambda: sink.total("sandbox.executions") == COUNT)
            (box,) = boxes_in(tmp_path)
            assert wait_until(lambda: not any(box.read_bytes()[SLOTS:]))
