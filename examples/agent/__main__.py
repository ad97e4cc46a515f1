"""Run the agent beside a Collector, and print how its tool calls ended: python -m examples.agent [FOLDER]."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
MEANINGS = {"OK": "succeeded", "TLE": "time limit", "SV": "security violation"}
COLUMNS = ("gen_ai.tool.call.id", "gen_ai.tool.name", "sandbox.runtime", "sandbox.verdict.status")
EVIDENCE = ("sandbox.verdict.actor", "sandbox.verdict.cause")


def run(data: Path) -> None:
    """Run the agent instrumented, with a Collector that writes to local files."""
    command = [sys.executable, "-m", "sandscope", "run", "--data", str(data), "--", sys.executable]
    subprocess.run([*command, str(HERE / "agent.py")], check=True)


def spans(data: Path) -> list[dict]:
    """Return the name, trace id and attributes of each span that the Collector has written."""
    requests = map(json.loads, (data / "traces.jsonl").read_text().splitlines())
    groups = [scope for request in requests for r in request["resourceSpans"] for scope in r["scopeSpans"]]
    return [
        {a["key"]: next(iter(a["value"].values())) for a in span.get("attributes", [])}
        | {"name": span["name"], "trace": span["traceId"], "start": int(span["startTimeUnixNano"])}
        for group in groups
        for span in group["spans"]
    ]


def table(spans: list[dict]) -> list[tuple[str, ...]]:
    """Return one row for each execution that a tool call started."""
    started = [span for span in spans if "sandbox.runtime" in span and "gen_ai.tool.call.id" in span]
    names = (*COLUMNS, *EVIDENCE)
    return [tuple(span[name] for name in names) for span in sorted(started, key=lambda span: span["start"])]


data = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp(prefix="sandscope-agent-"))
run(data)
found = spans(data)
(trace_id,) = {span["trace"] for span in found}
print(f"\ntrace {trace_id}")
for call, tool, runtime, status, actor, cause in table(found):
    print(f"{call:8}{tool:12}{runtime:12}{MEANINGS[status]:20}{actor:9}{cause}")
