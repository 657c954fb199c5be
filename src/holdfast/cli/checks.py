"""What ``holdfast doctor`` looks at: the settings, the installation, and the ledger itself."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import holdfast
from holdfast._core.dependency import BreakerState
from holdfast._core.model import EffectKey, Record
from holdfast._core.states import State, WorkflowStatus
from holdfast._runtime.drive import run_sync
from holdfast.cli.exits import Refused
from holdfast.cli.output import counted, span
from holdfast.cli.session import Session, file_of, outstanding, refuse_absent, store_of
from holdfast.errors import HoldfastError, StoreUnavailable
from holdfast.ledger.urls import without_password
from holdfast.ports import Query, Store
from holdfast.settings import Settings, chaos_of, from_environment

_EXTRAS: Final = {"postgres": "psycopg", "demo": "openai", "crypto": "cryptography"}
_ANY_KEY: Final = EffectKey("v1:" + "0" * 64)
_ENOUGH: Final = 1000
"""Effects of one state that are looked at one by one; all are counted."""
_NAMED: Final = 3
_SKEW_S: Final = 2.0


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        says: What was found.
        fix: What to do about it; empty when nothing is to be done.
    """

    name: str
    level: Level
    says: str
    fix: str = ""


def checks(session: Session) -> Iterator[Check]:
    """Look at everything; stop where nothing further can be seen."""
    yield from _installation()
    try:
        settings = from_environment()
    except HoldfastError as error:
        yield Check("settings", Level.FAIL, str(error))
        return
    yield from _settings(settings, os.environ)
    yield Check("url", Level.OK, f"{without_password(session.effective_url)} ({session.url_source})")
    yield Check("tenant", Level.OK, f"{session.tenant_name} ({'--tenant' if session.tenant else 'default'})")
    try:
        store = store_of(session, settings)
    except HoldfastError as error:
        yield Check("store", Level.FAIL, str(error))
        return
    try:
        yield from _store(store, session)
    finally:
        run_sync(store.close())


def _installation() -> Iterator[Check]:
    python, sqlite = platform.python_version(), sqlite3.sqlite_version
    says = f"holdfast {holdfast.__version__}, Python {python}, SQLite {sqlite}"
    yield Check("versions", Level.OK, says)
    for extra, package in _EXTRAS.items():
        try:
            says = f"{package} {version(package)}"
        except PackageNotFoundError:
            says = f"{package} is not installed (pip install 'holdfast[{extra}]' brings it)"
        yield Check(f"extra {extra}", Level.OK, says)


def _settings(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    variables = {f"HOLDFAST_{item.name.upper()}": item.name for item in fields(Settings)}
    for variable, name in variables.items():
        value: Any = getattr(settings, name)
        if name == "audit_key":
            value = "not set" if value is None else "set"
        source = f"${variable}" if variable in environ else "default"
        yield Check(f"setting {name}", Level.OK, f"{value} ({source})")
    if chaos_of(settings, environ).is_on:
        yield Check("chaos", Level.WARN, "tools fail on purpose, for development", "unset $HOLDFAST_CHAOS")
    for variable in sorted(environ.keys() - variables.keys() - {"HOLDFAST_URL"}):
        meant = get_close_matches(variable, [*variables, "HOLDFAST_URL"], n=1, cutoff=0.8)
        if variable.startswith("HOLDFAST_") and meant:
            yield Check("settings", Level.WARN, f"${variable} is no setting", f"did you mean ${meant[0]}?")


def _store(store: Store, session: Session) -> Iterator[Check]:
    try:
        refuse_absent(store)
        missing = outstanding(store)
        if missing:
            names = ", ".join(item.name for item in missing)
            yield Check(
                "schema", Level.FAIL, f"the tables lack {names}", f"run `{session.command('migrate')}`"
            )
            return
        run_sync(store.open())
        yield Check("store", Level.OK, f"reachable{_place(store)}")
        yield Check("schema", Level.OK, "up to date")
        yield from _durability(store)
        yield _clock(store, session)
        yield from _contents(store, session)
    except StoreUnavailable as error:
        says = f"the database failed to {error.operation}: {error.why}"
        yield Check("store", Level.FAIL, says, "check the URL, that the server runs, and this user's rights")
    except (HoldfastError, Refused) as error:
        yield Check("store", Level.FAIL, str(error))


def _place(store: Store) -> str:
    path = file_of(store)
    return "" if path is None else f" at {path}"


def _durability(store: Store) -> Iterator[Check]:
    if not store.durable:
        fix = "use sqlite:///path/to/file.db or postgresql://... for anything that matters"
        yield Check("durable", Level.WARN, "no: it forgets everything when the process ends", fix)
        return
    path = file_of(store)
    # SQLite writes beside the file as well: its log, and its index.
    if path is not None and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        fix = f"give this user the right to write to it and to {path.parent}"
        yield Check("durable", Level.FAIL, f"this user may not write to {path}", fix)
    else:
        yield Check("durable", Level.OK, "yes")


def _clock(store: Store, session: Session) -> Check:
    before = datetime.now(UTC)
    theirs = run_sync(store.find(session.tenant_name, _ANY_KEY)).now
    middle = before + (datetime.now(UTC) - before) / 2
    skew_s = (theirs - middle).total_seconds()
    which = "behind" if skew_s < 0 else "ahead of"
    says = f"the ledger's clock is {span(abs(skew_s))} {which} this machine's"
    if abs(skew_s) < _SKEW_S:
        return Check("clock", Level.OK, says)
    return Check("clock", Level.WARN, says, "synchronise both: the audit trail tells this machine's time")


def _contents(store: Store, session: Session) -> Iterator[Check]:
    counts = run_sync(store.counts(session.tenant_name))
    told = ", ".join(f"{counts[state]} {state}" for state in State if counts.get(state))
    yield Check("effects", Level.OK, told or "none yet")
    doubtful = counts.get(State.UNKNOWN, 0)
    if doubtful:
        oldest = min(record.created_at for record in _newest(store, session, State.UNKNOWN))
        age = ("more than " if doubtful > _ENOUGH else "") + span(
            (datetime.now(UTC) - oldest).total_seconds()
        )
        says = f"{counted(doubtful, 'effect')}; the oldest was made {age} ago"
        yield Check("in doubt", Level.WARN, says, f"see `{session.command('unknown')}`")
    else:
        yield Check("in doubt", Level.OK, "none")
    now = run_sync(store.find(session.tenant_name, _ANY_KEY)).now
    dead = [record for record in _newest(store, session, State.PENDING) if record.lease_until < now]
    if dead:
        says = f"{counted(len(dead), 'effect')} pending, although the worker's lease is over"
        fix = f"make the same calls again, and the ledger decides; or see `{session.command('unknown')}`"
        yield Check("dead claims", Level.WARN, says, fix)
    else:
        yield Check("dead claims", Level.OK, "none")
    yield from _care(store, session)


def _care(store: Store, session: Session) -> Iterator[Check]:
    """Look at what holds calls back until it passes, or until a person sees to it."""
    known = run_sync(store.dependencies(session.tenant_name))
    troubled = [one.name for one in known if one.state is not BreakerState.CLOSED]
    yield _few("circuits", "circuit", "not closed", troubled, f"see `{session.command('dependencies')}`")
    waiting = run_sync(store.workflows(session.tenant_name, WorkflowStatus.NEEDS_REVIEW, _ENOUGH))
    stopped = [workflow.workflow_id for workflow in waiting if workflow.stopped is not None]
    fix = f"see `{session.command('workflows --status needs_review')}`"
    yield _few("stopped workflows", "workflow", "stopped", stopped, fix)
    spent = [record.key for record in _newest(store, session, State.RETRYABLE) if record.spent]
    fix = f"grant more with `{session.command('retry KEY --by YOU --reason WHAT_HAS_CHANGED')}`"
    yield _few("spent effects", "effect", "without retries left", spent, fix)


def _few(name: str, noun: str, how: str, found: Sequence[str], fix: str) -> Check:
    """Return a warning that counts what was found and names the first few."""
    if not found:
        return Check(name, Level.OK, "none")
    more = ", ..." if len(found) > _NAMED else ""
    says = f"{counted(len(found), noun)} {how}: {', '.join(found[:_NAMED])}{more}"
    return Check(name, Level.WARN, says, fix)


def _newest(store: Store, session: Session, state: State) -> Sequence[Record]:
    return run_sync(store.effects(Query(tenant=session.tenant_name, state=state, limit=_ENOUGH)))
