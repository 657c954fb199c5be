"""How providers and models are called: one alias format, and the spellings that mean the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from holdfast.errors import InvalidPrice

_PROVIDERS: Final = {
    # What OpenTelemetry, SDKs and routers call them; the prices' own names are on the right.
    "anthropic_vertex": "google",
    "aws.bedrock": "aws",
    "amazon-bedrock": "aws",
    "bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "google-vertex": "google",
    "vertex": "google",
    "vertex_ai": "google",
    "fireworks_ai": "fireworks",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "together_ai": "together",
    "togetherai": "together",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
_SNAPSHOT: Final = re.compile(r"[-@](?:latest|20\d\d-?[01]\d-?[0-3]\d)$", re.ASCII)
_MOST_HOPS: Final = 8


def provider_name(provider: str) -> str:
    """Return what the prices call a provider."""
    plain = provider.strip().lower()
    return _PROVIDERS.get(plain, plain)


def spellings(model: str) -> tuple[str, ...]:
    """Return the names by which a model's price may be given: as asked, and without a snapshot's date."""
    plain = model.strip().lower()
    return tuple(dict.fromkeys((plain, _SNAPSHOT.sub("", plain))))


def split(alias: str) -> tuple[str, str]:
    """Return provider and model of ``provider/model``; an empty provider where none is named."""
    before, slash, after = alias.strip().partition("/")
    return (provider_name(before), after) if slash else ("", before)


class Aliases:
    """Names that users give to models.

    Args:
        aliases: From a name, or a ``provider/model``, to a ``provider/model`` or another name.

    Raises:
        InvalidPrice: They go round in circles.
    """

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self._targets = {_key(*split(name)): target for name, target in aliases.items()}
        for name in aliases:
            self.follow(*split(name))

    def follow(self, provider: str, model: str) -> tuple[str, str]:
        """Return what a name means in the end; the name itself if it is none of these."""
        for _ in range(_MOST_HOPS):
            target = self._targets.get(_key(provider, model))
            if target is None:
                return provider, model
            provider, model = split(target)
        raise InvalidPrice(model, "its alias leads round in circles", "let it name a provider's model")


def _key(provider: str, model: str) -> tuple[str, str]:
    return provider, model.strip().lower()
