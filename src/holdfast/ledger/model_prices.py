"""What model calls are named and priced by: a book of the user's, or the bundled prices if they are there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from holdfast._core.price import PriceRow
from holdfast.errors import InvalidCall, InvalidTool, MissingExtra, UnpricedModel
from holdfast.prices.book import PriceBook
from holdfast.prices.names import provider_name


class Prices:
    """Prices of models, made ready when they are first asked for.

    Args:
        given: The user's book, whose word on unknown models counts; with ``None``, bundled prices are used if
            they are installed, and what they do not know has no price.
    """

    def __init__(self, given: PriceBook | None) -> None:
        self._book = given
        self._is_given = given is not None
        self._missing = ""

    def row(self, provider: str, model: str, at: datetime) -> tuple[PriceRow | None, str]:
        """Return a model's prices; or ``None``, and why there are none.

        Raises:
            UnpricedModel: The user's book refuses what it does not know.
        """
        book = self._opened()
        if book is None:
            return None, self._missing
        try:
            return book.resolve(provider, model, at=at), ""
        except UnpricedModel:
            if self._is_given:
                raise
            return None, f"model {model!r} has no price"

    def named(self, provider: str, model: str) -> str:
        """Return the provider's own name for a model that is asked for by an alias.

        Raises:
            InvalidCall: It is another provider's. Nothing was sent.
        """
        book = self._opened()
        if book is None:
            return model
        whose, name = book.named(provider, model)
        if whose == provider_name(provider):
            return name
        what = f"{model!r} is {whose}/{name}, and this client asks {provider}"
        raise InvalidCall(what, "ask it through that provider's client, or correct the alias")

    def _opened(self) -> PriceBook | None:
        if self._book is None and not self._missing:
            try:
                self._book = PriceBook()
            except MissingExtra:
                self._missing = "no prices are known: pip install 'holdfast[prices]', or give Ledger(prices=)"
        return self._book


def checked_prices(given: Any) -> Prices:
    """Return what a ledger is given.

    Raises:
        InvalidTool: It is no price book.
    """
    if given is not None and not isinstance(given, PriceBook):
        raise InvalidTool(f"prices is {type(given).__name__}", "give a holdfast.prices.PriceBook")
    return Prices(given)
