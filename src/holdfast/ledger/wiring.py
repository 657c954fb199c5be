"""What a ledger is made of: a store, a runtime, and what its user hands in."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypedDict

from holdfast._core.budgeting import Budget, checked_budgets
from holdfast._core.people import Directory
from holdfast._runtime.blocking import SyncRuntime
from holdfast._runtime.budget_alerts import BudgetWatch
from holdfast._runtime.budgeting import Budgets
from holdfast._runtime.bus import Bus
from holdfast._runtime.disturb import Disturber
from holdfast._runtime.drive import AsyncRuntime
from holdfast._runtime.heartbeat import Heartbeat
from holdfast._runtime.herald import Herald
from holdfast._runtime.outages import Outages
from holdfast._runtime.parts import Parts, unannounced
from holdfast._runtime.traffic import Traffic
from holdfast.errors import (
    InvalidTool,
    InvalidURL,
)
from holdfast.ledger.alerts import AlertTarget, checked_alerts, send_outward
from holdfast.ledger.channels import checked_channels
from holdfast.ledger.urls import open_store, without_password
from holdfast.ports import Channel, Codec, Policy, Runtime, Signatures, Store
from holdfast.settings import Settings, chaos_of, from_environment
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.telemetry.lives import OpenTelemetryTracer


class Wiring(TypedDict, total=False):
    """What a ledger may be given; see :class:`holdfast.Ledger`."""

    settings: Settings | None
    codec: Codec | None
    migrate: bool
    mode: Required[Literal["async", "sync"]]
    runtime: Runtime | None
    on_alert: AlertTarget | Sequence[AlertTarget] | None
    policy: Policy | None
    people: Directory | None
    signatures: Signatures | None
    channels: Sequence[Channel]
    budgets: Mapping[str, Budget]


def make_parts(url: str | Store | None, given: Wiring) -> tuple[Parts, Disturber | None]:
    """Wire a store, the defaults and what is given together.

    Raises:
        InvalidTool: Something given is not what it should be.
        InvalidURL: No store can be named like this.
    """
    _check(given)
    mode, budgets = given["mode"], checked_budgets(given.get("budgets", {}))
    settings = given.get("settings") or from_environment()
    runtime = given.get("runtime") or (
        SyncRuntime() if mode == "sync" else AsyncRuntime(settings.handler_threads)
    )
    disturber = _disturber(settings, runtime)
    store = open_store(url, settings, blocking=mode == "sync", migrate=given.get("migrate", False))
    if settings.production and not store.durable:
        shown = without_password(url) if isinstance(url, str) else f"<{type(store).__name__}>"
        raise InvalidURL(shown, "forgets everything when the process ends, and Settings.production is on")
    told = checked_channels(given.get("channels", ()), blocking=runtime.blocking)
    bus = Bus()
    store.subscribe(bus.ring)
    traffic = Traffic()
    if isinstance(store, SqliteStore):
        store.watch(lambda: traffic.live)
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    parts = Parts(
        traffic=traffic,
        store=store,
        runtime=runtime,
        settings=settings,
        bus=bus,
        heartbeat=Heartbeat(store.renewer, lease_s=settings.lease_s, every_s=settings.renew_every_s),
        owner=owner,
        pricer=Budgets(budgets, owner),
        watch=BudgetWatch(budgets),
        outages=Outages(budgets),
        codec=given.get("codec"),
        alerts=checked_alerts(given.get("on_alert")),
        around=disturber,
        tracer=OpenTelemetryTracer(),
        policy=given.get("policy"),
        people=given.get("people"),
        signatures=given.get("signatures"),
        channels=told,
        announce=Herald().announce if told else unannounced,
    )
    send_outward(parts)
    return parts, disturber


def _check(given: Wiring) -> None:
    codec = given.get("codec")
    settings, people, policy = given.get("settings"), given.get("people"), given.get("policy")
    _expect("settings", settings, None if settings is None else Settings)
    _expect("people", people, None if people is None else Directory)
    if policy is not None and not (hasattr(policy, "decide") and hasattr(policy, "needs")):
        raise InvalidTool(f"policy is {type(policy).__name__}", "give an object with needs and decide")
    if codec is not None and not (hasattr(codec, "seal") and hasattr(codec, "open")):
        raise InvalidTool(
            f"codec is {type(codec).__name__}", "give an object with seal and open, e.g. AesGcmCodec"
        )


def _disturber(settings: Settings, runtime: Runtime) -> Disturber | None:
    """Return what disturbs the ledger's tools on purpose; in production there is nothing to."""
    chaos = chaos_of(settings)
    if settings.production and chaos.is_on:
        what = "dev mode disturbs tools on purpose, and Settings.production is on"
        raise InvalidTool(what, "unset HOLDFAST_CHAOS and Settings.chaos")
    return Disturber(chaos, runtime) if chaos.is_on else None


def _expect(name: str, value: Any, kind: type | None) -> None:
    if kind is not None and not isinstance(value, kind):
        raise InvalidTool(f"{name} is {type(value).__name__}", f"give a {kind.__name__}")
