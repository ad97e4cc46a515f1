"""Who is answered: a browser of this machine whose user has the token. Everything else is refused before it is read."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response

_Scope: TypeAlias = "MutableMapping[str, Any]"
_Message: TypeAlias = "MutableMapping[str, Any]"
_Receive: TypeAlias = "Callable[[], Awaitable[_Message]]"
_Send: TypeAlias = "Callable[[_Message], Awaitable[None]]"

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NO_TOKEN = "Open the address that `sandscope view` has printed: it ends with the token.\n"  # noqa: S105 -- no token


def new_token() -> str:
    """Return what nobody guesses."""
    return secrets.token_urlsafe(24)


class Gate:
    """Lets through what reads, is meant for this machine, and has the token: first in the address, then in a cookie."""

    def __init__(
        self, page: Callable[[_Scope, _Receive, _Send], Awaitable[None]], token: str, port: int
    ) -> None:
        """Stand before a page."""
        self._page = page
        self._token = token
        self._cookie = f"sandscope-{port}"  # cookies do not know of ports
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer a request, or let the page answer it."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: _Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await (self._refusal(scope) or self._page)(scope, receive, send_with_headers)

    def _refusal(self, scope: _Scope) -> Response | None:
        headers = Headers(scope=scope)
        if headers.get("host") not in self._hosts:  # a name of an attacker's that leads here
            return PlainTextResponse("Wrong host.\n", 421)
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse("Only reading is possible.\n", 405, {"Allow": "GET, HEAD"})
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(query).get("token")
        if given is None:
            return None if self._is_token(self._cookie_of(headers)) else PlainTextResponse(_NO_TOKEN, 403)
        if not self._is_token(given):
            return PlainTextResponse(_NO_TOKEN, 403)
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        response = RedirectResponse(f"/{'?' * bool(rest)}{rest}", 303)  # the token leaves the address
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        return response

    def _cookie_of(self, headers: Headers) -> str:
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return ""
        return cookies[self._cookie].value if self._cookie in cookies else ""

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())
