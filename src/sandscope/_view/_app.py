"""The addresses of the page, and how each of them is answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sandscope._errors import SandscopeError
from sandscope._store import Database
from sandscope._view import (
    _agents,
    _compare,
    _execution,
    _executions,
    _functions,
    _metrics,
    _overview,
    _security,
)
from sandscope._view._filters import Filters
from sandscope._view._gate import Gate
from sandscope._view._live import Live
from sandscope._view._render import FOLDER, render


class _Page(NamedTuple):
    """A page.

    Attributes:
        path: of its address.
        title: in the navigation, or "" if it is not there.
        key: which goes to it after ``g``.
        template: what it looks like.
        ask: returns what the template shows.
    """

    path: str
    title: str
    key: str
    template: str
    ask: Callable[[Database, Filters, dict[str, str]], dict[str, Any] | None]


_PAGES = [
    _Page("/", "Overview", "o", "overview.html", _overview.ask),
    _Page("/executions", "Executions", "e", "executions.html", _executions.ask),
    _Page("/functions", "Functions", "f", "functions.html", _functions.ask),
    _Page("/metrics", "Metrics", "m", "metrics.html", _metrics.ask),
    _Page("/security", "Security", "s", "security.html", _security.ask),
    _Page("/compare", "Compare", "c", "compare.html", _compare.ask),
    _Page("/agents", "Agents", "a", "agents.html", _agents.ask),
    _Page("/metrics/{name:path}", "", "", "metric.html", _metrics.ask_one),
    _Page("/traces/{trace}", "", "", "execution.html", _execution.ask),
    _Page("/traces/{trace}/{span}", "", "", "execution.html", _execution.ask),
]
_FRESH = 10
"""Seconds after which a page is shown anew though nothing was added: it speaks of the last minute."""


def application(live: Live, token: str, port: int) -> Gate:
    """Return the page of a store."""
    routes = [Route(page.path, _endpoint(page, live)) for page in _PAGES]
    files = Mount("/static", StaticFiles(directory=FOLDER / "static"))
    return Gate(
        Starlette(routes=[*routes, files], exception_handlers={404: _not_found, SandscopeError: _cannot}),
        token,
        port,
    )


def _endpoint(page: _Page, live: Live) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        etag = f'"{live.version}-{int(time.time()) // _FRESH}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        filters = Filters.of(request.query_params)
        parameters = {**request.query_params, **request.path_params}
        shown = live.ask(lambda database: page.ask(database, filters, parameters))
        if shown is None:
            return _not_found(request)
        text = render(
            page.template, page=page, pages=_PAGES, filters=filters, live=live, version=etag, **shown
        )
        return HTMLResponse(text, headers=headers)

    return answer


def _not_found(request: Request, _error: Exception | None = None) -> Response:
    return HTMLResponse(_without_data(None), 404)


def _cannot(request: Request, error: Exception) -> Response:
    return HTMLResponse(_without_data(str(error)), 500)


def _without_data(problem: str | None) -> str:
    return render(
        "absent.html", page=None, pages=_PAGES, filters=Filters(), live=None, version="", problem=problem
    )
