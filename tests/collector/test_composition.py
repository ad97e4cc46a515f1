from __future__ import annotations

import sys
from itertools import combinations, permutations
from pathlib import Path

import pytest

from sandscope import SandscopeError
from sandscope._collector import Composition, validate

pytestmark = pytest.mark.usefixtures("otelcol")
OVERLAYS = (
    *("local", "prometheus", "names-wasm-sandbox", "names-rustbox", "names-wasm-torch", "names-kotoba"),
    *("prometheus-otlp", "prometheus-remote-write", "own-metrics", "jaeger", "loki", "debug", "security"),
    *("kafka", "gateway", "browser", "sampling", "span-metrics", "quiet"),
    *("secure", "mutual-tls", "guard", "syslog"),
)
AGENT = tuple(name for name in OVERLAYS if name != "gateway")
GATEWAY = tuple(name for name in OVERLAYS if name != "kafka")
DOCUMENTED = [
    *((name,) for name in OVERLAYS),
    *(pair for pair in combinations(OVERLAYS, 2) if pair != ("kafka", "gateway")),
    ("local", "prometheus", "jaeger", "loki"),
    *(AGENT, GATEWAY),
    *(tuple(reversed(AGENT)), tuple(reversed(GATEWAY))),
]


@pytest.mark.collector
@pytest.mark.parametrize("overlays", DOCUMENTED, ids="+".join)
def test_the_collector_accepts(overlays: tuple[str, ...], otelcol: Path) -> None:
    validate(otelcol, Composition.of(*overlays))


def test_no_overlay_is_left_out_here() -> None:
    files = Composition.of("local").files[1].parent.iterdir()
    assert sorted(file.name for file in files) == sorted(f"{name}.yaml" for name in OVERLAYS)


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_short_and_says_what_it_adds_and_what_merging_does(name: str) -> None:
    lines = Composition.of(name).files[1].read_text().splitlines()
    assert len(lines) <= 40
    assert lines[0].startswith("# Adds ")
    assert lines[1].startswith("# Merging replaces lists")


def test_the_base_comes_first_and_overlays_keep_their_order() -> None:
    names = [
        [file.stem for file in Composition.of(*order).files] for order in permutations(("local", "loki"))
    ]
    assert names == [["base", "local", "loki"], ["base", "loki", "local"]]


def test_overlays_that_would_send_to_each_other_are_refused() -> None:
    with pytest.raises(SandscopeError, match=r"Cannot combine 'kafka' and 'gateway'.*Run two Collectors"):
        Composition.of("gateway", "local", "kafka")


def test_an_overlay_named_twice_counts_once() -> None:
    assert Composition.of("local", "local") == Composition.of("local")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SandscopeError) as caught:
        Composition.of("local", "jager")
    assert "'jager'" in str(caught.value)
    assert all(name in str(caught.value) for name in OVERLAYS)


@pytest.mark.parametrize("name", ["mine.yaml", "mine.yml", "folder/mine"])
def test_a_file_that_is_missing_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SandscopeError, match=f"Cannot read '{tmp_path / name}'"):
        Composition.of(name)


@pytest.mark.collector
def test_a_file_of_ones_own_is_merged_last(otelcol: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("exporters: {debug: {verbosity: basic}}\n")
    composition = Composition.of("debug", mine)
    validate(otelcol, composition)
    assert composition.own_files == [mine]


@pytest.mark.collector
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("exporters: [debug\n", "did not find expected ',' or ']'"),
        ("exporters: {nope: {}}\n", 'unknown type: "nope"'),
        ("exporters: {debug: {loudness: 3}}\n", "invalid keys: loudness"),
        ("service: {pipelines: {traces/mine: {receivers: [otlp], exporters: [nope]}}}\n", "nope"),
        ("\0", "control characters"),
    ],
)
def test_a_broken_file_is_answered_with_its_name_and_the_collectors_own_message(
    content: str, said: str, otelcol: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(content)
    with pytest.raises(SandscopeError) as caught:
        validate(otelcol, Composition.of("local", mine))
    assert said in str(caught.value)
    assert str(caught.value).endswith(f"Correct {mine}.")


def test_without_the_wheel_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sandscope_collector", None)
    with pytest.raises(SandscopeError, match=r"pip install 'sandscope\[collector\]'"):
        Composition.of("local")
