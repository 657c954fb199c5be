"""What a change holds and settles, as the functions that write take it; and what a batch locks first."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from holdfast._core.budget import Demand, HoldOp, HoldState, PlaceHold, SettleHold, added, in_order, taken_of
from holdfast.stores.budget_rows import taken_text

Value = bytes | None
Places = tuple[tuple[str, str, str, str, int], ...]
HOLD_KINDS: Final = "an" + "ltttttt" + "lltt" + "l"
SETTLE_KINDS: Final = "ltant"
LOCK_KINDS: Final = "aaaanaa"
_TEXT_OID: Final = 25
_BIGINT_OID: Final = 20
_HEADER: Final = struct.Struct("!iiIii")
_BIGINT: Final = struct.Struct("!iq")
_LENGTH: Final = struct.Struct("!i")


@dataclass(frozen=True, slots=True)
class Holding:
    """What a change asks of budgets.

    Attributes:
        values: The parameters that say so.
        places: The rows that it takes of.
        settles: It is about what its effect's attempts hold already.
    """

    values: list[Value]
    places: Places
    settles: bool

    @property
    def is_both(self) -> bool:
        """Whether what was held is settled, and more is held, in one."""
        return self.settles and self.values[2] is not None


def holding(ops: Sequence[HoldOp]) -> Holding:
    """Return what *ops* ask, for an effect that is inserted (one hold) or moved (one, or one of each)."""
    place = next((op for op in ops if isinstance(op, PlaceHold)), None)
    settle = next((op for op in ops if isinstance(op, SettleHold)), None)
    held, places = (_EMPTY, ()) if place is None else _held(place)
    return Holding([*held, *_settled(settle)], places, settle is not None)


@lru_cache(maxsize=1024)  # calls of a workflow ask the same, again and again
def _asked(demands: tuple[Demand, ...], number: int, *, is_spent: bool) -> tuple[bytes, bytes, bytes, Places]:
    """Return what is asked as the functions take it: words, numbers, the hold's text; and the rows.

    Args:
        number: Of the slice that the worker uses.
    """
    words: list[str] = []
    amounts: list[int] = []
    ordered, parts = in_order(demands), taken_of(demands, number)
    for demand, taken in zip(ordered, parts, strict=True):
        words += demand.owner, demand.account, demand.unit, demand.per
        held, spent = added(demand, is_spent=is_spent)
        amounts += taken.slice, demand.slices, demand.cap, demand.amount, held, spent
    places = tuple((each.owner, each.account, each.unit, each.per, each.slice) for each in parts)
    return texts(words), numbers(amounts), taken_text(parts).encode(), places


def _held(op: PlaceHold) -> tuple[list[Value], Places]:
    words, amounts, taken, places = _asked(op.demands, op.slice, is_spent=op.is_spent)
    state = HoldState.SETTLED if op.is_spent else HoldState.HELD
    return [
        words,
        amounts,
        b"%d" % op.attempt,
        state.encode(),
        op.workflow_id.encode(),
        op.actor.encode(),
        op.tool.encode(),
        op.model.encode(),
        op.currency.encode(),
        b"%d" % op.money,
        b"%d" % op.tokens,
        None if op.price is None else op.price.encode(),
        taken,
        op.at.isoformat().encode(),
    ], places


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


_EMPTY: Final[list[Value]] = [texts(()), numbers(()), *[None] * 12]
