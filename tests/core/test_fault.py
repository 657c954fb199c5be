"""Any error gets a verdict: what became of the request, who is to blame, and what that proves."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

import pytest
from faulty import NOW, judge, kind_of, make, refused, request, short

from holdfast._core.fault import Cause, Fault, FaultKind, fault_of_response
from holdfast._core.fault_names import MEANINGS, Meaning
from holdfast.errors import InvalidTool, OutcomeUnknown

# Who is to blame


@pytest.mark.parametrize("cause", Cause)
def test_a_breaker_counts_the_faults_that_the_dependency_is_to_blame_for(cause: Cause) -> None:
    """RET-16."""
    fault = Fault(kind=FaultKind.AMBIGUOUS, cause=cause, may_have_acted=True, why="x")

    assert fault.blames_dependency is (cause in {Cause.NETWORK, Cause.SERVER, Cause.THROTTLE})
    assert fault.is_recognised is (cause is not Cause.CODE)


# Statuses

EXCEPTIONS: Final = {
    401: ("auth", "auth"),
    403: ("auth", "auth"),
    407: ("auth", "auth"),
    408: ("ambiguous", "server"),
    409: ("transient", "client"),
    425: ("transient", "server"),
    429: ("rate_limited", "throttle"),
    460: ("ambiguous", "server"),
    499: ("ambiguous", "server"),
    501: ("permanent", "server"),
    505: ("permanent", "server"),
}


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_has_its_verdict_and_only_the_refusal_of_a_write_is_evidence(status: int) -> None:
    """RET-03, RET-05, RET-06, RET-08, RET-09, RET-10."""
    expected = EXCEPTIONS.get(status, ("permanent", "client") if status < 500 else ("ambiguous", "server"))
    is_refusal = status < 500 and expected[0] != "ambiguous"
    of_response, of_read = (
        fault_of_response(SimpleNamespace(status=status, headers={}, request=request(method)), now=NOW)
        for method in ("DELETE", "GET")
    )

    assert short(refused(status)) == (*expected, not is_refusal)
    assert short(refused(status, "GET")) == (*expected, True)
    assert judge(refused(status)).status == status
    assert of_response is not None
    assert of_read == replace(of_response, may_have_acted=True)
    assert (of_response.kind, of_response.cause, of_response.may_have_acted) == (*expected, not is_refusal)


@pytest.mark.parametrize("status", [100, 200, 204, 302, 399, 0, -1, 600, 10**30, True, 4.5e2, "404", None])
def test_what_is_no_error_status_is_no_fault_of_a_response(status: object) -> None:
    """RET-03."""
    assert fault_of_response(SimpleNamespace(status_code=status, headers={}), now=NOW) is None
    assert short(make("shop.Trouble", status=status)) == ("ambiguous", "code", True)


@pytest.mark.parametrize("field", ["status", "status_code", "http_status"])
def test_a_status_is_found_by_any_of_its_names_on_the_error_or_its_response(field: str) -> None:
    """RET-03."""
    response = SimpleNamespace(**{field: 429})

    assert judge(make("shop.Trouble", **{field: 429})).status == 429
    assert judge(make("shop.Trouble", response=response)).status == 429
    assert judge(make("shop.Trouble", response={field: 429})).status == 429
    assert judge(make("shop.Trouble", resp=response)).status is None


# Evidence

SOURCES: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "the error's request": lambda method: {"request": request(method)},
    "its response's request": lambda method: {"response": SimpleNamespace(request=request(method))},
    "its response": lambda method: {"response": SimpleNamespace(method=method)},
    "aiohttp's request_info": lambda method: {"request_info": request(method)},
    "the error itself": lambda method: {"method": method},
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize(
    ("method", "is_evidence"),
    [
        *((method, True) for method in ("POST", "PUT", "PATCH", "DELETE", "post")),
        *((method, False) for method in ("GET", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "", 7)),
    ],
)
def test_a_refusal_is_evidence_if_it_tells_of_a_write(
    source: Callable[[str], dict[str, Any]], method: Any, *, is_evidence: bool
) -> None:
    """RET-10, IDE-16: a write may come before the read that was refused."""
    assert judge(make("shop.Trouble", status=409, **source(method))).may_have_acted is not is_evidence


def test_a_refusal_that_tells_nothing_of_its_request_is_no_evidence() -> None:
    """RET-10."""
    assert short(make("shop.Trouble", status=400)) == ("permanent", "client", True)
    assert short(make("httpx.ConnectError")) == ("transient", "network", True)
    assert short(ConnectionRefusedError()) == ("transient", "network", True)


def test_a_refusal_that_tells_of_a_write_and_of_a_read_is_no_evidence() -> None:
    """RET-10."""
    error = refused(409)
    error.response.request = request("GET")  # type: ignore[attr-defined]

    assert short(error) == ("transient", "client", True)


@pytest.mark.parametrize(
    ("operation", "is_write"),
    [
        *((name, True) for name in ("PutObject", "SendMessage", "Publish", "Invoke", "TransactWriteItems")),
        *(
            (name, True)
            for name in ("CreateStack", "BatchWriteItem", "StartExecution", "DeleteItem", "Update")
        ),
        *((name, False) for name in ("GetItem", "ListQueues", "HeadObject", "Query", "Scan", "BatchGetItem")),
        *(
            (name, False)
            for name in ("CreateSession", "StartQuery", "AssumeRole", "InvokeModel", "Settle", "")
        ),
    ],
)
def test_an_operation_of_aws_is_evidence_if_its_name_is_a_writes_for_certain(
    operation: str, *, is_write: bool
) -> None:
    """RET-10."""
    answer = {"Error": {"Code": "Nope"}, "ResponseMetadata": {"HTTPStatusCode": 400, "RetryAttempts": 0}}
    error = make("botocore.ClientError", response=answer, operation_name=operation)

    assert short(error) == ("permanent", "client", not is_write)


@pytest.mark.parametrize("attempts", [1, None, "0"])
def test_an_operation_of_aws_that_was_not_sent_once_for_certain_is_no_evidence(attempts: object) -> None:
    """RET-10, RET-19."""
    answer = {"ResponseMetadata": {"HTTPStatusCode": 400, "RetryAttempts": attempts}}
    error = make("botocore.ClientError", response=answer, operation_name="PutObject")

    assert short(error) == ("permanent", "client", True)


def test_an_operation_of_aws_without_a_status_is_judged_by_its_code() -> None:
    """RET-05, RET-09."""

    def error(code: str) -> BaseException:
        answer = {"Error": {"Code": code}, "ResponseMetadata": {"RetryAttempts": 0}}
        return make("botocore.ClientError", response=answer, operation_name="PutObject")

    assert short(error("SlowDown")) == ("rate_limited", "throttle", False)
    assert short(error("ExpiredTokenException")) == ("auth", "auth", False)
    assert short(error("RequestTimeoutException")) == ("ambiguous", "server", True)
    assert short(error("Odd")) == ("ambiguous", "server", True)


@pytest.mark.parametrize("package", ["azure", "google"])
def test_a_client_that_repeats_without_saying_so_gives_no_evidence(package: str) -> None:
    """RET-10, RET-19."""
    assert short(make(f"{package}.core.Refused", status=409, method="POST")) == ("transient", "client", True)


@pytest.mark.parametrize(("count", "is_evidence"), [("0", True), ("1", False), ("", False), (2, False)])
def test_a_numbered_repetition_is_no_evidence(count: object, *, is_evidence: bool) -> None:
    """RET-10, RET-19."""
    sent = SimpleNamespace(method="DELETE", headers={"X-Stainless-Retry-Count": count})
    response = SimpleNamespace(request=sent, status_code=400)

    assert judge(make("openai.Refused", request=sent, status=400, method="DELETE")).may_have_acted
    assert judge(make("shop.Refused", request=sent, status=400)).may_have_acted is not is_evidence
    assert judge(make("shop.Refused", response=response)).may_have_acted is not is_evidence


@pytest.mark.parametrize(
    "path",
    [
        "/v1/audio/transcriptions",
        "/v1/images/generations",
        "/v1/responses/input_tokens",
        "/vertex-ai/",  # as litellm makes up its requests
        "/v1/files",  # a write, but nothing tells
        None,
    ],
)
@pytest.mark.parametrize(
    "package", ["openai", "anthropic", "litellm", "groq", "mistralai", "cohere", "together"]
)
def test_what_the_sdk_of_a_model_sends_is_a_question_wherever_it_goes(package: str, path: str | None) -> None:
    """RET-10: the handler's write came before it, and its refusal says nothing of that."""
    sent = request(url=SimpleNamespace(path=path))

    assert judge(make(f"{package}.RateLimitError", status_code=429, request=sent)).may_have_acted


@pytest.mark.parametrize(
    ("path", "is_evidence"),
    [
        *((path, True) for path in ("/charges", "/v1/files", "/v3/acme.example/messages", "", "/")),
        *((path, True) for path in ("/channels/7/messages", "/v1/messages/batches", "/survey/responses")),
        *(
            (path, False)
            for path in ("/v1/chat/completions", "/openai/v1/chat/completions/", "/v1/embeddings")
        ),
        *((path, False) for path in ("/v1/messages", "/api/v1/responses", "/openai/responses", "/messages")),
        *((path, False) for path in ("/v2/chat", "/api/generate", "/graphql", "/orders/_search")),
        *(
            (path, False)
            for path in ("/model/m:0/invoke", "/model/m/converse-stream", "/m/x:generateContent")
        ),
        (None, True),
    ],
)
@pytest.mark.parametrize("form", ["object", "text"])
def test_a_question_by_post_is_no_write_whatever_the_client(
    path: str | None, form: str, *, is_evidence: bool
) -> None:
    """RET-10, IDE-16: the one write came before it, and its refusal says nothing of that."""
    text = None if path is None else f"https://u:p@api.test:8443{path}?path=/charges#/charges"
    sent = request(url=SimpleNamespace(path=path) if form == "object" else text)

    error = make("acme.RateLimitError", status_code=429, request=sent)

    assert judge(error).may_have_acted is not is_evidence


# Names

EXPECTED: Final = {
    Meaning.UNSENT: ("transient", "network", False),
    Meaning.UNTRUSTED: ("permanent", "network", False),
    Meaning.UNUSABLE: ("permanent", "client", False),
    Meaning.THROTTLED: ("rate_limited", "throttle", False),
    Meaning.ABANDONED: ("permanent", "client", True),
    Meaning.UNANSWERED: ("ambiguous", "network", True),
    Meaning.WRAPPED: ("ambiguous", "network", True),
    Meaning.SENSELESS: ("ambiguous", "server", True),
    Meaning.UNAUTHORISED: ("auth", "auth", True),
    Meaning.MISFIT: ("schema", "schema", True),
}
UNCOUNTED: Final = ("stripe.", "botocore.")


@pytest.mark.parametrize("name", MEANINGS)
def test_a_known_name_has_its_verdict_and_subclasses_share_it(name: str) -> None:
    """RET-03, RET-04, RET-07, RET-09."""
    kind, cause, may_have_acted = EXPECTED[MEANINGS[name]]
    sent = request(url=SimpleNamespace(path="/v1/files"))
    error = make(name, request=sent)
    heir = type("Heir", (kind_of(name),), {"__module__": "shop"})()

    assert short(error) == (kind, cause, may_have_acted or name.startswith(UNCOUNTED))
    assert short(heir) == (kind, cause, True), "nothing tells of a write"
    assert judge(error).is_recognised


@pytest.mark.parametrize("package", ["pydantic_core", "jsonschema", "marshmallow", "shop"])
@pytest.mark.parametrize("name", ["ValidationError", "SchemaMismatch"])
def test_a_mismatch_is_known_by_its_name_whoever_says_so(package: str, name: str) -> None:
    """RET-07: it may be about the answer, so the write may have been done."""
    assert short(make(f"{package}.{name}", request=request())) == ("schema", "schema", True)


@pytest.mark.parametrize(
    "error",
    [
        ValueError(), KeyError("x"), TypeError(), AssertionError(), NotImplementedError(), RuntimeError(), OSError(),
        FileNotFoundError(), PermissionError(), OSError(errno.ENOSPC, "full"), EOFError(), StopIteration(),
        KeyboardInterrupt(), SystemExit(404), GeneratorExit(), OutcomeUnknown("k", "x"), make("shop.ConnectError"),
        make("redis.ConnectionError"), make("shop.NotFound", code=404), Exception(404), UnicodeError(),
    ],
    ids=repr,
)  # fmt: skip
def test_an_error_that_nothing_is_known_of_is_doubt_and_blames_nobody(error: BaseException) -> None:
    """RET-03, IDE-16."""
    assert short(error) == ("ambiguous", "code", True)
    assert not judge(error).blames_dependency


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionResetError(), ("ambiguous", "network")),
        (ConnectionAbortedError(), ("ambiguous", "network")),
        (BrokenPipeError(), ("ambiguous", "network")),
        (TimeoutError(), ("ambiguous", "network")),
        (OSError(errno.ETIMEDOUT, "x"), ("ambiguous", "network")),
        (OSError(errno.EHOSTUNREACH, "x"), ("ambiguous", "network")),
        (OSError(errno.ENETUNREACH, "x"), ("ambiguous", "network")),
        (OSError(errno.ECONNREFUSED, "x"), ("transient", "network")),
        (ssl.SSLError(), ("ambiguous", "network")),
        (ssl.SSLEOFError(), ("ambiguous", "network")),
        (ssl.SSLCertVerificationError(), ("permanent", "network")),
    ],
    ids=repr,
)
def test_an_error_of_the_operating_system_says_how_far_it_came(
    error: BaseException, expected: tuple[str, str]
) -> None:
    """RET-03, RET-04."""
    assert short(error) == (*expected, True)


@pytest.mark.parametrize(
    "given",
    [{"kind": "nonsense"}, {"cause": "nonsense"}, {"may_have_acted": None}, {"may_have_acted": "no"}],
    ids=str,
)
def test_a_fault_that_says_nothing_known_is_refused(given: dict[str, Any]) -> None:
    """RET-01: an author's classifier that raises has told nothing, and the default decides."""
    sound: dict[str, Any] = {"kind": "permanent", "cause": "client", "may_have_acted": False, "why": "x"}

    with pytest.raises(InvalidTool, match="Fault"):
        Fault(**{**sound, **given})
    assert (Fault(**sound).kind, Fault(**sound).cause) == (FaultKind.PERMANENT, Cause.CLIENT)
