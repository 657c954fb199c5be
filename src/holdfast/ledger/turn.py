"""All calls of one model turn: each intent once, a receipt for each call, one correction of a misfit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, cast

from holdfast._core.fault import FaultKind
from holdfast._core.model import EffectKey, Finding, Fingerprint, Receipt, Record
from holdfast._core.states import State
from holdfast._runtime.calls import Answering
from holdfast._runtime.parts import Parts
from holdfast._runtime.pipeline import Request, prepare
from holdfast.errors import AttemptInfo, OutcomeUnknown, SchemaMismatch, StoreError

_Slot: TypeAlias = tuple[EffectKey, Fingerprint, int]
_MOST: Final = 10_000
_NOT_YET: Final = 2**62
_CORRECT_IT: Final = Finding(
    code="schema_mismatch",
    message="values do not fit: correct the arguments and call once more; a second misfit ends the step",
)


@dataclass(slots=True)
class Corrections:
    """Which tools' last calls did not fit, by workflow: the model may correct each once.

    It is this process's memory. A workflow that is begun again elsewhere asks its model again, or is answered
    from its own record, and comes to the same count.
    """

    _owed: set[tuple[str, str, str]] = field(default_factory=set[tuple[str, str, str]])

    def grant(self, tenant: str, request: Request) -> None:
        """Allow one more try."""
        if len(self._owed) >= _MOST:  # workflows that ended on a misfit are never heard of again
            self._owed.clear()
        self._owed.add(_place(tenant, request))

    def is_owed(self, tenant: str, request: Request) -> bool:
        """Whether this call is the one more try."""
        return _place(tenant, request) in self._owed

    def made(self, tenant: str, request: Request) -> None:
        """Note that a call fitted."""
        self._owed.discard(_place(tenant, request))


@dataclass(frozen=True, slots=True)
class Turn:
    """Runs the calls of one turn.

    Attributes:
        ask: Asks for one call.
    """

    parts: Parts
    tenant: str
    ask: Callable[[Request], Answering]
    corrections: Corrections

    async def taken(self, requests: Sequence[Request], *, distinct: bool) -> list[Receipt]:
        """Run *requests* and return their receipts, in order.

        Raises:
            SchemaMismatch: Arguments did not fit, and their correction does not either. Nothing ran.
            Exception: What a tool raised of values that do not fit, for the second time. All calls ran.
        """
        misfits = self._misfits(requests)
        slots: dict[_Slot, Request] = {}
        place: list[_Slot] = []
        for n, request in enumerate(requests):
            if n in misfits:
                place.append((EffectKey(f"misfit {n}"), Fingerprint(""), 0))
                continue
            new = prepare(self.parts, request).new
            earlier = [key for key, fingerprint, _ in place if fingerprint].count(new.key)
            # Other arguments are another payload.
            place.append((new.key, new.fingerprint, earlier if distinct else 0))
            slots.setdefault(place[-1], replace(request, occurrence=place[-1][2]))
        answers = await self._together(slots)
        self._count(slots, answers)
        for n in misfits:  # after the others: one that fits is no correction of one beside it
            self.corrections.grant(self.tenant, requests[n])
        answers |= {place[n]: self._misfit(requests[n], error) for n, error in misfits.items()}
        return [
            _duplicate(answers[at], requests[n]) if at in place[:n] else answers[at]
            for n, at in enumerate(place)
        ]

    async def _together(self, slots: Mapping[_Slot, Request]) -> dict[_Slot, Receipt]:
        """Make the calls.

        All are asked for before one begins, and by whoever takes the turn: so they are the same steps of a
        workflow whether they run at once or one after another. Those that do not run at once are told in the
        order of the record, which may be one of calls that did.
        """
        asked = {at: self.ask(request) for at, request in slots.items()}
        order = sorted(asked, key=lambda at: asked[at].told_at or _NOT_YET)
        works = [self._settled(slots[at], asked[at]) for at in order]
        return dict(zip(order, await self.parts.runtime.together(works), strict=True))

    def _misfits(self, requests: Sequence[Request]) -> dict[int, SchemaMismatch]:
        """Return the calls whose arguments do not fit, by position.

        Raises:
            SchemaMismatch: One of them was corrected before, and does not fit either. Nothing ran.
        """
        found: dict[int, SchemaMismatch] = {}
        for n, request in enumerate(requests):
            try:
                prepare(self.parts, request)
            except SchemaMismatch as error:
                if self.corrections.is_owed(self.tenant, request):
                    self.corrections.made(self.tenant, request)  # that ends this step, not the next one
                    raise
                found[n] = error
        return found

    def _count(self, slots: dict[_Slot, Request], answers: dict[_Slot, Receipt]) -> None:
        """Note whose values fitted; those that a tool, or its service, refused may be corrected once too."""
        refused = {at: answer for at, answer in answers.items() if _CORRECT_IT in answer.findings}
        owed = {at for at in refused if self.corrections.is_owed(self.tenant, slots[at])}
        for at in slots.keys() - refused.keys():
            self.corrections.made(self.tenant, slots[at])
        for at, answer in refused.items():
            if at in owed and answer.error is not None:
                self.corrections.made(self.tenant, slots[at])
                raise answer.error
        for at in refused:
            self.corrections.grant(self.tenant, slots[at])

    def _misfit(self, request: Request, error: SchemaMismatch) -> Receipt:
        """Return the receipt of a call that does not fit: nothing was recorded, and the model is told."""
        return Receipt(
            result=None,
            replayed=False,
            observed_at=self.parts.runtime.now(),
            key=EffectKey(""),
            state=State.DENIED,
            audit_hash="",
            workflow_id=request.call.workflow_id,
            tool=request.call.tool,
            call_id=request.call.call_id,
            error=error,
        )

    async def _settled(self, request: Request, asked: Answering) -> Receipt:
        """Run one call of a turn; an error becomes part of its receipt, for the model to see."""
        try:
            return await asked.answer()
        except Exception as error:  # noqa: BLE001 - it is handed on in the receipt
            key = prepare(self.parts, request).key
            try:
                record = (await self.parts.store.find(self.tenant, key)).record
            except StoreError:  # away: the error itself says what is known
                record = None
            return Receipt(
                result=None,
                replayed=False,
                observed_at=self.parts.runtime.now(),
                key=key,
                state=_unseen(error) if record is None else record.state,
                audit_hash="" if record is None else record.audit_hash.hex(),
                workflow_id=request.call.workflow_id,
                tool=request.call.tool,
                call_id=request.call.call_id,
                findings=(_CORRECT_IT,) if _refused_values(error, record) else (),
                error=error,
            )


def _refused_values(error: Exception, record: Record | None) -> bool:
    """Whether the call failed, beyond doubt, for values that do not fit a schema.

    Other arguments are another effect: of one that may have acted, a corrected call would be the second.
    """
    if record is None or record.uncertain or record.state not in {State.FAILED, State.RETRYABLE}:
        return False
    given: Any = getattr(error, "attempts", None)
    some = cast("tuple[object, ...]", given) if isinstance(given, tuple) else ()
    tries = [each for each in some if isinstance(each, AttemptInfo)]
    return bool(tries) and (tries[-1].fault or "").split(" ")[0] == FaultKind.SCHEMA


def _place(tenant: str, request: Request) -> tuple[str, str, str]:
    return tenant, request.call.workflow_id, request.call.tool


def _duplicate(answer: Receipt, request: Request) -> Receipt:
    message = f"the same {request.call.tool} call was made more than once in one turn; it ran once"
    finding = Finding(code="duplicate_intent", message=message)
    own = copy.deepcopy(answer.result)  # changing one receipt's must not change the other's
    return replace(answer, result=own, call_id=request.call.call_id, findings=(*answer.findings, finding))


def _unseen(error: Exception) -> State:
    """Return what to tell of an effect whose record cannot be seen: nothing happened, or nobody knows."""
    return State.UNKNOWN if isinstance(error, OutcomeUnknown | StoreError) else State.RETRYABLE
