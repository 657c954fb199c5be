"""What a change holds and settles, as the functions that write take it; and what a batch locks first."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast._core.budget import HoldOp, PlaceHold, SettleHold, added, demanded, placed, taken_by
from holdfast.stores.budget_rows import taken_text

Value = bytes | None
Place = tuple[str, str, str, str, int]
ALONE: Final = b"0"
SLOWLY: Final = b"1"
IN_COMPANY: Final = b"2"
"""How budgets are looked at, the last parameter of what holds or settles: see ``holdfast_insert_held_v1``."""
HOLD_KINDS: Final = "an" + "ltttttt" + "lltt" + "l"
SETTLE_KINDS: Final = "ltant"
LOCK_KINDS: Final = "aaaanaa"
_NOTHING: Final[tuple[Value, ...]] = (None,) * 12
_TEXT_OID: Final = 25
_BIGINT_OID: Final = 20
_HEADER: Final = struct.Struct("!iiIii")
_BIGINT: Final = struct.Struct("!iq")
_LENGTH: Final = struct.Struct("!i")


@dataclass(frozen=True, slots=True)
class Holding:
    """What a change asks of budgets.

    Attributes:
        values: The parameters that say so, but for how they are looked at.
        places: The rows that it takes of.
        settles: It is about what its effect's attempts hold already.
    """

    values: list[Value]
    places: tuple[Place, ...]
    settles: bool

    @property
    def is_both(self) -> bool:
        """Whether what was held is settled, and more is held, in one."""
        return self.settles and self.values[2] is not None


def holding(ops: Sequence[HoldOp]) -> Holding:
    """Return what *ops* ask, for an effect that is inserted (one hold) or moved (one, or one of each)."""
    place = next((op for op in ops if isinstance(op, PlaceHold)), None)
    settle = next((op for op in ops if isinstance(op, SettleHold)), None)
    held: list[Value] = [texts(()), numbers(()), *_NOTHING] if place is None else _held(place)
    places = () if place is None else tuple(_place(place))
    return Holding([*held, *_settled(settle)], places, settle is not None)


def _place(op: PlaceHold) -> Iterable[Place]:
    return ((each.owner, each.account, each.unit, each.per, each.slice) for each in taken_by(op))


def _held(op: PlaceHold) -> list[Value]:
    words: list[str] = []
    amounts: list[int] = []
    for demand, taken in zip(demanded(op), taken_by(op), strict=True):
        words += demand.owner, demand.account, demand.unit, demand.per
        held, spent = added(demand, is_spent=op.is_spent)
        amounts += taken.slice, demand.slices, demand.cap, demand.amount, held, spent
    hold = placed(op, op.at)
    return [
        texts(words),
        numbers(amounts),
        b"%d" % hold.attempt,
        hold.state.encode(),
        hold.workflow_id.encode(),
        hold.actor.encode(),
        hold.tool.encode(),
        hold.model.encode(),
        hold.currency.encode(),
        b"%d" % hold.money,
        b"%d" % hold.tokens,
        None if hold.price is None else hold.price.encode(),
        taken_text(hold.taken).encode(),
        hold.at.isoformat().encode(),
    ]


def _settled(op: SettleHold | None) -> list[Value]:
    if op is None:
        return [None, None, None, None, None]
    return [
        None if op.attempt is None else b"%d" % op.attempt,
        op.basis.encode(),
        texts([unit for unit, _ in op.amounts]),
        numbers([amount for _, amount in op.amounts]),
        None if op.usage is None else op.usage.encode(),
    ]


def locks(holdings: Sequence[tuple[Holding, tuple[bytes, bytes]]]) -> list[Value]:
    """Return the parameters of ``lock_budgets`` for changes, each with its effect's tenant and key."""
    places = sorted({place for each, _ in holdings for place in each.places})
    keys = [key for each, key in holdings if each.settles]
    return [
        *(texts([str(place[n]) for place in places]) for n in range(4)),
        numbers([place[4] for place in places]),
        texts([tenant.decode() for tenant, _ in keys]),
        texts([key.decode() for _, key in keys]),
    ]


def texts(words: Sequence[str]) -> bytes:
    """Return a ``text[]`` in binary, which keeps a NUL visible to the database."""
    body = [_LENGTH.pack(len(word)) + word for word in (each.encode() for each in words)]
    return _array(_TEXT_OID, body)


def numbers(amounts: Sequence[int]) -> bytes:
    """Return a ``bigint[]`` in binary.

    Raises:
        struct.error: One is larger than that.
    """
    return _array(_BIGINT_OID, [_BIGINT.pack(8, amount) for amount in amounts])


def _array(kind: int, body: Sequence[bytes]) -> bytes:
    if not body:
        return _HEADER.pack(0, 0, kind, 0, 0)[:12]
    return _HEADER.pack(1, 0, kind, len(body), 1) + b"".join(body)


def unpacked(value: bytes, kind: str) -> list[str] | list[int]:
    """Return the words of a ``text[]`` (kind ``a``) or the numbers of a ``bigint[]`` (kind ``n``)."""
    found: list[bytes] = []
    at = _HEADER.size
    while at < len(value):
        [length] = _LENGTH.unpack_from(value, at)
        found.append(value[at + 4 : at + 4 + length])
        at += 4 + length
    if kind == "a":
        return [word.decode() for word in found]
    return [int.from_bytes(number, signed=True) for number in found]
