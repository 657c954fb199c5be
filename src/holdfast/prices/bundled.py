"""Reads genai-prices' data as it is installed. Nothing is ever fetched: newer prices come in a newer package.

Its own sums are not used: they are not safe against missing prices (a model whose prices are unknown is free
there, audio without a price costs what text does), and they take longer than a call from the record may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final, Protocol

from holdfast._core.money import exact
from holdfast._core.price import MILLION, TOKENS, Meter, PriceRow, Rate, Rates
from holdfast._core.wire import is_array
from holdfast.errors import InvalidPrice, MissingExtra

SOURCE: Final = "genai-prices"
_THOUSAND: Final = 1_000
_EVERY_TIER: Final = 10**18

# The wire does not tell text from images and video, so that the dearest of them counts.
_KEYS: Final[dict[Meter, tuple[str, ...]]] = {
    Meter.INPUT: ("input_mtok", "input_text_mtok", "input_image_mtok", "input_video_mtok"),
    Meter.OUTPUT: (
        *("output_mtok", "output_text_mtok", "output_image_mtok", "output_video_mtok"),
        "output_citation_mtok",
    ),
    Meter.CACHE_READ: (
        *("cache_read_mtok", "cache_text_read_mtok", "cache_image_read_mtok", "cache_video_read_mtok"),
    ),
    Meter.CACHE_WRITE: ("cache_write_mtok", "cache_write_5m_mtok"),
    Meter.CACHE_WRITE_LONG: ("cache_write_1h_mtok",),
    # Reasoning is a part of the output; where it has a lower price it may have been counted apart.
    Meter.REASONING: ("output_reasoning_mtok", "output_mtok"),
    Meter.INPUT_AUDIO: ("input_audio_mtok",),
    Meter.CACHE_READ_AUDIO: ("cache_audio_read_mtok",),
    Meter.OUTPUT_AUDIO: ("output_audio_mtok",),
    Meter.REQUEST: ("requests_kcount",),
    Meter.WEB_SEARCH: ("web_searches_kcount",),
    Meter.FILE_SEARCH: ("storage_searches_kcount",),
    Meter.CODE_EXECUTION: ("code_executions_kcount",),
}
_ANY_OF: Final = frozenset({Meter.INPUT, Meter.OUTPUT, Meter.CACHE_READ})
_TIERS: Final = frozenset({"flex", "priority", "fast"})
_SURCHARGES: Final = {
    # Documented, and not in the data: inference in the US alone costs a tenth more for every token.
    "anthropic": {"us": Fraction(11, 10)},
}


class _Constraint(Protocol):
    """When a price holds. This and the next are what is read of genai-prices' own classes."""

    def active(self, request_timestamp: datetime) -> bool: ...


class _Conditional(Protocol):
    constraint: _Constraint | None
    prices: object


class _Variant(Protocol):
    constraint: _Constraint | None
    when: dict[str, str]
    prices: object


class _Model(Protocol):
    id: str
    context_window: int | None
    prices: Any  # one set of prices, or a list of conditional ones
    price_variants: list[_Variant] | None


class _Provider(Protocol):
    id: str
    models: list[_Model]


class _Snapshot(Protocol):
    providers: list[_Provider]

    def find_provider_model(
        self, model_ref: str, provider: None, provider_id: str | None, provider_api_url: None
    ) -> tuple[_Provider, _Model]: ...


@dataclass(frozen=True, slots=True)
class _Chosen:
    """One model's prices at a time, before they are made a row."""

    provider: _Provider
    model: _Model
    at: int
    variants: tuple[int, ...]


class BundledPrices:
    """The prices that came with the installed genai-prices.

    Raises:
        MissingExtra: It is not installed.
    """

    def __init__(self) -> None:
        # Never what an update in this process has fetched: a row's version is that of the package.
        self._data = _installed()
        self._version = version(SOURCE)
        self._rows: dict[tuple[str, str, int, tuple[int, ...]], PriceRow | None] = {}

    def row(self, provider: str, model: str, at: datetime) -> PriceRow | None:
        """Return a model's row; ``None`` if it is not known, or known without a price for its tokens."""
        try:
            found = self._data.find_provider_model(model, None, provider or None, None)
        except LookupError:
            return None
        return self._row(_choose(*found, at))

    def rows(self, at: datetime) -> list[PriceRow]:
        """Return the rows of all models whose tokens have a price."""
        found = (
            self._row(_choose(provider, model, at))
            for provider in self._data.providers
            for model in provider.models
        )
        return [row for row in found if row is not None]

    def _row(self, chosen: _Chosen) -> PriceRow | None:
        key = (chosen.provider.id, chosen.model.id, chosen.at, chosen.variants)
        if key not in self._rows:
            try:
                self._rows[key] = _made(chosen, self._version)
            except InvalidPrice:  # its tokens have no price, or one that is none
                self._rows[key] = None
        return self._rows[key]


def _installed() -> _Snapshot:
    try:
        # By name, for type checkers take minutes over two megabytes of literals.
        data = import_module("genai_prices.data")
        snapshots = import_module("genai_prices.data_snapshot")
    except ImportError as error:
        raise MissingExtra("prices", SOURCE) from error
    snapshot: _Snapshot = snapshots.DataSnapshot(data.providers, from_auto_update=False)
    return snapshot


def _choose(provider: _Provider, model: _Model, at: datetime) -> _Chosen:
    """Find the prices that hold: the last one whose time it is, else the first."""
    conditional = _conditional(model)
    active = (
        place
        for place in reversed(range(len(conditional)))
        if (constraint := conditional[place].constraint) is None or constraint.active(at)
    )
    index = next(active, 0)
    # Another provider's variants do not hold for those who resell its models.
    own = any(model is known for known in provider.models)
    variants = tuple(
        place
        for place, variant in enumerate(model.price_variants or ())
        if own and (variant.constraint is None or variant.constraint.active(at))
    )
    return _Chosen(provider, model, index, variants)


def _made(chosen: _Chosen, data_version: str) -> PriceRow:
    provider, model = chosen.provider, chosen.model
    conditional = _conditional(model)
    prices = conditional[chosen.at].prices if conditional else model.prices
    since: date | None = (
        getattr(conditional[chosen.at].constraint, "start_date", None) if conditional else None
    )
    variants: dict[str, Rates] = {}
    for place in chosen.variants:
        variant = (model.price_variants or [])[place]
        name = _variant_name(variant.when)
        if name is not None:  # the first one that holds wins, price by price
            variants[name] = {**_rates(variant.prices), **variants.get(name, {})}
    return PriceRow(
        provider=provider.id,
        model=model.id,
        source=SOURCE,
        version=data_version,
        since=since,
        rates=_rates(prices),
        variants=variants,
        surcharges=_SURCHARGES.get(provider.id, {}),
        context_window=model.context_window,
    )


def _conditional(model: _Model) -> list[_Conditional]:
    return list(model.prices) if is_array(model.prices) else []


def _variant_name(when: dict[str, str]) -> str | None:
    match when:
        case {"processing": "batch", **others} if not others:
            return "batch"
        case {"service_tier": tier, **others} if not others and tier in _TIERS:
            return tier
        case {"speed": "fast", **others} if not others:
            return "fast"
        case _:
            return None


def _rates(prices: object) -> Rates:
    known = {key: value for key, value in vars(prices).items() if value is not None}
    rates: dict[Meter, Rate] = {}
    for meter, keys in _KEYS.items():
        found = list(_known(known, keys, MILLION if meter in TOKENS else _THOUSAND))
        if found and (keys[0] in known or meter in _ANY_OF):
            rates[meter] = max(found, key=lambda rate: rate.dearest(_EVERY_TIER))
    return rates


def _known(known: dict[str, Any], keys: Iterable[str], per: int) -> Iterator[Rate]:
    for key in keys:
        value = known.get(key)
        if value is None:
            continue
        tiers = getattr(value, "tiers", ())
        base = getattr(value, "base", value)
        yield Rate(exact(base, key), per, tuple((tier.start, exact(tier.price, key)) for tier in tiers))
