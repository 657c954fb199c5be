"""Fine control: a claim that the caller settles, ``async with ledger.begin(call) as claim``."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Any, cast

from holdfast._core.decide import Fallen, in_doubt
from holdfast._core.model import JSON, Done, Effect, EffectKey, Receipt
from holdfast._core.states import Event, Safety
from holdfast._runtime.closing import passing
from holdfast._runtime.dependencies import give_back
from holdfast._runtime.drive import run_sync
from holdfast._runtime.execute import effect_for
from holdfast._runtime.fall import speak_for_itself, word_of
from holdfast._runtime.manual import begin, failed, finish, finish_done, finish_fallen
from holdfast._runtime.parts import Held, Parts, Work
from holdfast._runtime.pipeline import Request
from holdfast._runtime.surroundings import executing
from holdfast.errors import InvalidCall, InvalidTool, LedgerClosed, NotDone


class Replayed:
    """The effect was settled before: there is nothing to do.

    Attributes:
        receipt: The recorded answer.
    """

    def __init__(self, receipt: Receipt) -> None:
        self.receipt = receipt

    @property
    def key(self) -> EffectKey:
        """The effect's key."""
        return self.receipt.key

    @property
    def result(self) -> Any:
        """The recorded result."""
        return self.receipt.result


class Claimed:
    """The right to execute the effect, once. Leaving without an outcome is doubt.

    Attributes:
        effect: The effect; its ``idem_key`` is what to send along.
        receipt: After the block, when it succeeded.
    """

    def __init__(self, effect: Effect) -> None:
        self.effect = effect
        self.receipt: Receipt | None = None
        self._settled: tuple[Event, Any] | None = None

    @property
    def key(self) -> EffectKey:
        """The effect's key."""
        return self.effect.key

    def succeed(self, result: JSON = None) -> None:
        """Say that it happened; recorded when the block is left."""
        self._settle(Event.SUCCEED, result)

    def fail(self, error: Exception | type[Exception] | str) -> None:
        """Say that it did not happen; ``NotDone`` may be tried again, anything else is final."""
        given: Any = error
        kind: Any = given if isinstance(given, type) else None
        if kind is not None and issubclass(kind, Exception):
            given = kind()
        if not isinstance(given, Exception | str):
            what = f"effect {self.key!r} failed with {type(given).__name__}"
            raise InvalidCall(what, "give the exception, or say why as text")
        self._settle(Event.RELEASE if isinstance(given, NotDone) else Event.FAIL, given)

    def doubt(self, why: str) -> None:
        """Say that nobody can know."""
        self._settle(Event.DOUBT, why)

    def _settle(self, event: Event, told: Any) -> None:
        if self._settled is not None:
            raise InvalidCall(
                f"effect {self.key!r} was settled twice in one claim", "say succeed, fail or doubt once"
            )
        self._settled = event, told

    @property
    def settled(self) -> tuple[Event, Any] | None:
        """What was said so far."""
        return self._settled


class Beginning:
    """The context manager behind ``begin``; use it with ``async with`` or, on a SyncLedger, ``with``."""

    def __init__(self, parts: Parts, request: Request) -> None:
        self._parts = parts
        self._request = request
        self._work: Work | None = None
        self._held: Held | None = None
        self._claim: Claimed | None = None
        self._scope = ExitStack()
        self._passing = passing(parts, is_block=True)
        self._entered = threading.Lock()  # held from the entry to the exit: a block is one claim's

    async def __aenter__(self) -> Claimed | Replayed:
        if self._request.contract.safety is Safety.LOCAL:
            what = f"tool {self._request.call.tool!r} is local, and a block has no transaction to share"
            raise InvalidTool(what, "use ledger.run with a handler that takes effect.tx")
        if self._request.contract.safety is Safety.READ:
            what = f"tool {self._request.call.tool!r} is a read, and reads hold no claim"
            raise InvalidTool(what, "use ledger.run: it is executed every time, and recorded")
        if self._parts.traffic.is_closing:
            raise LedgerClosed
        if not self._entered.acquire(blocking=False):
            what = f"the block of {self._request.call.tool!r} was entered again before it was left"
            raise InvalidCall(what, "call ledger.begin once for each block; nothing ran")
        try:
            self._work, found = await begin(self._parts, self._request)
        except BaseException:
            self._entered.release()
            raise
        if isinstance(found, Receipt):
            return Replayed(found)
        self._held = found
        self._passing.enter()
        self._claim = Claimed(effect_for(self._work, found.head, bill=found.bill))
        self._scope.enter_context(executing(self._work, self._parts))
        return self._claim

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        work, held, claim = self._work, self._held, self._claim
        self._held = self._claim = None
        if work is None or held is None or claim is None:
            self._entered.release()
            return
        try:
            await self._left(work, held, claim, error)
        finally:  # whatever became of that: nobody works under the claim any more
            if isinstance(error, Exception):
                speak_for_itself(error)  # not for whoever has this block inside of a handler
            self._scope.close()
            self._parts.heartbeat.drop(held.live)
            self._entered.release()
            await self._passing.leave()

    async def _left(self, work: Work, held: Held, claim: Claimed, error: BaseException | None) -> None:
        """Record what the block came to."""
        said = claim.settled or _unsettled(self._parts, work, held, error)
        self._scope.close()
        if isinstance(said, Fallen) and isinstance(error, Exception):
            await finish_fallen(self._parts, work, held, error, said)
            return
        event, told = cast("tuple[Event, Any]", said)  # the other kind was seen to above
        if event is Event.SUCCEED:
            claim.receipt = await finish_done(self._parts, work, held, told)
            return
        safety = work.contract.safety
        is_proof = event is not Event.DOUBT
        if not is_proof:
            event = in_doubt(safety)
        elif event is Event.FAIL and held.uncertain:
            event = Event.DOUBT  # this attempt did nothing, but an earlier one may have
        try:
            await finish(self._parts, work, held, failed(event, told, safety=safety, is_proof=is_proof))
        finally:
            await give_back(self._parts, work, held.probe)

    def __enter__(self) -> Claimed | Replayed:
        return run_sync(self.__aenter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run_sync(self.__aexit__(kind, error, trace))


def _unsettled(
    parts: Parts, work: Work, held: Held, error: BaseException | None
) -> tuple[Event, Any] | Fallen:
    """Return what a block that was left without a word means."""
    if error is None:
        return Event.DOUBT, "the claim was left without an outcome"
    if not isinstance(error, Exception):
        return Event.DOUBT, error
    word = word_of(parts, error, work, held)
    return (Event.SUCCEED, word.result) if isinstance(word, Done) else word
