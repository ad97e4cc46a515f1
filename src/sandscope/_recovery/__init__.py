"""Sends what the black boxes of dead processes hold: what was running, and what had not been delivered."""

from sandscope._recovery._recover import Recovered, recover

__all__ = ["Recovered", "recover"]
