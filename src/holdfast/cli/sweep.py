"""``holdfast sweep``: one pass over what nobody calls for any more, or one pass after another."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Generator
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Final

import click

from holdfast._core.duration import seconds
from holdfast._core.model import EffectKey
from holdfast.cli.app import app_ledger
from holdfast.cli.output import clock, complain, counted, is_terminal, iso, ndjson, say, tsv
from holdfast.cli.session import Session, examples, session_options
from holdfast.errors import StoreUnavailable
from holdfast.ledger import Ledger, SweepReport, SyncLedger

_ASKED_BY: Final = (signal.SIGINT, signal.SIGTERM)


@click.command(
    epilog=examples(
        "holdfast sweep --app shop:ledger",
        "holdfast sweep --app shop:ledger --every 30s",
        "holdfast sweep --app shop:ledger --limit 10 --json",
    )
)
@click.option("--app", metavar="MODULE:LEDGER", help="Where your ledger with its declared tools is.")
@click.option("--every", metavar="LENGTH", help="Go on for ever, with such a rest between passes: 30s, 5m.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="At most so many effects of each kind in one pass.",
)
@session_options
@click.pass_obj
def sweep(session: Session, app: str | None, every: str | None, limit: int) -> None:
    """Look after what nobody calls for any more.

    Ends the claims of dead workers, and puts effects in doubt to their tools' probes and reconcilers and to
    the signals that came; what stays in doubt is looked at again later and later, up to an hour. Any number
    of sweepers may be at it. With --every it goes on until SIGTERM or SIGINT, and ends after the present
    pass; a second one ends it at once. While the database is away it waits.
    Columns in a pipe: at, buried, settled, standing, unattended.
    """
    rest_s = None if every is None else seconds(every, name="--every")
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for our data, not for what your code prints
        ledger = app_ledger(session, app, what="the reconcilers are")
    asyncio.run(_Sweeper(session, ledger, limit).work(rest_s))


class _Sweeper:
    """One process that sweeps."""

    def __init__(self, session: Session, ledger: Ledger | SyncLedger, limit: int) -> None:
        self._session = session
        self._ledger = ledger
        self._limit = limit
        self._waiting: frozenset[EffectKey] = frozenset()

    async def work(self, rest_s: float | None) -> None:
        """Make one pass, or one after another until the process is asked to end."""
        try:
            with _until_asked() as asked:
                self._tell(await self._swept(), always=rest_s is None)
                while rest_s is not None and not await _comes(asked, within_s=rest_s):
                    try:
                        report = await self._swept()
                    except StoreUnavailable as error:
                        complain(str(error), error.code)
                    else:
                        self._tell(report, always=False)
        finally:
            await self._closed()

    async def _swept(self) -> SweepReport:
        with contextlib.redirect_stdout(sys.stderr):
            if isinstance(self._ledger, Ledger):
                return await self._ledger.sweep(limit=self._limit)
            # In a thread without a loop of its own, where a plain reconciler may run one.
            return await asyncio.to_thread(self._ledger.sweep, limit=self._limit)

    async def _closed(self) -> None:
        if isinstance(self._ledger, Ledger):
            await self._ledger.close()
        else:
            await asyncio.to_thread(self._ledger.close)

    def _tell(self, report: SweepReport, *, always: bool) -> None:
        """Print one line for a pass that did anything; say what waits for a person when that is news."""
        if always or report.buried or report.settled or report.standing:
            _line(self._session, report)
        waiting = frozenset(report.unattended)
        if waiting - self._waiting:
            look = self._session.command("unknown")
            say(f"{counted(len(waiting), 'effect')} in doubt without a source of evidence: see `{look}`")
        self._waiting = waiting


def _line(session: Session, report: SweepReport) -> None:
    at = datetime.now(UTC)
    if session.as_json:
        ndjson(
            {
                "at": iso(at),
                "buried": list(report.buried),
                "settled": dict(report.settled),
                "standing": list(report.standing),
                "unattended": list(report.unattended),
            }
        )
    elif is_terminal():
        states = Counter(report.settled.values())
        told = ", ".join(f"{count} {state}" for state, count in states.items()) or "none"
        left = f"still in doubt {len(report.standing)}, for a person {len(report.unattended)}"
        click.echo(f"{clock(at)}  buried {len(report.buried)}, settled {told}, {left}")
    else:
        counts = (report.buried, report.settled, report.standing, report.unattended)
        tsv((iso(at) or "", *(str(len(found)) for found in counts)))


@contextlib.contextmanager
def _until_asked() -> Generator[asyncio.Event]:
    """Turn the wish to end into an event; a second wish ends the process at once, as a crash would."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()

    def heard() -> None:
        asked.set()
        say("ending; a pass that is under way is finished first, unless this comes again")

    def ask(_number: int, _frame: FrameType | None) -> None:
        for number in _ASKED_BY:
            signal.signal(number, signal.SIG_DFL)
        loop.call_soon_threadsafe(heard)

    before: dict[signal.Signals, Any] = {number: signal.signal(number, ask) for number in _ASKED_BY}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _comes(asked: asyncio.Event, *, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await asked.wait()
    except TimeoutError:
        return False
    return True
