"""The page of overlay `prometheus`: what Prometheus would scrape."""

from __future__ import annotations

import re
import time
import urllib.request
from collections import defaultdict

import pytest

from harness import PATIENCE

Samples = dict[str, list[tuple[dict[str, str], float]]]
_LINE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="[^"]*",?)*)\})? ([^\s#]+)', re.MULTILINE)


def wait_for_page(port: int, word: str) -> str:
    """Return what Prometheus would scrape, once a word is on it."""
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=accept)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310 - http, as written above
            page: str = response.read().decode()
        if word in page:
            return page
        time.sleep(0.05)
    pytest.fail(f"{word} is not on the page")


def samples(page: str) -> Samples:
    """Return what is on a page, by name: labels and value."""
    found: Samples = defaultdict(list)
    for name, labels, value in _LINE.findall(page):
        found[name].append((dict(re.findall(r'([a-z_]+)="([^"]*)"', labels)), float(value)))
    return found


def total(found: Samples, name: str, **labels: str) -> float:
    """Return the sum of a metric over all series with these labels."""
    return sum(value for given, value in found[name] if labels.items() <= given.items())
