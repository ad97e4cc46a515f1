"""The page of `sandscope view`: what is in the local store, in a browser on this machine.

Each page is one module with a function that asks the store and returns what its template shows. The server renders
everything, pictures included; the scripts add what needs no answer: the keyboard, light and dark, and the refresh.
"""

from __future__ import annotations

from sandscope._view._page_server import Listener, serve

__all__ = ["Listener", "serve"]
