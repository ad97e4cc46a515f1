"""Claim: recording on the calling thread is a hundred times cheaper than by the SDK; compiled, three hundred."""

from __future__ import annotations

import sys

from benchmarks._fresh import in_python_and_compiled, print_result
from benchmarks._rounds import Case, measure
from benchmarks._subjects import LEAF, SITE, Guest, Subject, patched


def empty() -> None:
    """Be the unit of all times."""


def run(*, short: bool) -> dict[str, float]:
    """Measure each kind of hot path beside the SDK, in a process of its own."""
    return in_python_and_compiled("benchmarks.hot_path", "short" if short else "long")


def main(length: str) -> None:
    """Print the overhead of one execution of a guest that does nothing."""
    sdk, ours = Subject("sdk"), Subject("deferred", high_water=1 << 30)
    ours.stand_still()
    cases = {
        "none": Case(Guest(SITE)),
        "sdk": Case(patched(sdk.recorder, SITE)),
        "ours": Case(patched(ours.recorder, SITE), after=ours.clear, most=4000),
        "leaf": Case(patched(ours.recorder, LEAF), after=ours.clear, most=4000),
        "empty": Case(empty),
    }
    least = measure(cases, 8 if length == "short" else 30)
    over = {name: least[name] - least["none"] for name in ("sdk", "ours", "leaf")}
    print_result(
        {
            "calibration_ns": least["empty"],
            "hot_sdk_us": over["sdk"] / 1e3,
            "hot_us": over["ours"] / 1e3,
            "hot_leaf_us": over["leaf"] / 1e3,
            "hot_sdk_over": over["sdk"] / over["ours"],
            "hot_sdk_over_leaf": over["sdk"] / over["leaf"],
            "hot_over_empty": over["ours"] / least["empty"],
        }
    )


if __name__ == "__main__":
    main(sys.argv[1])
