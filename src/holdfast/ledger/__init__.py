"""The objects users hold: :class:`Ledger` for asyncio, :class:`SyncLedger` for everyone else."""

from holdfast.ledger.asynchronous import Ledger
from holdfast.ledger.claims import Claimed, Replayed
from holdfast.ledger.synchronous import SyncLedger
from holdfast.ledger.tools import SyncTool, Tool
from holdfast.ledger.views import AuditEvent, EffectRecord, ReapReport, VerifyReport

__all__ = [
    "AuditEvent",
    "Claimed",
    "EffectRecord",
    "Ledger",
    "ReapReport",
    "Replayed",
    "SyncLedger",
    "SyncTool",
    "Tool",
    "VerifyReport",
]
