"""What model calls cost: prices as dated data, usage as providers count it, bounds before anything is sent.

Bundled prices need ``pip install 'holdfast[prices]'``; with prices of your own alone, nothing does.
"""

from holdfast._core.cost import Cost, Part, cost_of
from holdfast._core.estimate import CostHistory, Estimate, ModelCalls, ToolCalls, estimate
from holdfast._core.money import Money
from holdfast._core.price import Meter, PriceRow, Rate
from holdfast._core.request_bound import request_bound
from holdfast._core.token_bound import text_bound
from holdfast._core.usage import UnknownUsage, Usage
from holdfast._core.usage_wire import usage_of, usage_of_stream
from holdfast._core.worst_cost import RequestBound, Unbounded, affordable_max_tokens, worst_cost
from holdfast.prices.book import PriceBook
from holdfast.prices.reading import load_prices, price_row
from holdfast.prices.tokenizer import local_tokenizer

__all__ = [
    "Cost",
    "CostHistory",
    "Estimate",
    "Meter",
    "ModelCalls",
    "Money",
    "Part",
    "PriceBook",
    "PriceRow",
    "Rate",
    "RequestBound",
    "ToolCalls",
    "Unbounded",
    "UnknownUsage",
    "Usage",
    "affordable_max_tokens",
    "cost_of",
    "estimate",
    "load_prices",
    "local_tokenizer",
    "price_row",
    "request_bound",
    "text_bound",
    "usage_of",
    "usage_of_stream",
    "worst_cost",
]
