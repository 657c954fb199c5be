"""The objects users hold: :class:`Ledger` for asyncio, :class:`SyncLedger` for everyone else."""

from holdfast._core.approval import Approval, ApprovalState, InfoRequest, Vote
from holdfast._core.budget import Level
from holdfast._core.compensation import CompensationReport, EffectFate
from holdfast._core.execution import ExecutionRecord as Execution
from holdfast._core.execution import Halt
from holdfast._core.factors import CostFactors
from holdfast._core.handoff import Handoff, HandoffItem
from holdfast._core.notes import Memory, MemoryKind
from holdfast._core.oversight import Concern, OversightReport, Reviewer, Vigilance
from holdfast._core.reviews import Review, SampledCall
from holdfast._runtime.follow import WorkflowEvent, WorkflowStep
from holdfast._runtime.run import Standing
from holdfast._runtime.sweep import SweepReport
from holdfast.ledger.accounts import CostReport, SpentBy
from holdfast.ledger.asynchronous import Ledger
from holdfast.ledger.care import DependencyState, Observation
from holdfast.ledger.claims import Claimed, Replayed
from holdfast.ledger.ended import Ended
from holdfast.ledger.handoff import HandoffBook, SyncHandoffBook
from holdfast.ledger.loops import LoopWatch
from holdfast.ledger.memory import AgentMemory, SyncAgentMemory
from holdfast.ledger.synchronous import SyncLedger
from holdfast.ledger.tools import SyncTool, Tool
from holdfast.ledger.views import AuditEvent, EffectRecord, ReapReport, VerifyReport
from holdfast.ledger.workflow_context import SyncWorkflow, Workflow

__all__ = [
    "AgentMemory",
    "Approval",
    "ApprovalState",
    "AuditEvent",
    "Claimed",
    "CompensationReport",
    "Concern",
    "CostFactors",
    "CostReport",
    "DependencyState",
    "EffectFate",
    "EffectRecord",
    "Ended",
    "Execution",
    "Halt",
    "Handoff",
    "HandoffBook",
    "HandoffItem",
    "InfoRequest",
    "Ledger",
    "Level",
    "LoopWatch",
    "Memory",
    "MemoryKind",
    "Observation",
    "OversightReport",
    "ReapReport",
    "Replayed",
    "Review",
    "Reviewer",
    "SampledCall",
    "SpentBy",
    "Standing",
    "SweepReport",
    "SyncAgentMemory",
    "SyncHandoffBook",
    "SyncLedger",
    "SyncTool",
    "SyncWorkflow",
    "Tool",
    "VerifyReport",
    "Vigilance",
    "Vote",
    "Workflow",
    "WorkflowEvent",
    "WorkflowStep",
]
