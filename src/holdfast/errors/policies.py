"""What can be wrong with rules that are written down: nothing is decided by them."""

from __future__ import annotations

from holdfast.errors.base import HoldfastError


class InvalidPolicy(HoldfastError, ValueError):
    """A policy cannot be used. It decides nothing, not even in part.

    Attributes:
        where: The file, with its line where that is known; ``policy`` for one that is no file.
        rule: The part of it, e.g. ``rule big-charge``; empty when it is about the whole.
        what: What is wrong.
        fix: What to do about it.
    """

    code = "invalid-policy"

    def __init__(self, where: str, rule: str, what: str, fix: str) -> None:
        super().__init__(where, rule, what, fix)
        self.where = where
        self.rule = rule
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        place = f"{self.where}, {self.rule}" if self.rule else self.where
        return f"{place}: {self.what}; {self.fix}"
