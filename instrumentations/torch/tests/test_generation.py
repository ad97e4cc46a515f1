"""Generations by transformers, in a program of its own: its packages are in no other environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from harness import ROOT, clean_environment
from harness._packages import environment_with

pytestmark = [pytest.mark.torch, pytest.mark.slow]

_HERE = ROOT / "instrumentations" / "torch"
_CANARY = "canary"


@pytest.fixture(scope="module", params=["direct", "deferred"])
def output(torch: Any, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what the program printed, with one of the recorders."""
    environment = clean_environment()
    packages = environment_with("transformers", "safetensors")["PYTHONPATH"]
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests"), packages])
    environment["HF_HUB_OFFLINE"] = "1"
    program = [
        str(_HERE / "tests" / "programs" / "generate.py"),
        request.param,
        str(_HERE / "telemetry.yaml"),
    ]
    done = subprocess.run(
        [sys.executable, *program],
        env=environment,
        cwd=tmp_path_factory.mktemp("generation"),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found(output: str) -> dict[str, Any]:
    """Return what was recorded, by scenario."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {line.get("scenario", "end"): line for line in lines}


def _generation(found: dict[str, Any], scenario: str) -> dict[str, Any]:
    (span,) = (each for each in found[scenario]["spans"] if each["span"].startswith("generation "))
    return dict(span)


def test_results_are_as_without_instrumentation(found: dict[str, Any]) -> None:
    assert len(found) > 15
    assert [name for name, line in found.items() if not line.get("equal", True)] == []


def test_everything_is_declared_and_nothing_failed_inside(found: dict[str, Any]) -> None:
    assert [line["violations"] for line in found.values() if line.get("violations")] == []
    assert found["end"]["errors"] == []


def test_uninstrument_restores_what_was_patched(found: dict[str, Any]) -> None:
    assert found["end"]["restored"] is True


def test_no_text_of_a_prompt_is_recorded(output: str) -> None:
    assert _CANARY not in output


@pytest.mark.parametrize(
    ("scenario", "read", "written"),
    [
        ("greedy", 3, 8),
        ("sampled", 3, 15),
        ("beams", 6, 12),
        ("ragged", 6, 9),
        ("encoder_decoder", 6, 10),
        ("stopped", 3, 3),
        ("assisted", 3, 8),
        ("streamed", 3, 4),
        ("in_a_thread", 3, 8),
        ("in_inference_mode", 3, 8),
        ("with_hidden_modes", 3, 8),
        ("embedded", 3, 4),
        ("compiled", 3, 8),
    ],
)
def test_a_generation_is_one_execution_with_its_tokens(
    found: dict[str, Any], scenario: str, read: int, written: int
) -> None:
    spans = [span["span"] for span in found[scenario]["spans"] if span["span"] != "inference Embedding"]
    name = "BartForConditionalGeneration" if scenario == "encoder_decoder" else "GPT2LMHeadModel"
    assert spans == [f"generation {name}"]
    span = _generation(found, scenario)
    assert span["sandbox.verdict.cause"] == "normal_exit"
    assert (span["gen_ai.usage.input_tokens"], span["gen_ai.usage.output_tokens"]) == (read, written)
    assert span["gen_ai.request.model"] == name
    assert span["gen_ai.request.stream"] is (scenario == "streamed")
    seconds = found[scenario]["seconds"][-1]
    later = span["torch.generation.time_per_output_token"] * (written / span["torch.batch.size"] / 3 - 1)
    first = span["torch.generation.time_to_first_token"]
    assert 0 < first < seconds + 0.01
    assert 0 < later < seconds or scenario == "stopped"
    # The generation lies inside the program's own measurement, and its first token inside the generation.
    assert 0.99 * written / seconds <= span["torch.generation.rate"] <= 1.01 * written / first


def test_the_share_of_padding_is_that_of_the_prompts(found: dict[str, Any]) -> None:
    assert _generation(found, "greedy")["torch.generation.padding"] == 0
    assert _generation(found, "beams")["torch.generation.padding"] == 0.25
    assert _generation(found, "beams")["torch.input.shape"] == [2, 4]


@pytest.mark.parametrize(
    ("scenario", "cause", "written"),
    [
        ("failed", "re_python_exception", 2),
        ("interrupted", "ie_interrupted", 2),
        ("out_of_memory", "mle_memory_error", 2),
        ("wrong_arguments", "re_python_exception", None),
    ],
)
def test_an_exception_ends_a_generation(
    found: dict[str, Any], scenario: str, cause: str, written: int | None
) -> None:
    span = _generation(found, scenario)
    assert span["sandbox.verdict.cause"] == cause
    assert span.get("gen_ai.usage.output_tokens") == written
    assert "torch.generation.rate" not in span


def test_successful_generations_are_measured_by_the_conventions_names(found: dict[str, Any]) -> None:
    points = found["end"]["points"]
    named = {"gen_ai.operation.name": "text_completion", "gen_ai.provider.name": "transformers"}
    generations = 13
    usage = {
        each["gen_ai.token.type"]: (count, total)
        for each, count, total in points["gen_ai.client.token.usage"]
    }
    assert usage == {"input": (generations, 48), "output": (generations, 105)}
    for name in ("gen_ai.server.time_to_first_token", "gen_ai.server.time_per_output_token"):
        ((attributes, count, total),) = points[name]
        assert (attributes, count) == (named, generations)
        assert total > 0
    for name in ("gen_ai.client.operation.duration", "gen_ai.server.request.duration"):
        counts = {attributes.get("error.type"): count for attributes, count, _ in points[name]}
        failed = {"re_python_exception": 2, "ie_interrupted": 1, "mle_memory_error": 1}
        assert counts == {None: generations, **failed}
    for name in ("torch.generation.rate", "torch.generation.padding"):
        ((attributes, count, _total),) = points[name]
        assert (attributes["sandbox.operation"], count) == ("generation", generations)
