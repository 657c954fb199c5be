"""Idempotent, durable, auditable side effects for AI agents."""

from holdfast._core.model import (
    Done,
    Effect,
    Evidence,
    Finding,
    Receipt,
    StillUnknown,
    ToolCall,
)
from holdfast._core.states import Safety, State
from holdfast.errors import HoldfastError, NotDone, Permanent
from holdfast.ledger import Claimed, Ledger, Replayed, SyncLedger
from holdfast.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "Claimed",
    "Done",
    "Effect",
    "Evidence",
    "Finding",
    "HoldfastError",
    "Ledger",
    "NotDone",
    "Permanent",
    "Receipt",
    "Replayed",
    "Safety",
    "Settings",
    "State",
    "StillUnknown",
    "SyncLedger",
    "ToolCall",
]
