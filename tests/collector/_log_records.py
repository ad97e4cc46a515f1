"""Send log records to a Collector as it would get them from any program, and read them back from its files."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from harness import PATIENCE, complete_lines


def body_of(*names: str, event: str = "security.event", **attributes: str) -> bytes:
    """Return a request with one record for each name, which is its body."""
    given = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    records = [
        {"eventName": event, "severityNumber": 17, "body": {"stringValue": name}, "attributes": given}
        for name in names
    ]
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()


def send(port: int, body: bytes) -> int:
    """Send a request, and return the status of the answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", "/v1/logs", body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def records_in(*files: Path) -> list[dict[str, Any]]:
    """Return the records in files of the Collector."""
    lines = [line for file in files for line in complete_lines(file) if line]
    scopes = [
        scope for line in lines for group in json.loads(line)["resourceLogs"] for scope in group["scopeLogs"]
    ]
    return [record for scope in scopes for record in scope["logRecords"]]


def attributes_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a record."""
    return {each["key"]: next(iter(each["value"].values())) for each in record.get("attributes", ())}
