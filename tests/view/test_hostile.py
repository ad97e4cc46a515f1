"""What a recorded program wrote is shown as text, however much of it there is and whatever it looks like."""

from __future__ import annotations

from typing import Any

import pytest

from harness._local_store import Store, attributes, request, span
from view._site import Page, Site

MARKUP = "<script>alert('1')</script><img src=x onerror=alert(1)>\"' onmouseover=alert(1) {{ 7 * 7 }} {% x %}"
SQL = "'; DROP TABLE executions; --"
ADDRESS = "javascript:alert(1)"


def _hostile(text: str, **more: Any) -> dict[str, Any]:
    names = (
        "sandbox__runtime",
        "sandbox__operation",
        "sandbox__verdict__cause",
        "sandbox__limit",
        "process__pid",
    )
    return span(
        1,
        name=text,
        status={"code": 2, "message": text},
        attributes=attributes(
            **dict.fromkeys(names, text),
            sandbox__verdict__status="RE",
            sandbox__verdict__actor=text,
            sandbox__process__memory__peak=text,
            **{text: text},
        ),
        events=[{"name": text, "timeUnixNano": "1", "attributes": attributes(**{text: text})}],
        **more,
    )


def _safe(page: Page) -> bool:
    scripts = [values.get("src", "") for tag, values in page.tags if tag == "script"]
    return (
        page.status == 200
        and scripts == ["/static/theme.js", "/static/page.js"]
        and all(values["src"] == "/static/icon.svg" for tag, values in page.tags if tag == "img")
        and not any(name.startswith("on") for _, values in page.tags for name in values)
        and all(href[0] in "/?" for href in page.links(""))
    )


@pytest.mark.parametrize("text", [MARKUP, SQL, ADDRESS, "\x00\x1b[31m\u202e", "é" * 300])
def test_markup_sql_and_addresses_are_text(store: Store, site: Site, text: str) -> None:
    store.add(request(_hostile(text)))
    trace = f"/traces/{1:032x}/{1:016x}"
    pages = {path: site.get(path) for path in ("/", "/executions", "/functions", trace)}
    assert [path for path, page in pages.items() if not _safe(page)] == []
    links = [*pages["/"].links("/executions?runtime"), *pages["/functions"].links("/?")]
    assert len(links) >= 4
    for link in links:  # what it links to is found, and nothing else
        assert _safe(site.get(link)), link
    if text == MARKUP:
        assert MARKUP in pages[trace].text


@pytest.mark.parametrize("value", [MARKUP, SQL, "%", "\x00", "é" * 10_000, "../../etc/passwd"])
def test_filters_are_text(store: Store, site: Site, value: str) -> None:
    store.add(request(span(1)))
    for name in ("name", "function", "runtime", "since", "order", "verdict", "page"):
        answer = site.client.build_request("GET", "/executions", params={name: value})
        assert _safe(site.get(str(answer.url))), name
    assert "1 executions" in site.get("/").text


def test_large_values_and_many_attributes(store: Store, site: Site) -> None:
    many = {f"attribute__{number}": "x" for number in range(100_000)}
    verdict = {
        "sandbox__runtime": "wasmtime",
        "sandbox__verdict__status": "OK",
        "sandbox__verdict__actor": "guest",
    }
    large = attributes(**verdict, sandbox__verdict__cause="normal_exit", a__large__one="y" * 1_000_000)
    store.add(request(span(1, name="n" * 1_000_000, attributes=large)))
    store.add(request(span(2, attributes=attributes(**verdict, sandbox__verdict__cause="c", **many))))
    for path in ("/", "/executions", "/functions", f"/traces/{1:032x}", f"/traces/{2:032x}"):
        page = site.get(path)
        assert page.status == 200
        assert len(page.text) < 60_000, path
    assert "… (998,000 more characters)" in site.get(f"/traces/{1:032x}").text
    assert "The first 200 of 100,004." in site.get(f"/traces/{2:032x}").text


def test_a_trace_of_many_spans(store: Store, site: Site) -> None:
    store.add(request(*(span(number, traceId="ab" * 16) for number in range(1, 3001))))
    page = site.get(f"/traces/{'ab' * 16}/{2500:016x}")
    assert "The first 1,000 spans; sandscope report --trace" in page.text
    assert "run 2500" in page.text
