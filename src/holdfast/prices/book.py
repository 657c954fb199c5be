"""Which prices hold for a model: yours, else the bundled ones, else what you chose for the unknown."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from holdfast._core.price import PriceRow, dearest_rates
from holdfast.errors import InvalidPrice, UnpricedModel
from holdfast.prices.bundled import BundledPrices
from holdfast.prices.names import Aliases, provider_name, spellings, split
from holdfast.prices.reading import Given, load_prices, price_row, read_prices

Unknown: TypeAlias = "Literal['refuse', 'warn'] | Mapping[str, Any]"
"""What a model without a price costs: it is refused; what the dearest known one does, with a warning; or what
is given here, as in `price_row`."""

log: Final = logging.getLogger("holdfast")


class PriceBook:
    """Prices by provider, model and time. It fetches nothing; rows are made once and kept.

    Args:
        prices: Your own prices by ``provider/model``, as in `price_row` or a list of such with ``since``; or
            the path of a file with them. Where they hold, they win as a whole.
        aliases: Your names for models: from a name to ``provider/model``.
        unknown: What a model costs that has no price.
        bundled: Whether the prices of the installed genai-prices are used.

    Raises:
        InvalidPrice: A price, a name or a file cannot be understood.
        MissingExtra: Bundled prices are wanted, and ``holdfast[prices]`` is not installed.
    """

    def __init__(
        self,
        prices: Mapping[str, Any] | str | Path | None = None,
        *,
        aliases: Mapping[str, str] | None = None,
        unknown: Unknown = "refuse",
        bundled: bool = True,
    ) -> None:
        given = load_prices(prices) if isinstance(prices, str | Path) else read_prices(prices or {})
        self._own = _by_name(given)
        self._aliases = Aliases({**given.aliases, **(aliases or {})})
        self._bundled = BundledPrices() if bundled else None
        if not isinstance(unknown, Mapping) and unknown not in {"refuse", "warn"}:
            raise InvalidPrice("unknown", "it is no policy", "choose 'refuse', 'warn', or give prices")
        self._unknown = unknown
        self._ceiling = price_row(unknown, source="ceiling") if isinstance(unknown, Mapping) else None
        self._assumed: dict[tuple[str, str], PriceRow] = {}

    def row(self, name: str, *, at: datetime) -> PriceRow:
        """Return the row for an alias or a ``provider/model``; the rest is as in `resolve`."""
        return self.resolve(*split(name), at=at)

    def named(self, provider: str, model: str) -> tuple[str, str]:
        """Return whose model a name or an alias of yours means in the end, and what that one calls it."""
        return self._aliases.follow(provider_name(provider), model)

    def resolve(self, provider: str, model: str, *, at: datetime) -> PriceRow:
        """Return the prices of a model at a time.

        Args:
            provider: Whose, in any usual spelling; empty to find it by the model's name.
            model: The provider's own name for it, an alias of yours, with or without a snapshot's date.
            at: When it is called, with a timezone.

        Raises:
            UnpricedModel: It has no price, and unknown models are refused.
        """
        if at.tzinfo is None:
            raise ValueError("at has no timezone: prices change at midnight UTC")
        provider, model = self._aliases.follow(provider_name(provider), model)
        row = self._given(provider, model, at)
        if row is None and self._bundled is not None:
            row = self._bundled.row(provider, model, at)
        return self._for_unknown(provider, model, at) if row is None else row

    def _given(self, provider: str, model: str, at: datetime) -> PriceRow | None:
        today = at.astimezone(UTC).date()
        for spelling in spellings(model):
            rows = self._own.get((provider, spelling), ())
            holding = [row for row in rows if row.since is None or row.since <= today]
            if holding:
                return holding[-1]
        return None

    def _for_unknown(self, provider: str, model: str, at: datetime) -> PriceRow:
        if self._unknown == "refuse":
            raise UnpricedModel(provider, model, "it has no price")
        key = (provider, model)
        if key not in self._assumed:
            self._assumed[key] = self._assumption(provider, model, at)
            if self._unknown == "warn":
                name = f"{provider}/{model}".strip("/")
                log.warning(
                    "model %r has no price: it is taken to cost what the dearest known one does", name
                )
        return self._assumed[key]

    def _assumption(self, provider: str, model: str, at: datetime) -> PriceRow:
        """Make a row for a model without one. Its prices hold in every service tier."""
        found = self._ceiling
        if found is None:
            known = [row for rows in self._own.values() for row in rows]
            known += [] if self._bundled is None else self._bundled.rows(at)
            found = _dearest(provider, model, known)
        tiers = {name: found.variants.get(name, {}) for name in ("batch", "flex", "priority", "fast")}
        return replace(
            found, provider=provider, model=model, variants=tiers, assumed="no price is known for this model"
        )


def _dearest(provider: str, model: str, known: list[PriceRow]) -> PriceRow:
    if len({row.currency for row in known}) != 1:
        raise UnpricedModel(
            provider, model, "it has no price, and no known ones in one currency can stand in"
        )
    return PriceRow(
        provider=provider,
        model=model,
        source="dearest known",
        version="1",
        currency=known[0].currency,
        rates=dearest_rates(known),
        surcharges={"us": max([Fraction(1), *(more for row in known for more in row.surcharges.values())])},
    )


def _by_name(given: Given) -> dict[tuple[str, str], tuple[PriceRow, ...]]:
    named: dict[tuple[str, str], tuple[PriceRow, ...]] = {}
    for name, rows in given.rows.items():
        provider, model = split(name)
        key = (provider, spellings(model)[0])
        if key in named:
            raise InvalidPrice(name, "another of the prices is for the same model", "keep one of them")
        named[key] = rows
    return named
