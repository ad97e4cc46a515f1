"""Only a browser of this machine whose user has the token is answered, and it can only read."""

from __future__ import annotations

import pytest

from view._site import PORT, TOKEN, Site

COOKIE = f"sandscope-{PORT}={TOKEN}"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {}),
        ("/?token=wrong", {}),
        ("/?token=", {}),
        ("/?token=wrong", {"Cookie": COOKIE}),
        ("/", {"Cookie": f"sandscope-{PORT}=wrong"}),
        ("/", {"Cookie": f"sandscope-1={TOKEN}"}),
        ("/static/page.css", {}),
        ("/", {"Cookie": 'a"=;;=b', "Authorization": TOKEN}),
        ("/?token=%ff%00é", {}),
    ],
)
def test_without_the_token_nothing_is_answered(site: Site, path: str, headers: dict[str, str]) -> None:
    answer = site.client.get(path, headers=headers)
    assert (answer.status_code, answer.text) == (
        403,
        "Open the address that `sandscope view` has printed: it ends with the token.\n",
    )


def test_the_token_becomes_a_cookie_and_leaves_the_address(site: Site) -> None:
    answer = site.client.get(f"/?token={TOKEN}&name=a%26b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?name=a%26b")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Expires" not in cookie


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", ""])
def test_other_names_of_this_machine_are_refused(site: Site, host: str) -> None:
    answer = site.client.get(f"/?token={TOKEN}", headers={"Host": host})
    assert answer.status_code == 421
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_reading_is_possible(site: Site, method: str) -> None:
    assert site.client.request(method, "/", headers={"Cookie": COOKIE}).status_code == 405


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/page.css", "/?token=wrong"])
def test_every_answer_says_what_a_browser_may_do_with_it(site: Site, path: str) -> None:
    site.get("/")
    headers = site.client.get(path, headers={"Cookie": COOKIE}).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/static/../_app.py", "/static/%2e%2e/_app.py", "/static//etc/passwd"])
def test_no_other_file_can_be_read(site: Site, path: str) -> None:
    site.get("/")
    assert site.client.get(path, headers={"Cookie": COOKIE}).status_code == 404
