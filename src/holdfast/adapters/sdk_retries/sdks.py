"""The clients of services: openai, anthropic, stripe, boto3, google-genai."""

from __future__ import annotations

import sys
from typing import Any, Final

from holdfast.adapters.sdk_retries.http_clients import (
    of_httpx,
    of_manager,
    of_retry,
    silence_httpx,
    silence_manager,
)
from holdfast.adapters.sdk_retries.kind import Kind, number
from holdfast.adapters.sdk_retries.stored import at, entries, is_a, name_of, stored

# openai, anthropic, and whatever else is made by the generator that made them


def _of_stainless(client: object) -> int | None:
    own, below = number(at(client, "max_retries")), of_httpx(at(client, "_client")) or 0
    # Each layer repeats all that the one below it repeats.
    return None if own is None else (1 + own) * (1 + below) - 1


def _silence_stainless(client: Any) -> object:
    try:
        quiet = client.with_options(max_retries=0)
    except TypeError:  # a subclass whose constructor takes other arguments cannot be copied
        quiet = client
        quiet.max_retries = 0
    silence_httpx(at(quiet, "_client"))
    return quiet


STAINLESS: Final = Kind(retries=_of_stainless, silence=_silence_stainless, fix="{client}(..., max_retries=0)")


# stripe


def _of_stripe(client: object) -> int | None:
    options = stored(at(client, "_requestor", "_options"))
    if "max_network_retries" not in options:
        return None
    # None, the default, is none at all; only the module's own functions have another default.
    return 0 if options["max_network_retries"] is None else number(options["max_network_retries"])


def _silence_stripe(client: Any) -> object:
    client._requestor._options.max_network_retries = 0  # noqa: SLF001 - read at each request; no public way
    return client


# botocore, and boto3 above it

_ATTEMPTS: Final = {"legacy": 5, "standard": 3, "adaptive": 3}
_ATTEMPTS_OF: Final = {
    ("legacy", "DynamoDB"): 10,
    ("standard", "DynamoDB"): 4,
    ("standard", "DynamoDBStreams"): 4,
    ("adaptive", "DynamoDB"): 4,
    ("adaptive", "DynamoDBStreams"): 4,
}
"""Attempts by mode and service, where nothing is configured."""


def _of_botocore(client: object) -> int | None:
    config = entries(at(client, "meta", "_client_config", "retries"))
    if config is None:
        return None
    mode = config.get("mode")
    mode = mode if is_a(mode, str) else "legacy"
    usual = _ATTEMPTS_OF.get((mode, name_of(type(client))), _ATTEMPTS.get(mode))
    attempts = number(config.get("total_max_attempts", usual))
    return None if attempts is None else max(attempts - 1, 0)


# google-genai


def _of_genai(client: object) -> int | None:
    api = at(client, "_api_client")
    attempts = number(at(api, "_retry", "stop", "max_attempt_number"))
    if attempts is None:
        return None
    # Without options it repeats nothing but what aiohttp lost the connection of, and that once.
    is_implicit = at(api, "_http_options", "retry_options") is None and "aiohttp" in sys.modules
    return max(attempts - 1, int(is_implicit))


_BOTO: Final = '(..., config=Config(retries={"total_max_attempts": 1}))'
SDKS: Final = {
    "stripe._stripe_client.StripeClient": Kind(
        retries=_of_stripe, silence=_silence_stripe, fix="{client}(..., max_network_retries=0)"
    ),
    "botocore.client.BaseClient": Kind(retries=_of_botocore, silence=None, fix=f"boto3.client{_BOTO}"),
    "boto3.resources.base.ServiceResource": Kind(
        retries=lambda resource: _of_botocore(at(resource, "meta", "client")),
        silence=None,
        fix=f"boto3.resource{_BOTO}",
    ),
    "google.genai.client.Client": Kind(
        retries=_of_genai,
        silence=None,
        fix="genai.Client(..., http_options=HttpOptions(retry_options=HttpRetryOptions(attempts=1)))",
        library="google-genai",
    ),
}
"""The kinds by the class that all of a kind inherit from."""


# Modules whose functions share a client


def _silence_urllib3(module: Any) -> object:
    silence_manager(at(module, "_DEFAULT_POOL"))
    return module


def _setting(module: str, name: str) -> Kind:
    """Return the kind of a module that has a setting for its own client."""

    def silence(client: Any) -> object:
        setattr(client, name, 0)
        return client

    return Kind(retries=lambda client: number(at(client, name)), silence=silence, fix=f"{module}.{name} = 0")


MODULES: Final = {
    "stripe": _setting("stripe", "max_network_retries"),
    "openai": _setting("openai", "max_retries"),
    "urllib3": Kind(
        retries=lambda module: of_retry(of_manager(at(module, "_DEFAULT_POOL"))),
        silence=_silence_urllib3,
        fix="urllib3.request(..., retries=False)",
    ),
}
"""The kinds by the module's name."""
