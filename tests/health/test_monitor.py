"""The checks of a running program: in its JSON, its metrics and its log records."""

from __future__ import annotations

import json
import multiprocessing
import socket
import struct
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from harness import Contract, Telemetry, wait_until
from sandscope import SandscopeError, health
from sandscope.health import _health_telemetry

Start = Callable[..., health.Monitor]
CANARY = "canary-7f3a"


@pytest.fixture
def start(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start monitors with short intervals; they are stopped when the test ends."""
    monkeypatch.setattr(_health_telemetry, "get_recorder", telemetry.recorder)
    started: list[health.Monitor] = []

    def start(*checks: health.Check, **options: Any) -> health.Monitor:
        started.append(health.start(*checks, **{"interval": 0.05, "port": 0, **options}))
        return started[-1]

    yield start
    for monitor in started:
        monitor.stop()


def waits(go_on: threading.Event) -> None:
    go_on.wait(60)


def get(monitor: health.Monitor, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"{monitor.url}{path}", timeout=10) as answer:  # noqa: S310 - http, on loopback
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_json_says_what_each_check_found(start: Start) -> None:
    monitor = start(
        health.Check("good", lambda: health.healthy("all is well", waiting=3), critical=True),
        health.Check("bad", lambda: health.degraded("slow"), failures=1),
    )
    assert wait_until(lambda: monitor.status == "degraded")
    code, body = get(monitor, "/health")
    assert (code, body["status"]) == (200, "degraded")
    good, bad = body["checks"]["good"], body["checks"]["bad"]
    assert (good["status"], good["critical"], good["message"]) == ("healthy", True, "all is well")
    assert good["details"] == {"waiting": 3}
    assert (bad["status"], bad["message"]) == ("degraded", "slow")
    assert get(monitor, "/health/ready") == (200, {"status": "degraded"})
    assert get(monitor, "/health/live") == (200, {"alive": True})
    assert get(monitor, "/else") == (404, {"error": "not found"})


def test_an_unhealthy_program_answers_503_and_lives(start: Start) -> None:
    monitor = start(health.Check("down", lambda: health.unhealthy("gone"), critical=True, failures=2))
    assert wait_until(lambda: monitor.status == "unhealthy")
    assert [get(monitor, path)[0] for path in ("/health", "/health/ready", "/health/live")] == [503, 503, 200]


def test_a_program_is_not_ready_before_its_first_results(start: Start) -> None:
    go_on = threading.Event()
    monitor = start(health.Check("slow", lambda: waits(go_on), critical=True, timeout=30))
    assert get(monitor, "/health/ready") == (503, {"status": "unknown"})
    go_on.set()
    assert wait_until(lambda: get(monitor, "/health/ready") == (200, {"status": "healthy"}))


def test_a_check_that_hangs_does_not_hang_the_others(start: Start) -> None:
    go_on, rounds = threading.Event(), []
    monitor = start(
        health.Check("hangs", lambda: waits(go_on), failures=2, timeout=0.1),
        health.Check("runs", lambda: rounds.append(1)),
    )
    assert wait_until(lambda: monitor.report()["checks"]["hangs"]["status"] == "unhealthy")
    before = len(rounds)
    assert wait_until(lambda: len(rounds) > before + 3)
    assert monitor.report()["checks"]["hangs"]["message"] == "no result within 0.1 s"
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("sandscope-health-hangs") == 1
    go_on.set()
    assert wait_until(lambda: monitor.report()["checks"]["hangs"]["status"] == "healthy")


def test_a_check_that_raises_is_unhealthy_and_keeps_its_text_to_itself(
    start: Start, telemetry: Telemetry
) -> None:
    def connect() -> None:
        raise ConnectionError(CANARY)

    monitor = start(health.Check("database", connect, failures=1))
    assert wait_until(lambda: monitor.status == "degraded")
    assert monitor.report()["checks"]["database"]["message"] == "ConnectionError"
    monitor.stop()
    assert CANARY not in json.dumps(monitor.report())
    assert wait_until(telemetry.logs)
    assert "health check database is unhealthy: ConnectionError" in [
        r.log_record.body for r in telemetry.logs()
    ]
    assert CANARY not in repr([vars(each.log_record) for each in telemetry.logs()])


def exits() -> None:
    sys.exit("canary")


RUBBISH = {
    "text": (lambda: "ok", "the check returned neither a Result nor None, but str"),
    "bool": (lambda: True, "the check returned neither a Result nor None, but bool"),
    "status": (lambda: health.Result("purple"), "the check returned neither a Result nor None, but Result"),  # type: ignore[arg-type]
    "details": (lambda: health.Result("healthy", "", 7), "AttributeError"),  # type: ignore[arg-type]
    "exit": (exits, "SystemExit"),
}


@pytest.mark.parametrize("name", RUBBISH)
def test_a_check_that_returns_rubbish_is_unhealthy_and_the_others_go_on(start: Start, name: str) -> None:
    function, message = RUBBISH[name]
    rounds: list[int] = []
    monitor = start(health.Check("bad", function, failures=1), health.Check("good", lambda: rounds.append(1)))
    assert wait_until(lambda: len(rounds) > 3)
    found = get(monitor, "/health")[1]["checks"]
    assert (found["bad"]["status"], found["bad"]["message"]) == ("unhealthy", message)
    assert found["good"]["status"] == "healthy"


def test_what_json_cannot_say_is_text(start: Start) -> None:
    odd = {"since": date(2026, 1, 2), "percent": float("nan"), "most": float("inf"), "rows": 3, "on": True}
    monitor = start(health.Check("odd", lambda: health.Result("healthy", ValueError("a"), odd)))  # type: ignore[arg-type]
    assert wait_until(lambda: monitor.status == "healthy")
    with urllib.request.urlopen(f"{monitor.url}/health", timeout=10) as answer:  # noqa: S310 - http, on loopback
        odd_check = json.load(answer, parse_constant=pytest.fail)["checks"]["odd"]
    assert odd_check["message"] == "a"
    as_text = {"since": "2026-01-02", "percent": "nan", "most": "inf"}
    assert odd_check["details"] == as_text | {"rows": 3, "on": True}


def test_the_others_do_not_wait_for_a_check_that_hangs(start: Start) -> None:
    go_on = threading.Event()
    monitor = start(
        health.Check("hangs", lambda: waits(go_on), timeout=600),
        health.Check("down", lambda: health.unhealthy("gone"), critical=True, failures=1),
    )
    assert wait_until(lambda: monitor.status == "unhealthy")
    assert monitor.report()["checks"]["hangs"]["message"] == "not checked yet"
    go_on.set()


def test_checks_are_run_at_the_interval(start: Start) -> None:
    seldom: list[int] = []
    often: list[int] = []
    start(health.Check("a", lambda: seldom.append(1)), interval=3600)
    start(health.Check("a", lambda: often.append(1)), interval=0.01)
    assert wait_until(lambda: len(often) > 5)
    assert wait_until(lambda: seldom == [1])


def test_what_a_check_cannot_know_does_not_keep_a_program_from_work(start: Start) -> None:
    monitor = start(health.pool())
    assert wait_until(lambda: get(monitor, "/health/ready") == (200, {"status": "unknown"}))
    assert monitor.report()["checks"]["pool"]["message"] == "there are no workers and no queues"


def test_head_is_answered_without_a_body(start: Start) -> None:
    monitor = start(health.Check("a", lambda: None))
    assert wait_until(lambda: monitor.status == "healthy")
    request = urllib.request.Request(f"{monitor.url}/health", method="HEAD")  # noqa: S310 - http, on loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - http, on loopback
        assert (answer.status, answer.read()) == (200, b"")


def test_a_client_that_goes_away_is_not_on_stderr(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    monitor = start(health.Check("a", lambda: None))
    address = ("127.0.0.1", int(str(monitor.url).rpartition(":")[2]))
    for _ in range(5):
        with socket.create_connection(address) as client:
            client.sendall(b"GET /health")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # resets on close
    assert get(monitor, "/health/live")[0] == 200
    time.sleep(0.2)
    assert capfd.readouterr().err == ""


def test_coroutine_functions_and_the_decorator(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandscope.health import _check, _monitor

    mine: dict[str, health.Check] = {}
    monkeypatch.setattr(_check, "registered", mine)
    monkeypatch.setattr(_monitor, "registered", mine)

    @health.check("async", critical=True, failures=1)
    async def later() -> health.Result:
        return health.unhealthy("later")

    monitor = start()
    assert wait_until(lambda: monitor.status == "unhealthy")
    assert callable(later)


def test_status_and_duration_are_metrics_and_changes_are_log_records(
    start: Start, telemetry: Telemetry
) -> None:
    results = iter([None, None, *[health.unhealthy("gone")] * 2])
    monitor = start(
        health.Check("a", lambda: next(results, health.unhealthy("gone")), critical=True, failures=2)
    )
    assert wait_until(lambda: monitor.status == "unhealthy")
    time.sleep(0.2)  # more rounds without a change
    monitor.stop()

    assert telemetry.points("health.check.status") == [({"check.name": "a", "check.critical": True}, 0.0)]
    ((attributes, count),) = telemetry.points("health.check.duration")
    assert attributes == {"check.name": "a"}
    assert count >= 4
    assert Contract().violations(telemetry) == []
    said = [(r.log_record.body, r.log_record.severity_text) for r in telemetry.logs()]
    assert said == [
        ("health check a is healthy", "INFO"),
        ("the program is healthy", "INFO"),
        ("health check a is unhealthy: gone", "ERROR"),
        ("the program is unhealthy", "ERROR"),
    ]


def test_the_machine_has_a_disk_a_memory_and_processors(start: Start, telemetry: Telemetry) -> None:
    monitor = start(health.disk(limit=100.1), health.memory(limit=100.1), health.cpu(limit=100.1))
    assert wait_until(lambda: all(c["latest"] != "unknown" for c in monitor.report()["checks"].values()))
    for found in monitor.report()["checks"].values():
        assert 0 <= found["details"]["percent"] <= 100
    names: set[str] = set()

    def all_measured() -> bool:
        # OpenTelemetry 1.44 leaves a gauge out of a collection if it was not measured since the previous one.
        names.update(attributes["check.name"] for attributes, _ in telemetry.points("health.check.usage"))
        return names == {"disk", "memory", "cpu"}

    assert wait_until(all_measured)
    assert health.disk(warn=0, limit=0).run().status == "unhealthy"
    assert health.disk(warn=0, limit=100.1).run().status == "degraded"


def test_a_store_that_answers_and_one_that_does_not(start: Start) -> None:
    monitor = start(health.Check("a", lambda: None))
    alive, dead = f"{monitor.url}/health/live", "http://127.0.0.1:1"
    assert health.collector(alive).run().status == "healthy"
    assert health.collector(dead).run().status == "unhealthy"
    assert health.collector(f"{monitor.url}/else").run().details == {"code": 404}
    assert health.stores(a=alive).run().status == "healthy"
    both = health.stores(a=alive, b=dead).run()
    assert (both.status, both.message) == ("degraded", "not ready: b")
    assert health.stores(b=dead).run().status == "unhealthy"
    assert health.stores().run().status == "unknown"


def test_a_port_in_use_is_an_error(start: Start) -> None:
    taken = int(str(start(health.Check("a", lambda: None)).url).rpartition(":")[2])
    with pytest.raises(SandscopeError, match=f"Cannot serve health on port {taken}: .* Choose another port"):
        health.start(health.Check("a", lambda: None), port=taken)


def test_stopping_frees_the_port_at_once_even_if_a_check_hangs(start: Start) -> None:
    monitor = start(health.Check("hangs", lambda: time.sleep(60), timeout=60))
    monitor.stop()
    with pytest.raises(urllib.error.URLError):
        get(monitor, "/health")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_knows_nothing_and_leaves_the_parent_alone(start: Start) -> None:
    monitor = start(health.Check("a", lambda: None))
    assert wait_until(lambda: monitor.status == "healthy")
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(
        target=lambda: answers.put((monitor.status, monitor.url, monitor.report()["status"]))
    )
    child.start()
    assert answers.get() == ("unknown", None, "unknown")
    child.join()
    assert get(monitor, "/health")[0] == 200
