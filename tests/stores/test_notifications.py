"""Prometheus, Alertmanager and local receivers: each notification arrives once when it begins and once when it ends."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from examples.read_back import prometheus_query

from harness import free_ports, lacking, wait_until
from harness._inbox import Inbox, open_inbox
from harness._stores import CONFIGURATION, hurried_configuration, requires_stores, running
from sandscope_collector.stores import StoresError

pytestmark = [pytest.mark.stores, pytest.mark.slow]
FOLDER = CONFIGURATION / "alertmanager"
SECRETS = ("smtp-password", "webhook-token", "pagerduty-key", "pagerduty-lead-key")


def amtool(*words: str | Path) -> str:
    found = shutil.which("amtool")
    if found is None:
        lacking("amtool is not installed: `apt-get install prometheus-alertmanager`")
    done = subprocess.run([found, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("file", ["alertmanager.yaml", "notify.yaml"])
def test_amtool_accepts_the_file(file: str) -> None:
    assert "SUCCESS" in amtool("check-config", FOLDER / file)


def test_both_files_have_the_same_routes_and_the_same_receivers() -> None:
    plain, notify = (yaml.safe_load((FOLDER / f).read_text()) for f in ("alertmanager.yaml", "notify.yaml"))
    assert plain["route"] == notify["route"]
    assert plain["inhibit_rules"] == notify["inhibit_rules"]
    assert [each["name"] for each in plain["receivers"]] == [each["name"] for each in notify["receivers"]]


def test_secrets_are_only_in_files() -> None:
    text = (FOLDER / "notify.yaml").read_text()
    assert (
        re.findall(r"^\s*\w*(?:password|api_url|routing_key|credentials|service_key): ", text, re.MULTILINE)
        == []
    )
    assert text.count("_file: /etc/alertmanager/secrets/") == 5


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("alertname=HighErrorRate severity=warning", "team"),
        ("alertname=CollectorDown severity=critical", "on-call,team"),
        ("alertname=SuspiciousModel severity=critical", "security,on-call,team"),
        ("alertname=SecurityViolations severity=warning", "security,team"),
        ("alertname=UnknownEndings severity=info", "page"),
        ("alertname=Escalation severity=critical", "lead"),
    ],
)
def test_who_is_told(labels: str, receivers: str) -> None:
    said = amtool("config", "routes", "test", f"--config.file={FOLDER / 'notify.yaml'}", *labels.split())
    assert said.strip() == receivers


@dataclass(frozen=True)
class Chain:
    """A metrics page that can go away, and where the notifications about it arrive."""

    inbox: Inbox
    prometheus: str
    alertmanager: str
    page: int


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Run Prometheus and Alertmanager with the rules and receivers that are shipped, hurried and sent to an inbox."""
    requires_stores("prometheus", "alertmanager")
    folder = tmp_path_factory.mktemp("notifications")
    page = free_ports(["page"])["page"]
    with open_inbox() as inbox, pytest.MonkeyPatch.context() as environment:
        configuration = hurried_configuration(folder / "configuration")
        environment.setenv("SANDSCOPE_ALERTMANAGER_CONFIG", str(own_file(configuration, inbox, folder)))
        with running(
            folder / "stores",
            "prometheus",
            "alertmanager",
            scrape=f"127.0.0.1:{page}",
            configuration=configuration,
        ) as stores:
            yield Chain(inbox, stores["prometheus"].url, stores["alertmanager"].url, page)


def own_file(configuration: Path, inbox: Inbox, folder: Path) -> Path:
    """Do with notify.yaml what its user does: write addresses into it, and secrets into files."""
    for name in SECRETS:
        (folder / name).write_text(f"the {name}")
    web = f"http://127.0.0.1:{inbox.http_port}"
    (folder / "slack-url").write_text(f"{web}/slack")
    text = (configuration / "alertmanager" / "notify.yaml").read_text()
    for old, new in (
        ("/etc/alertmanager/secrets", str(folder)),
        ("smtp.example.com:587", f"127.0.0.1:{inbox.smtp_port}\n  smtp_require_tls: false"),
        ("https://alerts.example.com/sandscope", f"{web}/webhook"),
        ("https://docs.example.com/", "https://wiki.acme.example/"),
        ("      - &pager\n", f"      - &pager\n        url: {web}/pagerduty\n"),
    ):
        assert old in text
        text = text.replace(old, new)
    own = folder / "own.yaml"
    own.write_text(text)
    return own


@contextmanager
def metrics_page(port: int) -> Iterator[None]:
    """Serve an empty metrics page, as the Collector does when nothing has run."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer.allow_reuse_address = True
    with ThreadingHTTPServer(("127.0.0.1", port), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def statuses(chain: Chain, alert: str) -> dict[str, list[str]]:
    """Return what each channel has heard about an alert, in order."""
    inbox = chain.inbox
    return {
        "webhook": [
            body["status"] for body in inbox.at("/webhook") if body["commonLabels"]["alertname"] == alert
        ],
        "slack": [
            title.split("]")[0][1:]
            for title in (body["attachments"][0]["title"] for body in inbox.at("/slack"))
            if f" {alert} " in title
        ],
        "pagerduty": [
            {"trigger": "firing", "resolve": "resolved"}[body["event_action"]]
            for body in inbox.at("/pagerduty")
            if body["payload"]["summary"].startswith(f"{alert}:")
        ],
        "email": [
            mail["Subject"].split("]")[0][1:] for mail in inbox.mails if mail["Subject"].endswith(f" {alert}")
        ],
    }


def test_each_channel_hears_of_the_beginning_and_of_the_end_once(chain: Chain) -> None:
    with metrics_page(chain.page):
        assert wait_until(lambda: up(chain) == 1)
    once = {"webhook": ["firing"], "slack": ["firing"], "pagerduty": ["firing"], "email": []}
    assert wait_until(lambda: statuses(chain, "CollectorDown") == once)
    # It stays critical, so the lead is called, too: at once here, after half an hour in earnest.
    assert wait_until(
        lambda: (
            (statuses(chain, "Escalation")["email"], statuses(chain, "Escalation")["pagerduty"])
            == (["firing"], ["firing"])
        )
    )
    with metrics_page(chain.page):
        both = {"webhook": ["firing", "resolved"], "slack": ["firing", "resolved"]}
        both |= {"pagerduty": ["firing", "resolved"], "email": []}
        assert wait_until(lambda: statuses(chain, "CollectorDown") == both)
        lead = {"webhook": [], "slack": []}
        lead |= {"pagerduty": ["firing", "resolved"], "email": ["firing", "resolved"]}
        assert wait_until(lambda: statuses(chain, "Escalation") == lead)
        time.sleep(3)  # three times the interval in which a notification could be repeated
        assert statuses(chain, "CollectorDown") == both
        assert statuses(chain, "Escalation") == lead

    body = chain.inbox.at("/webhook")[0]
    assert body["alerts"][0]["annotations"]["runbook_url"] == "docs/runbooks.md#collectordown"
    link = "https://wiki.acme.example/docs/runbooks.md#collectordown"
    assert chain.inbox.at("/slack")[0]["attachments"][0]["title_link"] == link
    assert link in chain.inbox.at("/slack")[0]["attachments"][0]["text"]
    assert chain.inbox.at("/pagerduty")[0]["links"] == [{"href": link, "text": "runbook"}]
    assert {key for path, key, _ in chain.inbox.posts if path == "/webhook"} == {"Bearer the webhook-token"}
    assert set(chain.inbox.logins) == {("sandscope", "the smtp-password")}
    keys = {
        body["payload"]["summary"].split(":")[0]: body["routing_key"] for body in chain.inbox.at("/pagerduty")
    }
    assert keys == {"CollectorDown": "the pagerduty-key", "Escalation": "the pagerduty-lead-key"}


def up(chain: Chain) -> float:
    return next((sample.value for sample in prometheus_query(chain.prometheus, "up")), 0)


@pytest.fixture
def scraped(chain: Chain) -> Iterator[None]:
    """Let Prometheus scrape its page, because CollectorDown inhibits warnings."""
    query = [
        "alert",
        "query",
        "-o",
        "json",
        f"--alertmanager.url={chain.alertmanager}",
        "alertname=CollectorDown",
    ]
    with metrics_page(chain.page):
        assert wait_until(lambda: up(chain) == 1 and not json.loads(amtool(*query)))
        yield


@pytest.mark.usefixtures("scraped")
def test_a_silence_keeps_an_alert_from_everybody(chain: Chain) -> None:
    url = f"--alertmanager.url={chain.alertmanager}"
    amtool("silence", "add", url, "--author=a", "--comment=b", "--duration=5m", "job=trainer")
    amtool("alert", "add", url, "alertname=SlowExecutions", "severity=warning", "job=trainer")
    amtool("alert", "add", url, "alertname=SlowExecutions", "severity=warning", "job=judge")
    assert wait_until(lambda: statuses(chain, "SlowExecutions")["webhook"] == ["firing"])
    heard = [body["commonLabels"]["job"] for body in chain.inbox.at("/webhook")[-1:]]
    assert heard == ["judge"]


@pytest.mark.usefixtures("scraped")
def test_security_is_told_by_mail_once(chain: Chain) -> None:
    labels = ["alertname=SecurityViolations", "severity=warning", "job=plugins"]
    start = datetime.now(timezone.utc) - timedelta(seconds=10)
    words = ["alert", "add", f"--alertmanager.url={chain.alertmanager}", *labels]
    amtool(*words, f"--start={start.isoformat()}")
    assert wait_until(lambda: statuses(chain, "SecurityViolations")["email"] == ["firing"])
    end = datetime.now(timezone.utc)
    amtool(*words, f"--start={start.isoformat()}", f"--end={end.isoformat()}")
    both = ["firing", "resolved"]
    told = {"webhook": both, "slack": both, "pagerduty": [], "email": both}
    assert wait_until(lambda: statuses(chain, "SecurityViolations") == told)
    assert [mail["To"] for mail in chain.inbox.mails if mail["Subject"].endswith(" SecurityViolations")] == [
        "security@example.com"
    ] * 2


@pytest.mark.usefixtures("scraped")
def test_a_critical_alert_of_a_check_does_not_inhibit_the_warning_of_another(chain: Chain) -> None:
    url = f"--alertmanager.url={chain.alertmanager}"
    same = ["alertname=HealthCheckFailing", "job=api"]
    amtool("alert", "add", url, *same, "severity=critical", "check_name=database")
    amtool("alert", "add", url, *same, "severity=warning", "check_name=stores")

    def checks() -> set[str]:
        bodies = [body for body in chain.inbox.at("/webhook") if body["groupLabels"]["job"] == "api"]
        return {alert["labels"].get("check_name", "") for body in bodies for alert in body["alerts"]}

    assert wait_until(lambda: checks() >= {"database", "stores"})


def test_a_critical_alert_inhibits_its_warning(chain: Chain) -> None:
    url = f"--alertmanager.url={chain.alertmanager}"
    same = ["alertname=ErrorBudgetBurn", "slo=availability", "job=api"]
    amtool("alert", "add", url, *same, "severity=critical")
    amtool("alert", "add", url, *same, "severity=warning")
    assert wait_until(lambda: statuses(chain, "ErrorBudgetBurn")["webhook"] == ["firing"])
    alerts = [a for body in chain.inbox.at("/webhook")[-1:] for a in body["alerts"]]
    assert [alert["labels"]["severity"] for alert in alerts] == ["critical"]


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requires_stores("alertmanager")
    monkeypatch.setenv("SANDSCOPE_ALERTMANAGER_CONFIG", str(tmp_path / "gone.yaml"))
    with (
        pytest.raises(StoresError, match=r"SANDSCOPE_ALERTMANAGER_CONFIG names '.*gone\.yaml'"),
        running(tmp_path / "data", "alertmanager"),
    ):
        pass
