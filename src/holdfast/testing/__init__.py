"""Proofs for agents that use holdfast: kill them anywhere, order their calls in every way, attack them.

``holdfast.testing.chaos`` attacks a scenario of yours; ``holdfast.testing.faultserver`` breaks the network;
``holdfast.testing.model`` is a model that says what you wrote down; ``holdfast.testing.conformance`` proves a
store.
"""

from holdfast.testing.faults import Crash, Faults, FaultyRuntime, FaultyStore
from holdfast.testing.model import ModelServer, ScriptedModel
from holdfast.testing.places import ledger_on, sync_ledger_on
from holdfast.testing.runtime import FakeClock, FakeRuntime, StillRuntime
from holdfast.testing.schedules import (
    SwitchingRuntime,
    SwitchingStore,
    every_schedule,
    random_schedules,
    switch,
    time_passes,
)
from holdfast.testing.world import CrashReport, Life, World, every_crash

__all__ = [
    "Crash",
    "CrashReport",
    "FakeClock",
    "FakeRuntime",
    "Faults",
    "FaultyRuntime",
    "FaultyStore",
    "Life",
    "ModelServer",
    "ScriptedModel",
    "StillRuntime",
    "SwitchingRuntime",
    "SwitchingStore",
    "World",
    "every_crash",
    "every_schedule",
    "ledger_on",
    "random_schedules",
    "switch",
    "sync_ledger_on",
    "time_passes",
]
