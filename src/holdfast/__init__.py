"""Idempotent, durable, auditable side effects for AI agents."""

from holdfast._core.approval import Approval, ApprovalState
from holdfast._core.budgeting import Budget
from holdfast._core.call_context import CallContext, InfoAnswer
from holdfast._core.chain import Amount, Chain, Stage, StepUp
from holdfast._core.dependency import Dependency
from holdfast._core.fault import Cause, Fault, FaultKind
from holdfast._core.graduated import Graduated, Route, RouteFacts
from holdfast._core.handoff import Handoff
from holdfast._core.loop import LoopLimit, LoopRules, LoopSign
from holdfast._core.model import (
    Alert,
    Done,
    Effect,
    Evidence,
    Finding,
    Receipt,
    StillUnknown,
    ToolCall,
    Undone,
)
from holdfast._core.notes import Memory
from holdfast._core.pattern import Poll, Spawn
from holdfast._core.people import Delegation, Directory, Person, Principal
from holdfast._core.retry import RetryPolicy
from holdfast._core.states import Safety, State
from holdfast._runtime.fit import fit
from holdfast.errors import HoldfastError, NotDone, Permanent
from holdfast.ledger import Claimed, Ended, Ledger, LoopWatch, Replayed, SyncLedger, SyncWorkflow, Workflow
from holdfast.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "Alert",
    "Amount",
    "Approval",
    "ApprovalState",
    "Budget",
    "CallContext",
    "Cause",
    "Chain",
    "Claimed",
    "Delegation",
    "Dependency",
    "Directory",
    "Done",
    "Effect",
    "Ended",
    "Evidence",
    "Fault",
    "FaultKind",
    "Finding",
    "Graduated",
    "Handoff",
    "HoldfastError",
    "InfoAnswer",
    "Ledger",
    "LoopLimit",
    "LoopRules",
    "LoopSign",
    "LoopWatch",
    "Memory",
    "NotDone",
    "Permanent",
    "Person",
    "Poll",
    "Principal",
    "Receipt",
    "Replayed",
    "RetryPolicy",
    "Route",
    "RouteFacts",
    "Safety",
    "Settings",
    "Spawn",
    "Stage",
    "State",
    "StepUp",
    "StillUnknown",
    "SyncLedger",
    "SyncWorkflow",
    "ToolCall",
    "Undone",
    "Workflow",
    "fit",
]
