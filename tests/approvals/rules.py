"""Policies that say what a test wants."""

from __future__ import annotations

from typing import Any


class Rules:
    """A policy that says one thing, or what a function of the facts says.

    Attributes:
        asked: How often it was asked.
    """

    def __init__(self, says: Any) -> None:
        self.says = says
        self.asked = 0

    def needs(self, facts: Any) -> Any:
        return ()

    def decide(self, facts: Any) -> Any:
        self.asked += 1
        return self.says(facts) if callable(self.says) else self.says
