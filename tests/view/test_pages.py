"""What the pages say of executions that were recorded."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from harness._local_store import START, Store, attributes, request, span
from sandscope._view._filters import iso
from view._site import PORT, TOKEN, Site

PAGES = ["/", "/executions", "/functions"]


def _failed(number: int, **changes: Any) -> dict[str, Any]:
    verdict = attributes(
        sandbox__runtime="subprocess",
        sandbox__operation="process",
        sandbox__verdict__status="TLE",
        sandbox__verdict__actor="kernel",
        sandbox__verdict__cause="tle_cpu_kernel",
        sandbox__limit="cpu",
        sandbox__process__cpu__user="0.75",
        sandbox__process__cpu__system="0.25",
        sandbox__process__memory__peak="1048576",
        sandbox__process__limit__cpu="2",
    )
    end = str(START + number * 1_000_000 + 2_000_000_000)
    return span(number, name="sh", attributes=verdict, endTimeUnixNano=end, **changes)


@pytest.mark.parametrize("path", PAGES)
def test_nothing_recorded(site: Site, path: str) -> None:
    page = site.get(path)
    assert page.status == 200
    assert "Nothing has been recorded here yet" in page.text
    assert f"sandscope run --data {site.live.data} -- python app.py" in page.text


@pytest.mark.parametrize("path", PAGES)
def test_nothing_matches(store: Store, site: Site, path: str) -> None:
    store.add(request(span(1)))
    page = site.get(f"{path}?name=absent")
    assert "No execution matches the filters" in page.text
    assert path in page.links(path)


def test_the_overview(store: Store, site: Site) -> None:
    store.add(request(*(span(number) for number in range(1, 4)), _failed(4)))
    page = site.get("/")
    assert "4 executions" in page.text
    assert "75.0 % succeeded; 1 did not" in page.text
    assert "time limit exceeded 1" in page.text
    assert "/executions?runtime=subprocess&verdict=TLE" in page.links("/executions")
    assert [values["class"] for tag, values in page.tags if tag == "rect"].count("failed") == 1


def test_the_filters_are_in_the_address(store: Store, site: Site) -> None:
    store.add(request(*(span(number) for number in range(1, 4)), _failed(4)))
    third = iso(START + 3_000_000)
    assert site.get("/executions").rows() == 4
    for filters, rows in {
        "verdict=failed": 1,
        "verdict=TLE": 1,
        "verdict=OK": 3,
        "runtime=wasmtime": 3,
        "name=RUN": 3,
        "name=run%202": 1,
        "function=sh": 1,
        "function=s": 0,
        "min=1000": 1,
        "min=3000": 0,
        "range=1h": 0,
        f"since={third}": 2,
        f"until={third}": 2,
        f"since={third}&verdict=OK": 1,
        f"since={third}&range=all": 4,
    }.items():
        assert site.get(f"/executions?{filters}").rows() == rows, filters


@pytest.mark.parametrize(
    "filters",
    ["min=x", "min=nan", "min=-1", "since=now", "range=9x", "verdict=X", "order=x", "page=x", "page=-1"],
)
def test_what_is_not_valid_in_an_address_counts_as_absent(store: Store, site: Site, filters: str) -> None:
    store.add(request(span(1)))
    for path in PAGES:
        page = site.get(f"{path}?{filters}")
        assert (page.status, page.rows() > 0) == (200, True)


def test_pages_of_rows(store: Store, site: Site) -> None:
    store.add(request(*(span(number) for number in range(1, 121))))
    first, last = site.get("/executions?name=run"), site.get("/executions?name=run&page=3")
    assert "1 to 50 of 120" in first.text
    assert "/executions?name=run&page=2" in first.links("/executions")
    assert ("101 to 120 of 120" in last.text, last.rows()) == (True, 20)


def test_an_order(store: Store, site: Site) -> None:
    store.add(request(_failed(1), span(2)))
    assert site.get("/executions").links("/traces/")[0] == f"/traces/{2:032x}/{2:016x}"
    for order in ("duration", "memory", "cpu"):
        assert site.get(f"/executions?order={order}").links("/traces/")[0] == f"/traces/{1:032x}/{1:016x}"


def test_one_execution(store: Store, site: Site) -> None:
    trace = {"traceId": "ab" * 16}
    store.add(request(span(1, **trace), _failed(2, **trace, parentSpanId=f"{1:016x}")))
    page = site.get(f"/traces/{'ab' * 16}/{2:016x}")
    assert "time limit exceeded (cpu limit), ended by the kernel: tle_cpu_kernel" in page.text
    assert "SIGXCPU at the soft limit of CPU time" in page.text
    assert "1.00 s CPU time of 2.00 s" in page.text
    assert "1.0 MiB Peak memory" in page.text
    assert "2 spans" in page.text
    assert page.rows() == 2
    bars = [(values["x"], values["width"]) for tag, values in page.tags if tag == "rect" and values.get("rx")]
    assert bars == [("0.0%", "0.25%"), ("0.05%", "99.95%")]


def test_the_beginning_of_an_id_is_enough_and_others_are_not_found(store: Store, site: Site) -> None:
    store.add(request(span(1, traceId="ab" * 16), span(2, traceId="cd" * 16)))
    assert "run 1" in site.get("/traces/abab").text
    for path in ("/traces/ef", f"/traces/{'ab' * 16}/{9:016x}", "/nowhere"):
        page = site.get(path)
        assert (page.status, "There is nothing at this address" in page.text) == (404, True)


def test_functions_failing_first_then_the_slowest(store: Store, site: Site) -> None:
    store.add(request(span(1, name="quick"), _failed(2)))
    page = site.get("/functions")
    assert page.text.index("sh subprocess") < page.text.index("quick wasmtime")
    assert "/?runtime=subprocess&function=sh" in page.links("/?runtime")


def test_a_page_is_sent_again_only_if_there_is_something_new(store: Store, site: Site) -> None:
    store.add(request(span(1)))
    assert site.get("/").status == 200
    cookie = {"Cookie": f"sandscope-{PORT}={TOKEN}"}
    tag = site.client.get("/", headers=cookie).headers["etag"]
    again = site.client.get("/", headers={**cookie, "If-None-Match": tag})
    if again.headers["etag"] == tag:  # else ten seconds have begun
        assert (again.status_code, again.text) == (304, "")
    store.add(request(span(2)))
    store.query("SELECT 1")
    assert site.client.get("/", headers={**cookie, "If-None-Match": tag}).status_code == 200


def test_parts_that_are_merged_while_a_page_asks(store: Store, site: Site) -> None:
    for number in range(1, 8):
        store.add(request(span(number)))
        store.query("SELECT 1")

    def question(database: Any) -> Any:
        if len(store.parts()) > 1:  # the eighth part makes them one
            store.add(request(span(8)))
            store.query("SELECT 1")
        return database.query("SELECT count(*) FROM executions").rows

    assert site.live.ask(question) == [(8,)]


def test_a_store_that_cannot_be_read_or_is_deleted(store: Store, site: Site) -> None:
    store.add(request(span(1)))
    assert "run 1" in site.get("/executions").text
    (part,) = store.folder.glob("*.parquet")
    cookie = {"Cookie": f"sandscope-{PORT}={TOKEN}"}
    signal, identity, _, end, first, last = part.stem.split("-")
    part.with_name(f"{signal}-{identity}-{end}-{2 * int(end)}-{first}-{last}.parquet").write_text(
        "no Parquet"
    )
    answer = site.client.get("/executions", headers=cookie)
    assert (answer.status_code, "This cannot be shown" in answer.text) == (500, True)
    assert "Cannot read" in answer.text
    shutil.rmtree(store.folder)
    assert "run 1" in site.get("/executions").text
