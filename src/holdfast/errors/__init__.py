"""Every error a caller can meet.

* HoldfastError
  + InvalidCall          the call cannot be understood; nothing was recorded, nothing ran
    - StepCollision      two different steps have one name
    - SchemaMismatch     its arguments do not fit the tool
    - NoteTooLarge       what should be remembered or handed on is larger than allowed
    - WindowExceeded     a history cannot be made to fit into the model's window
  + InvalidTool          a tool or ledger is declared in a way that cannot be honoured
  + NotSerializable      a value has no JSON form (an argument: nothing ran; a result: it is done)
  + PayloadConflict      the same key was used with another payload; nothing ran
  + InProgress           another worker is executing this effect
  + OutcomeUnknown       it may or may not have happened; evidence is needed
  + EffectFailed         it failed, and this is the recorded failure
  + EffectCancelled      it was called off before it was executed
  + CircuitOpen          what the tool depends on is in trouble; nothing ran
  + BudgetExceeded       a budget has no room for it; nothing ran
  + CapRefused           a budget's cap is not theirs to change; nothing changed
  + CapConflict          somebody else changes that cap; nothing changed
  + WorkflowStopped      the workflow waits for a person; nothing ran
  + LeaseLost            this worker lost its claim; its result is kept as evidence
  + ApprovalRequired     a person has to decide first; nothing ran
    - InformationRequested  they ask for more before they do; nothing ran
  + ApprovalDenied       a person decided against it; nothing ran
    - ApprovalExpired    nobody decided in time, so the answer is no; nothing ran
  + ApprovalVoid         what was approved is not what is on record; nothing ran
  + ApprovalNotFound     no such approval in this tenant's ledger
  + DecisionRefused      somebody's answer to a question does not count
  + PolicyDenied         a rule decided against it; nothing ran
  + InvalidPolicy        rules that are written down cannot be used; they decide nothing
  + InvalidPrice         an amount, a price or a file of prices cannot be used; it prices nothing
  + CurrencyMismatch     amounts of different currencies were added or compared
  + UnboundedRequest     a budget caps what nobody can say of a request; nothing ran
  + UnpricedModel        there is no price for a model, and what is unknown is never free
  + EffectNotFound       no such effect in this tenant's ledger
  + NotResolvable        the effect is not in doubt, so there is nothing to resolve
  + LedgerClosed         the ledger was closed
  + StoreError
    - StoreUnavailable   the database cannot be reached, or cannot take writes
    - StoreInvariant     the database holds what it must not hold
    - PayloadSealed      a recorded payload cannot be opened here
    - SchemaOutdated     the database's tables are older or newer than this library
    - InvalidURL         the ledger's URL cannot be used
  + StepFailed           a step of a workflow failed for good
  + WorkflowFailed       a workflow ended with an error
  + WorkflowConflict     a workflow's id is in use for another one; nothing ran
  + WorkflowWaiting      it is put away until something happens
  + WorkflowNotFound     no such workflow was begun in this tenant's ledger
  + UnknownWorkflow      no workflow of that name is declared; nothing ran
  + VersionMismatch      a workflow's recorded input does not fit the code; nothing ran
  + ExecutionTaken       another worker goes on with the workflow
  + AgentStuck           an agent came to no end within its limits
    - LoopDetected       it went on in a loop after it was told so
  + EngineUnavailable    the engine was not told that a workflow has something to do
  + NonDeterminism       a workflow's code does not fit its record; nothing new ran
  + MissingExtra         an optional package is not installed
* Suspended              a BaseException, inside workflows only: let it pass
* NotDone                raised BY handlers: nothing happened, safe to try again
* Permanent              raised BY handlers: nothing happened, and trying again would not help

Each has a stable ``code`` (its page under docs/reference/errors), survives pickling, and never
shows argument values.
"""

from holdfast.errors.agents import (
    AgentStuck,
    LoopDetected,
)
from holdfast.errors.approvals import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalNotFound,
    ApprovalRequired,
    ApprovalVoid,
    DecisionRefused,
    InformationRequested,
)
from holdfast.errors.base import (
    HoldfastError,
)
from holdfast.errors.budgets import (
    BudgetExceeded,
    UnboundedRequest,
)
from holdfast.errors.calls import (
    InvalidCall,
    InvalidTool,
    LedgerClosed,
    MissingExtra,
    NotSerializable,
    PayloadConflict,
    PolicyDenied,
    SchemaMismatch,
)
from holdfast.errors.caps import (
    CapConflict,
    CapRefused,
)
from holdfast.errors.effects import (
    AttemptInfo,
    CircuitOpen,
    EffectCancelled,
    EffectFailed,
    EffectNotFound,
    InProgress,
    LeaseLost,
    NotDone,
    NotResolvable,
    OutcomeUnknown,
    Permanent,
    WorkflowStopped,
)
from holdfast.errors.notes import (
    NoteTooLarge,
    WindowExceeded,
)
from holdfast.errors.policies import (
    InvalidPolicy,
)
from holdfast.errors.prices import (
    CurrencyMismatch,
    InvalidPrice,
    UnpricedModel,
)
from holdfast.errors.stores import (
    InvalidURL,
    PayloadSealed,
    SchemaOutdated,
    StoreError,
    StoreInvariant,
    StoreUnavailable,
)
from holdfast.errors.workflows import (
    EngineUnavailable,
    ExecutionTaken,
    NonDeterminism,
    StepCollision,
    StepFailed,
    Suspended,
    UnknownWorkflow,
    VersionMismatch,
    WorkflowConflict,
    WorkflowFailed,
    WorkflowNotFound,
    WorkflowWaiting,
)

__all__ = [
    "AgentStuck",
    "ApprovalDenied",
    "ApprovalExpired",
    "ApprovalNotFound",
    "ApprovalRequired",
    "ApprovalVoid",
    "AttemptInfo",
    "BudgetExceeded",
    "CapConflict",
    "CapRefused",
    "CircuitOpen",
    "CurrencyMismatch",
    "DecisionRefused",
    "EffectCancelled",
    "EffectFailed",
    "EffectNotFound",
    "EngineUnavailable",
    "ExecutionTaken",
    "HoldfastError",
    "InProgress",
    "InformationRequested",
    "InvalidCall",
    "InvalidPolicy",
    "InvalidPrice",
    "InvalidTool",
    "InvalidURL",
    "LeaseLost",
    "LedgerClosed",
    "LoopDetected",
    "MissingExtra",
    "NonDeterminism",
    "NotDone",
    "NotResolvable",
    "NotSerializable",
    "NoteTooLarge",
    "OutcomeUnknown",
    "PayloadConflict",
    "PayloadSealed",
    "Permanent",
    "PolicyDenied",
    "SchemaMismatch",
    "SchemaOutdated",
    "StepCollision",
    "StepFailed",
    "StoreError",
    "StoreInvariant",
    "StoreUnavailable",
    "Suspended",
    "UnboundedRequest",
    "UnknownWorkflow",
    "UnpricedModel",
    "VersionMismatch",
    "WindowExceeded",
    "WorkflowConflict",
    "WorkflowFailed",
    "WorkflowNotFound",
    "WorkflowStopped",
    "WorkflowWaiting",
]
