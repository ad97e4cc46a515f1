"""Sends what the black boxes of dead processes hold: what was running, and what had not been delivered."""

from sandscope._recovery._recover import Recovered, recover
from sandscope._recovery._spooled import Sent, send_spooled

__all__ = ["Recovered", "Sent", "recover", "send_spooled"]
