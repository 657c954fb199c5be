"""The objects users hold: :class:`Ledger` for asyncio, :class:`SyncLedger` for everyone else."""

from holdfast._core.compensation import CompensationReport, EffectFate
from holdfast._runtime.sweep import SweepReport
from holdfast.ledger.asynchronous import Ledger
from holdfast.ledger.care import DependencyState, Observation
from holdfast.ledger.claims import Claimed, Replayed
from holdfast.ledger.synchronous import SyncLedger
from holdfast.ledger.tools import SyncTool, Tool
from holdfast.ledger.views import AuditEvent, EffectRecord, ReapReport, VerifyReport

__all__ = [
    "AuditEvent",
    "Claimed",
    "CompensationReport",
    "DependencyState",
    "EffectFate",
    "EffectRecord",
    "Ledger",
    "Observation",
    "ReapReport",
    "Replayed",
    "SweepReport",
    "SyncLedger",
    "SyncTool",
    "Tool",
    "VerifyReport",
]
