"""A fault-injecting HTTP server: see what your agent does when the network does its worst.

    with FaultServer(seed=7) as server:
        server.plan("drop_after")   # the change is made, the answer is lost
        ...                         # let your tool post to server.url
        assert len(server.commits()) == 1

``python -m holdfast.testing.faultserver`` runs it as a process of its own.
"""

from holdfast.testing.faultscript import Chance, Fault, FaultKind, FaultScript, parse_chances
from holdfast.testing.faultserver.books import LogEntry, Stats, read_log
from holdfast.testing.faultserver.server import FaultServer
from holdfast.testing.faultserver.webhooks import Delivery, Fate

__all__ = [
    "Chance",
    "Delivery",
    "Fate",
    "Fault",
    "FaultKind",
    "FaultScript",
    "FaultServer",
    "LogEntry",
    "Stats",
    "parse_chances",
    "read_log",
]
