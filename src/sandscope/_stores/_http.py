"""Ask a store on this machine over HTTP."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

# A proxy set for the outside world must not be asked for loopback.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NoAnswerError(Exception):
    """A store that did not answer as asked: its status and words, or why there was no answer."""

    def __init__(self, cause: str, status: int | None = None) -> None:
        super().__init__(cause)
        self.status = status


def get(url: str, *, timeout: float = 5.0) -> bytes:
    """Get a page.

    Args:
        url: its address.
        timeout: seconds to wait for each step of the answer.

    Raises:
        NoAnswerError: when there is none, or one that is not a success.
    """
    try:
        with _opener.open(url, timeout=timeout) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        with error:
            words = error.read(500).decode(errors="replace").strip()
        raise NoAnswerError(f"HTTP {error.code} {words}".strip(), error.code) from error
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(str(getattr(error, "reason", error))) from error
