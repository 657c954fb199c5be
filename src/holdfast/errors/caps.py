"""What keeps people from changing a cap: it is not for them, or somebody else did meanwhile."""

from __future__ import annotations

from holdfast.errors.base import HoldfastError


class CapRefused(HoldfastError):
    """Somebody may not change a budget's cap. It is on record that they tried; nothing changed.

    Attributes:
        account: Whose budget it is, and *unit* what it counts.
        by: Who tried.
        why: For people.
    """

    code = "cap-refused"

    def __init__(self, account: str, unit: str, by: str, why: str) -> None:
        super().__init__(account, unit, by, why)
        self.account = account
        self.unit = unit
        self.by = by
        self.why = why

    def __str__(self) -> str:
        fix = "let a person who has the role 'budgets' in the directory do it: `holdfast budgets raise`"
        return f"the cap of {self.account}/{self.unit} stays as it is: {self.why}; {fix}"


class CapConflict(HoldfastError):
    """Somebody else changes a budget's cap, or has just done so. Nothing changed through this call.

    Attributes:
        account: Whose budget it is, and *unit* what it counts.
        per: The window that it begins anew in; empty when it does not.
        cap: What may be spent now (money in micro-units), with what people added.
        raised: What of that people added.
    """

    code = "cap-conflict"

    def __init__(self, account: str, unit: str, per: str, cap: int, raised: int) -> None:
        super().__init__(account, unit, per, cap, raised)
        self.account = account
        self.unit = unit
        self.per = per
        self.cap = cap
        self.raised = raised

    def __str__(self) -> str:
        window = f" per {self.per}" if self.per else ""
        what = f"somebody else changes the cap of {self.account}/{self.unit}{window}, or has just done so"
        now = f"it is {self.cap} now, of which people added {self.raised}"
        fix = f"see `holdfast budgets show {self.account}`, and change it again if that will not do"
        return f"{what}: {now}; {fix}"
