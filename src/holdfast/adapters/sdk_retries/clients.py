"""Reading and switching off a client's own retries."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Final, TypeVar, cast

from holdfast.adapters.sdk_retries.http_clients import HTTP_CLIENTS
from holdfast.adapters.sdk_retries.kind import Kind
from holdfast.adapters.sdk_retries.sdks import MODULES, SDKS, STAINLESS
from holdfast.adapters.sdk_retries.stored import is_a, kinds, name_of, place_of, stored

log: Final = logging.getLogger("holdfast")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRetries:
    """How often a client sends again what it was asked to send once.

    Attributes:
        library: The package that the client is from, such as ``openai``.
        client: The name of its type, such as ``AsyncOpenAI``; or the module whose functions share a client.
        retries: Further attempts after the first, at most; which errors lead to them, the library decides.
            ``NO_LIMIT`` when it never gives up.
        can_be_set: Whether :func:`one_layer` can switch them off on this object.
        fix: What to write instead, such as ``OpenAI(..., max_retries=0)``.
    """

    library: str
    client: str
    retries: int
    can_be_set: bool
    fix: str


def client_retries(client: object) -> ClientRetries | None:
    """Say how often *client* retries by itself; ``None`` when it is nothing that is known here.

    A client that does not retry is known, with 0. The modules ``stripe``, ``openai`` and ``urllib3``, and
    what is used from them without a client, stand for the client that the whole module shares. Never
    raises, and runs no code of the client's.
    """
    known = _known(client)
    return None if known is None else known.retries


def one_layer(client: T) -> T:
    """Return *client* without retries of its own, so that one attempt of ours is one request.

    Use what is returned. Clients of openai, anthropic and their like are copied, and the copy shares the
    connections (whose own attempts to connect, if more than one, become one for both); all others are
    changed in place, wherever they are used. What cannot be changed is returned as it is, and a warning in
    the log ``holdfast`` says what to write instead.
    """
    known = _known(client)
    if known is None:
        log.warning(
            "%s is no client that holdfast knows, and may retry by itself: look into its documentation",
            place_of(kinds(client)[0]),
        )
        return client
    if known.retries.retries and known.kind.silence is not None:
        quiet = known.kind.silence(known.subject)
        if known.subject is client:  # else it is the module that was set
            client = cast("T", quiet)  # the same object, or a copy of the same type
    after = client_retries(client)
    if after is None or after.retries:
        log.warning(
            "the %s client %s retries by itself, which multiplies the attempts of the policy: write %s",
            known.retries.library,
            known.retries.client,
            known.retries.fix,
        )
    return client


def used(module: ModuleType, attribute: str) -> object:
    """Return what ``module.attribute`` is: the module, where it uses the client that all of it shares."""
    value = stored(module).get(attribute)
    uses = {
        # Classes whose methods send requests. They are imported when first asked for, so the name must do.
        "stripe": attribute[:1].isupper() and not attribute.endswith(("Client", "Error", "Webhook")),
        "openai": _subject(value) is not value,
        "urllib3": attribute == "request",
    }
    return module if uses.get(_name(module), False) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A client of a kind that is known.

    Attributes:
        subject: What keeps the retries: the client itself, or the module whose client it uses.
    """

    subject: object
    kind: Kind
    retries: ClientRetries


def _known(client: object) -> _Known | None:
    subject = _subject(client)
    library, kind = _library(subject)
    retries = None if kind is None else kind.retries(subject)
    if kind is None or retries is None:
        return None
    name = library if client is subject and is_a(client, ModuleType) else name_of(kinds(client)[0])
    told = ClientRetries(
        library=library,
        client=name,
        retries=retries,
        can_be_set=kind.silence is not None,
        fix=kind.fix.replace("{client}", name),
    )
    return _Known(subject=subject, kind=kind, retries=told)


def _library(subject: object) -> tuple[str, Kind | None]:
    """Return where a client is from, and of which kind it is."""
    if is_a(subject, ModuleType):
        return _name(subject), MODULES.get(_name(subject))
    if is_a(subject, type):  # a class is not a client yet
        return "", None
    for place in map(place_of, kinds(subject)):
        library, _, rest = place.partition(".")
        kind = STAINLESS if rest == "_base_client.BaseClient" else HTTP_CLIENTS.get(place, SDKS.get(place))
        if kind is not None:
            return kind.library or library, kind
    return "", None


def _subject(client: object) -> object:
    """Return what keeps the retries: for ``stripe.Charge`` and ``openai.chat`` their modules."""
    if is_a(client, type):
        is_resource = "stripe._api_resource.APIResource" in map(place_of, kinds(client))
        return sys.modules.get("stripe") if is_resource else client
    is_proxy = place_of(type(client)).startswith("openai._module_client.")
    return sys.modules.get("openai") if is_proxy else client


def _name(module: ModuleType) -> str:
    name = stored(module).get("__name__")
    return name if is_a(name, str) else ""
