"""Which calls are allowed, denied, or need whom: rules as code, checked when they are loaded.

Needs ``pip install 'holdfast[policy]'``.
"""

from holdfast._core.chain import Amount, Chain, Stage, StepUp
from holdfast.policies.deciding import Policies
from holdfast.policies.loading import load_policies, read_policies
from holdfast.policies.model import (
    Agent,
    Approve,
    Band,
    ChainRules,
    ChainStage,
    Count,
    PolicySet,
    Rule,
    Sample,
    ToolRules,
)
from holdfast.policies.watching import PolicyChange, WatchedPolicies

__all__ = [
    "Agent",
    "Amount",
    "Approve",
    "Band",
    "Chain",
    "ChainRules",
    "ChainStage",
    "Count",
    "Policies",
    "PolicyChange",
    "PolicySet",
    "Rule",
    "Sample",
    "Stage",
    "StepUp",
    "ToolRules",
    "WatchedPolicies",
    "load_policies",
    "read_policies",
]
