"""Workflows in every state, as an application leaves them in the ledger of the working directory."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

from click.testing import Result

from holdfast import SyncLedger, SyncWorkflow
from holdfast.codecs import AesGcmCodec
from holdfast.errors import NonDeterminism, WorkflowFailed
from holdfast.ports import Codec

URL = "sqlite:///holdfast.db"
BY = ("--by", "ops@acme.example", "--reason", "a look")
KEYS = AesGcmCodec({"k1": b"0" * 32})


def shout(text: str) -> str:
    return text.upper()


class Desk:
    """An application with some workflows.

    Attributes:
        done_of: How often each step's function was called.
    """

    def __init__(self, ledger: SyncLedger) -> None:
        self.ledger = ledger
        self.charged = 0

        @ledger.workflow
        def support(ctx: SyncWorkflow, topic: str) -> str:
            said = str(ctx.step("plan", shout, topic))
            ctx.step("answer", shout, topic)
            ctx.wait_for("replied")
            ctx.step("close", shout, topic)
            return said

        @ledger.workflow
        def failing(ctx: SyncWorkflow, topic: str) -> str:
            ctx.step("plan", shout, topic)
            raise LookupError("no such order")

        @ledger.workflow
        def parenting(ctx: SyncWorkflow) -> None:
            ctx.child(support, topic="of a child")

        @ledger.tool()
        def pay(amount: int) -> str:
            self.charged += 1
            if amount < 0:
                raise ConnectionError("reset by peer")
            return "paid"

        @ledger.workflow
        def paying(ctx: SyncWorkflow, amount: int) -> str:
            ctx.step("plan", shout, "pay")
            return str(pay(amount=amount))

        self.support, self.failing, self.parenting, self.paying = support, failing, parenting, paying

    def waits(self, workflow_id: str) -> None:
        """It waits for the signal ``replied``, after two steps."""
        self.support.enqueue(workflow_id, topic="t")
        self.ledger.drive(workflow_id)

    def done(self, workflow_id: str) -> None:
        """It has ended well."""
        self.waits(workflow_id)
        self.ledger.signal(workflow_id, "replied", {"text": "yes", "password": "hunter2"})
        self.ledger.drive(workflow_id)

    def fails(self, workflow_id: str) -> None:
        """It has failed after a step."""
        with suppress(WorkflowFailed):
            self.failing.run(workflow_id, topic="t")

    def parent(self, workflow_id: str) -> None:
        """It waits for another one, which is queued."""
        self.parenting.enqueue(workflow_id)
        self.ledger.drive(workflow_id)

    def in_doubt(self, workflow_id: str) -> None:
        """It waits for evidence about a payment."""
        self.paying.enqueue(workflow_id, amount=-1)
        self.ledger.drive(workflow_id)

    def diverges(self, workflow_id: str) -> None:
        """Its code was changed under it."""
        self.waits(workflow_id)
        self.ledger.signal(workflow_id, "replied")
        with SyncLedger(URL) as other:

            @other.workflow
            def support(ctx: SyncWorkflow, topic: str) -> None:
                ctx.step("something else", shout, topic)

            with suppress(NonDeterminism):
                other.drive(workflow_id)


@contextmanager
def desk(codec: Codec | None = None, **options: Any) -> Generator[Desk]:
    """Open the ledger as the application does."""
    with SyncLedger(URL, codec=codec, **options) as ledger:
        yield Desk(ledger)


def ask(run: Callable[..., Result], *words: str) -> Result:
    """Run a command that says what is wrong in one line, if anything is."""
    result = run(*words)
    if result.exit_code == 1 or (result.exit_code > 2 and not result.stdout):
        assert result.stderr.startswith("error: "), result.stderr
        assert len(result.stderr.splitlines()) == 1
    return result
