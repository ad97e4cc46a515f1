"""Claim: on the calling thread, recording is 100 times cheaper than the SDK; with the compiled hot path, 300 times.

All figures are for one execution of a guest that does nothing, less the call itself: a span, a log record and metrics.
`hot_us_*` is Sandscope's hot path, `hot_leaf_us_*` the same for a guest that cannot call back, so that its span is not
made current. `hot_boxed_us_*` is the hot path with a black box, `hot_boxed_over_plain_*` in proportion to without, the
call itself included. `calibration_ns_*` is the call of an empty Python function, the unit of `hot_over_empty_*`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks._fresh import in_python_and_compiled, print_result
from benchmarks._rounds import Case, measure
from benchmarks._subjects import LEAF, SITE, Guest, Subject, patched


def empty() -> None:
    """Do nothing: the unit for `hot_over_empty`."""


def run(*, short: bool) -> dict[str, float]:
    """Compare each hot path with the SDK, in its own process."""
    return in_python_and_compiled("benchmarks.hot_path", "short" if short else "long")


def main(length: str) -> None:
    """Print the overhead of one execution of a guest that does nothing."""
    sdk, deferred = Subject("sdk"), Subject("deferred", high_water=1 << 30)
    deferred.stand_still()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        boxed = Subject("deferred", high_water=1 << 30, black_box=Path(folder))
        boxed.stand_still()
    cases = {
        "none": Case(Guest(SITE)),
        "sdk": Case(patched(sdk.recorder, SITE)),
        "deferred": Case(patched(deferred.recorder, SITE), after=deferred.clear, most=2500),
        "boxed": Case(patched(boxed.recorder, SITE), after=boxed.clear, most=2500),
        "leaf": Case(patched(deferred.recorder, LEAF), after=deferred.clear, most=2500),
        "empty": Case(empty),
    }
    least = measure(cases, 8 if length == "short" else 30)
    over = {name: least[name] - least["none"] for name in ("sdk", "deferred", "boxed", "leaf")}
    print_result(
        {
            "calibration_ns": least["empty"],
            "hot_sdk_us": over["sdk"] / 1e3,
            "hot_us": over["deferred"] / 1e3,
            "hot_leaf_us": over["leaf"] / 1e3,
            "hot_boxed_us": over["boxed"] / 1e3,
            "hot_boxed_over_plain": least["boxed"] / least["deferred"],
            "hot_sdk_over": over["sdk"] / over["deferred"],
            "hot_sdk_over_leaf": over["sdk"] / over["leaf"],
            "hot_over_empty": over["deferred"] / least["empty"],
        }
    )


if __name__ == "__main__":
    main(sys.argv[1])
