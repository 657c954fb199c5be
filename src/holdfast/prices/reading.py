"""Prices that users give: in code, or in a file of JSON, TOML or YAML. What is not understood is refused."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from holdfast._core.money import exact
from holdfast._core.price import MILLION, TOKENS, Meter, PriceRow, Rate, Rates, rate
from holdfast._core.wire import is_array, is_object
from holdfast.errors import InvalidPrice, MissingExtra
from holdfast.prices.names import split

_METERS: Final = {meter.value: meter for meter in Meter}
_VARIANTS: Final = ("batch", "flex", "priority", "fast")
_FIELDS: Final = frozenset({"since", "currency", "context_window", "tiers", "surcharges", *_VARIANTS})
_FILE_FIELDS: Final = frozenset({"version", "prices", "aliases"})
_MOST_BYTES: Final = 1 << 20
_KNOWN: Final = ", ".join(sorted({*_METERS, *_FIELDS}))


@dataclass(frozen=True, slots=True)
class Given:
    """Prices that somebody gave.

    Attributes:
        rows: By ``provider/model`` as written, each in the order of its dates.
        aliases: Names for models.
    """

    rows: Mapping[str, tuple[PriceRow, ...]]
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])


def read_prices(prices: Mapping[str, Any], *, source: str = "code", version: str = "1") -> Given:
    """Read prices by ``provider/model``: a mapping as in `price_row`, or a list of such with ``since``.

    Raises:
        InvalidPrice: A price or a name cannot be understood.
    """
    rows: dict[str, tuple[PriceRow, ...]] = {}
    for name, given in prices.items():
        several = given if is_array(given) else [given]
        made = [price_row(one, name=name, source=source, version=version) for one in several]
        made.sort(key=lambda row: row.since or date.min)
        if len({row.since for row in made}) != len(made) or not made:
            raise InvalidPrice(name, "two of its prices begin on one day", "give each a 'since' of its own")
        rows[name] = tuple(made)
    return Given(rows)


def load_prices(path: str | Path) -> Given:
    """Read a file of prices: ``prices`` and ``aliases``, and a ``version`` of your own.

    Args:
        path: To a file that ends in ``.json``, ``.toml``, ``.yaml`` or ``.yml``.

    Raises:
        InvalidPrice: It cannot be read or understood.
        MissingExtra: It is YAML, and PyYAML is not installed.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        content = _parsed(raw[: _MOST_BYTES + 1].decode("utf-8"), path) if len(raw) <= _MOST_BYTES else None
    except (OSError, ValueError) as error:
        raise InvalidPrice(
            str(path), f"it cannot be read ({type(error).__name__})", "mend the file"
        ) from error
    if not is_object(content) or content.keys() - _FILE_FIELDS:
        fix = f"give {', '.join(sorted(_FILE_FIELDS))}, and at most {_MOST_BYTES} bytes"
        raise InvalidPrice(str(path), "it is no file of prices", fix)
    version = str(content.get("version") or hashlib.sha256(raw).hexdigest()[:12])
    prices: Any = content.get("prices", {})
    aliases: Any = content.get("aliases", {})
    if not is_object(prices) or not is_object(aliases):
        raise InvalidPrice(str(path), "prices or aliases are no mapping", "name models on the left")
    given = read_prices(prices, source=path.name, version=version)
    return Given(given.rows, {str(name): str(target) for name, target in aliases.items()})


def price_row(
    given: Mapping[str, Any],
    *,
    name: str = "*/*",
    source: str = "code",
    version: str = "1",
    assumed: str = "",
) -> PriceRow:
    """Read the prices of one model.

    Args:
        given: ``input``, ``output``, ``cache_read``, ``cache_write``, ``cache_write_1h``, ``reasoning``,
            ``input_audio``, ``cache_read_audio`` and ``output_audio`` for a million tokens; ``request``,
            ``web_search``, ``file_search``, ``code_execution`` for one. ``batch``, ``flex``, ``priority``,
            ``fast``: the same, where it differs. ``tiers``: from a number of input tokens to the prices for
            requests above it. ``since``: a date; ``currency``; ``context_window``; ``surcharges`` by region.
            Prices are text or ``Decimal``, never floats.
        name: ``provider/model``.
        source: Where the prices are from.
        version: Of the source.
        assumed: Why they are an assumption, if they are one.

    Raises:
        InvalidPrice: A field is not known, or a price cannot be understood.
    """
    provider, model = split(name)
    if not is_object(given) or given.keys() - _METERS.keys() - _FIELDS:
        raise InvalidPrice(name, "it has a field that is not known", f"these are: {_KNOWN}")
    return PriceRow(
        provider=provider,
        model=model,
        source=source,
        version=version,
        since=_day(given.get("since"), name),
        currency=str(given.get("currency", "USD")),
        rates=_rates(given, name),
        variants={kind: _rates(_mapping(given[kind], name), name) for kind in _VARIANTS if kind in given},
        surcharges={
            str(region): exact(times, name)
            for region, times in _mapping(given.get("surcharges", {}), name).items()
        },
        context_window=None if given.get("context_window") is None else _whole(given["context_window"], name),
        assumed=assumed,
    )


def _rates(given: Mapping[str, Any], name: str) -> Rates:
    tiers = {
        _whole(above, name): _mapping(prices, name)
        for above, prices in _mapping(given.get("tiers", {}), name).items()
    }
    stray = {meter for prices in tiers.values() for meter in prices} - (given.keys() & _METERS.keys())
    if stray or given.keys() - _METERS.keys() - _FIELDS:
        raise InvalidPrice(name, "a tier or variant has a field without a price", "give its base price, too")
    rates: dict[Meter, Rate] = {}
    for key, meter in _METERS.items():
        if key in given:
            above = {start: prices[key] for start, prices in tiers.items() if key in prices}
            where = f"{name}, {key}"
            rates[meter] = rate(given[key], MILLION if meter in TOKENS else 1, where, above)
    return rates


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not is_object(value):
        raise InvalidPrice(name, "a part of it is no mapping", "name what is priced on the left")
    return value


def _whole(value: Any, name: str) -> int:
    number = exact(value, name)
    if number.denominator != 1 or number < 0:
        raise InvalidPrice(name, "a number of tokens is not whole", "give whole tokens")
    return int(number)


def _day(value: Any, name: str) -> date | None:
    try:
        return value if value is None or type(value) is date else date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise InvalidPrice(name, "its 'since' is no date", "write it like 2026-11-01") from error


def _parsed(text: str, path: Path) -> Any:
    match path.suffix.lower():
        case ".json":
            return json.loads(text, parse_float=Decimal, object_pairs_hook=_once)
        case ".toml":
            return tomllib.loads(text, parse_float=Decimal)
        case ".yaml" | ".yml":
            return _yaml(text)
        case _:
            raise ValueError("no format that is known")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a name is given twice")
    return content


def _yaml(text: str) -> Any:
    """Read YAML as text alone: 2.50 stays what was written. Anchors, tags and doubles are refused."""
    try:
        yaml: Any = import_module("yaml")
    except ImportError as error:
        raise MissingExtra("prices", "pyyaml") from error
    try:
        if any(getattr(token, "anchor", None) or getattr(token, "tag", None) for token in yaml.parse(text)):
            raise ValueError("anchors and tags hide what is meant")
        return _plain(yaml.compose(text, Loader=yaml.BaseLoader), yaml)
    except yaml.YAMLError as error:
        raise ValueError("no YAML") from error


def _plain(node: Any, yaml: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        if not all(isinstance(key, yaml.ScalarNode) for key, _ in node.value):
            raise ValueError("a name is no text")
        return _once([(key.value, _plain(value, yaml)) for key, value in node.value])
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, yaml) for item in node.value]
    return None if node is None else node.value
