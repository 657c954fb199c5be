"""``holdfast worker APP``: goes on with the workflows of an application until it is asked to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Final

import click

from holdfast.cli.app import load_ledger
from holdfast.cli.exits import Refused
from holdfast.cli.output import counted, say
from holdfast.cli.session import Session, examples, session_options
from holdfast.engines import SyncWorker, Worker
from holdfast.ledger import Ledger, SyncLedger

_ASKED_BY: Final = (signal.SIGTERM, signal.SIGINT)


@click.command(
    epilog=examples("holdfast worker app:ledger", "holdfast worker app --queue mail --concurrency 4")
)
@click.argument("app", metavar="APP")
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME",
    help="Take from this queue only; may be repeated. Default: the queues of all declared workflows.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Go through so many workflows at once.",
)
@session_options
@click.pass_obj
def worker(session: Session, app: str, queues: tuple[str, ...], concurrency: int) -> None:
    """Go on with workflows: what is enqueued, what is due, what a dead worker left.

    APP is MODULE:LEDGER, or MODULE when it has one ledger. Any number of workers share the ledger's queues;
    on SQLite all on one machine. It ends on SIGTERM or SIGINT: what is under way is left at its next step,
    for other workers; a second signal ends it at once, as a crash would.
    """
    if session.url is not None:
        raise Refused("--url and APP name two ledgers", "leave --url out: the one of APP has its own")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for our data, not for what your code prints
        ledger = load_ledger(app, by="holdfast worker")
        if session.tenant is not None:
            ledger = ledger.scoped(tenant=session.tenant)
        chosen = queues or None
        if isinstance(ledger, Ledger):
            asyncio.run(_work(ledger, Worker(ledger, queues=chosen, concurrency=concurrency)))
        else:
            _work_in_threads(ledger, SyncWorker(ledger, queues=chosen, concurrency=concurrency))


async def _work(ledger: Ledger, made: Worker) -> None:
    loop = asyncio.get_running_loop()

    def ask(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(_end, made)

    async with ledger:
        with _until_asked(ask):
            _greet(ledger)
            await made.run()


def _work_in_threads(ledger: SyncLedger, made: SyncWorker) -> None:
    def ask(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=_end, args=(made,)).start()  # a handler of signals must not take locks

    with ledger, _until_asked(ask):
        _greet(ledger)
        made.run()


def _greet(ledger: Ledger | SyncLedger) -> None:
    names = ledger._engine.shared.flows.names  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    say(f"working on {counted(len(names), 'workflow')}: {', '.join(names)}")


def _end(made: Worker | SyncWorker) -> None:
    made.stop()
    say("ending; what is under way is left at its next step, unless this comes again")


@contextlib.contextmanager
def _until_asked(ask: Callable[[int, FrameType | None], None]) -> Generator[None]:
    """Let the first wish to end be heard; a second one ends the process at once."""

    def first(number: int, frame: FrameType | None) -> None:
        for one in _ASKED_BY:
            signal.signal(one, signal.SIG_DFL)
        ask(number, frame)

    before = {number: signal.signal(number, first) for number in _ASKED_BY}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
