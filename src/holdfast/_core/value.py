"""The values that one call makes on its way: frozen for those who write code, plain for the interpreter.

A frozen dataclass sets each field through ``object.__setattr__``, which is three times the price. One guarded
call makes about two hundred such fields, so the values of the hot path are frozen by the type checkers alone.
What users hold in their hands (calls, receipts, effects, evidence) stays frozen for the interpreter as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[_T]) -> type[_T]:
    """Make *cls* a dataclass with slots, whose fields are given by keyword and never set again."""
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(cls)
