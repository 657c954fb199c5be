"""Which error of which library means what? A table of names, since none of the libraries is imported.

A name is the top-level package and the class, e.g. ``requests.ConnectionError``; the first one of an error's
MRO that is in the table counts. ``tests/providers/test_faults_of_sdks.py`` holds it against the libraries.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final


class Meaning(StrEnum):
    """What an error says of its request; the value is for people."""

    UNSENT = "never connected"
    UNTRUSTED = "certificate not trusted"
    UNANSWERED = "no whole answer"
    SENSELESS = "the answer is none"
    UNUSABLE = "cannot be sent as it is"
    ABANDONED = "given up by the client"
    THROTTLED = "too many requests"
    UNAUTHORISED = "no valid credentials"
    MISFIT = "does not fit its schema"
    WRAPPED = "connection failed"  #: what it wraps says more; if nothing does, it is unanswered


def _table(*rows: tuple[str, Meaning, str]) -> Mapping[str, Meaning]:
    return {
        f"{package}.{name}": meaning
        for packages, meaning, names in rows
        for package in packages.split()
        for name in names.split()
    }


_HTTPX: Final = "httpx httpx2 httpcore httpcore2"
_LLM: Final = "openai anthropic"

MEANINGS: Final = _table(
    (_HTTPX, Meaning.UNSENT, "ConnectError ConnectTimeout PoolTimeout ProxyError"),
    (_HTTPX, Meaning.UNANSWERED, "TransportError TimeoutException NetworkError ProtocolError DecodingError"),
    (_HTTPX, Meaning.UNUSABLE, "UnsupportedProtocol InvalidURL"),
    # HTTPStatusError below 400: a redirect that is not followed
    (_HTTPX, Meaning.ABANDONED, "TooManyRedirects LocalProtocolError HTTPStatusError"),
    ("requests", Meaning.UNSENT, "ConnectTimeout"),
    ("requests", Meaning.WRAPPED, "ConnectionError ProxyError SSLError RetryError"),
    ("requests", Meaning.UNANSWERED, "Timeout ChunkedEncodingError ContentDecodingError"),
    ("requests", Meaning.UNUSABLE, "InvalidURL MissingSchema InvalidSchema URLRequired InvalidJSONError"),
    # InvalidHeader may be about the answer's Retry-After
    ("requests", Meaning.ABANDONED, "TooManyRedirects InvalidHeader"),
    ("requests", Meaning.MISFIT, "JSONDecodeError"),
    ("urllib3", Meaning.UNSENT, "NewConnectionError ConnectTimeoutError EmptyPoolError"),
    # ClosedPoolError may come of a repetition; behind a proxy, a lost answer is called ProxyError as well
    ("urllib3", Meaning.WRAPPED, "MaxRetryError SSLError ProxyError ClosedPoolError"),
    ("urllib3", Meaning.UNTRUSTED, "CertificateError"),
    (
        "urllib3",
        Meaning.UNANSWERED,
        "ProtocolError TimeoutError IncompleteRead InvalidChunkLength DecodeError",
    ),
    ("urllib3", Meaning.UNUSABLE, "LocationValueError"),
    ("urllib3", Meaning.ABANDONED, "HostChangedError InvalidHeader"),
    ("aiohttp", Meaning.UNSENT, "ClientConnectorError ConnectionTimeoutError"),
    ("aiohttp", Meaning.UNTRUSTED, "ClientConnectorCertificateError ServerFingerprintMismatch"),
    ("aiohttp", Meaning.UNANSWERED, "ClientConnectionError ClientPayloadError UploadAbortedError"),
    ("aiohttp", Meaning.UNANSWERED, "HttpProcessingError"),
    ("aiohttp", Meaning.UNUSABLE, "InvalidURL NonHttpUrlClientError"),
    ("aiohttp", Meaning.ABANDONED, "TooManyRedirects"),
    ("aiohttp", Meaning.MISFIT, "ContentTypeError"),
    ("botocore", Meaning.UNSENT, "EndpointConnectionError ConnectTimeoutError ProxyConnectionError"),
    ("botocore", Meaning.WRAPPED, "ConnectionError SSLError HTTPClientError"),
    ("botocore", Meaning.UNANSWERED, "ConnectionClosedError ReadTimeoutError ResponseStreamingError"),
    ("botocore", Meaning.UNANSWERED, "IncompleteReadError"),
    ("botocore", Meaning.SENSELESS, "ClientError ResponseParserError"),
    ("botocore", Meaning.UNUSABLE, "BaseEndpointResolverError"),
    ("botocore", Meaning.UNAUTHORISED, "NoCredentialsError PartialCredentialsError CredentialRetrievalError"),
    ("botocore", Meaning.UNAUTHORISED, "NoAuthTokenError TokenRetrievalError UnauthorizedSSOTokenError"),
    ("botocore", Meaning.MISFIT, "ParamValidationError"),
    ("stripe", Meaning.WRAPPED, "APIConnectionError"),
    ("stripe", Meaning.SENSELESS, "APIError"),
    ("stripe", Meaning.THROTTLED, "RateLimitError"),
    ("stripe", Meaning.UNAUTHORISED, "AuthenticationError PermissionError"),
    (_LLM, Meaning.WRAPPED, "APIConnectionError"),
    (_LLM, Meaning.SENSELESS, "APIError"),  # with an error status that one counts; without, a stream broke
    (_LLM, Meaning.MISFIT, "APIResponseValidationError"),
    (_LLM, Meaning.UNAUTHORISED, "CredentialsError"),
    ("psycopg psycopg_pool", Meaning.UNSENT, "ConnectionTimeout PoolTimeout"),
    ("builtins", Meaning.UNSENT, "ConnectionRefusedError"),
    ("builtins", Meaning.UNANSWERED, "ConnectionError TimeoutError"),
    ("socket", Meaning.UNSENT, "gaierror herror"),
    ("ssl", Meaning.UNTRUSTED, "SSLCertVerificationError"),
    ("ssl", Meaning.UNANSWERED, "SSLError"),
    ("http", Meaning.UNANSWERED, "HTTPException"),
    ("http", Meaning.UNUSABLE, "InvalidURL"),
    ("urllib", Meaning.WRAPPED, "URLError"),
    ("asyncio", Meaning.UNANSWERED, "IncompleteReadError"),
    ("anyio", Meaning.UNANSWERED, "EndOfStream BrokenResourceError"),
    ("h11", Meaning.UNANSWERED, "RemoteProtocolError"),
    ("holdfast", Meaning.ABANDONED, "StreamBroken"),
)

_MISFITS: Final = frozenset({"ValidationError", "SchemaMismatch"})
"""Called so by whichever package: pydantic, jsonschema, marshmallow, msgspec, our own."""

NETWORK_ERRNOS: Final = frozenset(
    {
        errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ENETRESET,
        errno.ENOTCONN, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ESHUTDOWN,
    }
)  # fmt: skip
"""An ``OSError`` with one of these, and no class of its own, is of the network and not of a file."""

THROTTLING_CODES: Final = (
    "Throttl", "RequestThrottl", "EC2Throttl", "TooManyRequests", "ProvisionedThroughputExceeded", "SlowDown",
    "RequestLimitExceeded", "BandwidthLimitExceeded",
)  # fmt: skip
"""How AWS' codes for "not now" begin."""

AUTH_CODES: Final = (
    "AccessDenied", "AuthFailure", "ExpiredToken", "IncompleteSignature", "InvalidAccessKeyId",
    "InvalidClientTokenId", "InvalidSignature", "InvalidToken", "MissingAuthenticationToken", "NotAuthorized",
    "OptInRequired", "RequestExpired", "SignatureDoesNotMatch", "UnauthorizedOperation", "UnrecognizedClient",
)  # fmt: skip
"""How AWS' codes for "not you" begin."""


def class_names(of: object) -> tuple[str, ...]:
    """Return ``package.Class`` for each class that *of* is an instance of, the most specific first."""
    names: list[str] = []
    for cls in type(of).__mro__:
        module: Any = cls.__module__  # a class may set it to anything
        package = module.partition(".")[0] if isinstance(module, str) else ""
        names.append(f"{package}.{cls.__name__}")
    return tuple(names)


def meaning_of(names: Iterable[str]) -> Meaning | None:
    """Return what the first known one of *names* means; ``None`` when none is known."""
    for name in names:
        if name.rpartition(".")[2] in _MISFITS:
            return Meaning.MISFIT
        if name in MEANINGS:
            return MEANINGS[name]
    return None
