"""Claim: recording on the calling thread is a hundred times cheaper than by the SDK."""

from __future__ import annotations

from benchmarks._rounds import Case, measure
from benchmarks._subjects import LEAF, SITE, Guest, Subject, patched


def empty() -> None:
    """Be the unit of all times."""


def run(*, short: bool) -> dict[str, float]:
    """Measure the overhead of one execution of a guest that does nothing."""
    sdk, ours = Subject("sdk"), Subject("deferred", high_water=1 << 30)
    ours.stand_still()
    cases = {
        "none": Case(Guest(SITE)),
        "sdk": Case(patched(sdk.recorder, SITE)),
        "ours": Case(patched(ours.recorder, SITE), after=ours.clear, most=4000),
        "leaf": Case(patched(ours.recorder, LEAF), after=ours.clear, most=4000),
        "empty": Case(empty),
    }
    least = measure(cases, 8 if short else 30)
    over = {name: least[name] - least["none"] for name in ("sdk", "ours", "leaf")}
    return {
        "calibration_ns": least["empty"],
        "hot_sdk_us": over["sdk"] / 1e3,
        "hot_ours_us": over["ours"] / 1e3,
        "hot_leaf_us": over["leaf"] / 1e3,
        "hot_sdk_over_ours": over["sdk"] / over["ours"],
        "hot_sdk_over_leaf": over["sdk"] / over["leaf"],
        "hot_ours_over_empty": over["ours"] / least["empty"],
        # Guest time of which the overhead is less than a thousandth.
        "breakeven_ms_for_0.1pct": over["ours"] / 1e6 * 1000,
    }
