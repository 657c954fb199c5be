"""What can be wrong with money and prices: nothing was priced, and nothing counts as free."""

from __future__ import annotations

from holdfast.errors.base import HoldfastError


class InvalidPrice(HoldfastError, ValueError):
    """An amount, a price or a file of prices cannot be used. Nothing was priced by it.

    Attributes:
        where: The amount, the model or the file that it is about.
        what: What is wrong.
        fix: What to do about it.
    """

    code = "invalid-price"

    def __init__(self, where: str, what: str, fix: str) -> None:
        super().__init__(where, what, fix)
        self.where = where
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.fix}"


class CurrencyMismatch(HoldfastError, ValueError):
    """Amounts of different currencies were added or compared. There is no rate between them here.

    Attributes:
        left: The currency of the one.
        right: The currency of the other.
    """

    code = "currency-mismatch"

    def __init__(self, left: str, right: str) -> None:
        super().__init__(left, right)
        self.left = left
        self.right = right

    def __str__(self) -> str:
        return f"{self.left} and {self.right} do not add up; give prices and caps in one currency"


class UnpricedModel(HoldfastError, LookupError):
    """There is no price for a model, or for what was asked of it; what is unknown is never free.

    Attributes:
        provider: Whose model; empty when nobody was named.
        model: Which model, as it was asked for.
        why: What has no price.
    """

    code = "unpriced-model"

    def __init__(self, provider: str, model: str, why: str) -> None:
        super().__init__(provider, model, why)
        self.provider = provider
        self.model = model
        self.why = why

    def __str__(self) -> str:
        name = f"{self.provider}/{self.model}" if self.provider else self.model
        return f"{name}: {self.why}; give its price or an alias, or choose what unknown models cost"
