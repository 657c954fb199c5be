"""What the commands share by which people decide: the ledger, the person, and the answer's form."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from holdfast._core.approval import Approval
from holdfast._core.people import Principal
from holdfast.cli.app import app_ledger
from holdfast.cli.output import ndjson, say, tsv
from holdfast.cli.question import question_fields
from holdfast.cli.session import Session, opened
from holdfast.ledger import Ledger, SyncLedger

METHOD: Final = "terminal"


class _Blocking:
    """An asynchronous ledger of the user's, for one command."""

    def __init__(self, ledger: Ledger, runner: asyncio.Runner) -> None:
        self._ledger = ledger
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            given = method(*args, **kwargs)
            return self._runner.run(_awaited(given)) if inspect.isawaitable(given) else given

        return called


async def _awaited(given: Any) -> Any:
    return await given


@contextmanager
def asked_ledger(session: Session, app: str | None) -> Generator[Any]:
    """Open the ledger of ``--url``, or the user's own with its people, rules and signatures."""
    if app is None:
        with opened(session) as here:
            yield here.ledger
        return
    ledger = app_ledger(session, app, what="people and rules are")
    if isinstance(ledger, SyncLedger):
        with ledger:
            yield ledger
        return
    with asyncio.Runner() as runner:
        try:
            yield _Blocking(ledger, runner)
        finally:
            runner.run(ledger.close())


def person(name: str) -> Principal:
    """Return who sits at this terminal: whoever may write to the ledger vouches for it."""
    return Principal(id=name, method=METHOD, at=datetime.now(UTC))


def finish(session: Session, approval: Approval) -> None:
    """Print how the question stands now."""
    if session.as_json:
        ndjson(question_fields(approval))
    else:
        tsv((approval.id, approval.state))
    given = sum(vote.stage == approval.stage and vote.approves for vote in approval.votes)
    if approval.state == "pending":
        say(
            f"{given} of {approval.asks.quorum} given, "
            f"stage {approval.stage + 1} of {len(approval.chain.stages)}"
        )
