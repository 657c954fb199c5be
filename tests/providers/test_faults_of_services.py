"""What Stripe, AWS and the model providers say in ways of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import boto3
import openai
import pytest
import stripe
from misbehaving import (
    Server,
    answer,
    nobody,
)
from senders import (
    NOW,
    anthropic_at,
    aws,
    by_boto3,
    by_openai,
    by_stripe,
    error_of,
    openai_at,
    short,
    verdict,
)

from holdfast._core.fault import fault_of


@pytest.mark.parametrize("at", [openai_at, anthropic_at])
def test_a_refused_question_to_a_model_is_no_evidence_of_a_write(at: Callable[..., Any]) -> None:
    """RET-10: it is a POST, but it changes nothing."""

    def ask() -> None:
        with at(server.url) as client:
            if isinstance(client, openai.OpenAI):
                client.chat.completions.create(model="m", messages=[])
            client.messages.create(model="m", messages=[], max_tokens=1)

    with Server(answer(429)) as server:
        fault = verdict(ask)

    assert short(fault) == ("rate_limited", "throttle", True)


def test_an_account_that_is_used_up_is_not_waited_for() -> None:
    """RET-08: OpenAI says 429, but waiting does not help."""
    body = b'{"error": {"code": "insufficient_quota", "type": "insufficient_quota", "message": "x"}}'
    with Server(answer(429, body, retry_after="1")) as server:
        fault = verdict(partial(by_openai, "POST", server.url))

    assert short(fault) == ("permanent", "client", True)


@pytest.mark.parametrize("at", [openai_at, anthropic_at])
def test_a_stream_that_ends_in_an_error_is_the_servers_fault(at: Callable[..., Any]) -> None:
    """RET-06: the status was 200."""
    body = b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}\n\n'

    def ask() -> None:
        with at(server.url) as client:
            if isinstance(client, openai.OpenAI):
                list(client.chat.completions.create(model="m", messages=[], stream=True))
            list(client.messages.create(model="m", messages=[], max_tokens=1, stream=True))

    with Server(answer(200, body, content_type="text/event-stream")) as server:
        fault = verdict(ask)

    assert short(fault) == ("ambiguous", "server", True)


STRIPE_KEY: Final = {"idempotency_key": "k", "request_id": "req_1"}


@pytest.mark.parametrize(
    ("status", "error", "headers", "expected"),
    [
        (402, {"type": "card_error", "code": "card_declined"}, STRIPE_KEY, ("permanent", "client", False)),
        (402, {"type": "card_error", "code": "card_declined"}, {}, ("permanent", "client", True)),
        (400, {"type": "invalid_request_error"}, STRIPE_KEY, ("permanent", "client", False)),
        (400, {"type": "idempotency_error"}, STRIPE_KEY, ("permanent", "client", True)),
        (400, {"code": "rate_limit"}, STRIPE_KEY, ("rate_limited", "throttle", False)),
        (429, {"code": "lock_timeout"}, STRIPE_KEY, ("rate_limited", "throttle", True)),
        (409, {"type": "idempotency_error"}, STRIPE_KEY, ("transient", "client", True)),
        (401, {"type": "invalid_request_error"}, STRIPE_KEY, ("auth", "auth", True)),
        (500, {"type": "api_error"}, STRIPE_KEY, ("ambiguous", "server", True)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_stripe_refuses_a_write_for_good_once_its_key_is_on_record(
    status: int, error: dict[str, str], headers: dict[str, str], expected: tuple[str, str, bool]
) -> None:
    """RET-10, RET-19: with the key echoed, all repetitions of the SDK's had this same answer.

    Not so for what Stripe says before it looks at the key, and for a key that was used otherwise before.
    """
    body = str({"error": {"message": "x", **error}}).replace("'", '"').encode()
    with Server(answer(status, body, **headers)) as server:
        fault = verdict(partial(by_stripe, "POST", server.url))

    assert (short(fault), fault.status) == (expected, status)


def test_stripe_without_a_key_of_ours_is_an_authentication_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """RET-09: the SDK refuses by itself."""
    monkeypatch.setattr(stripe, "api_key", None)
    error = error_of(partial(stripe.Customer.create, name="Ada"))

    assert isinstance(error, stripe.AuthenticationError)
    assert short(fault_of(error, now=NOW)) == ("auth", "auth", True)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "Throttling", ("rate_limited", "throttle", False)),
        (400, "ThrottledException", ("rate_limited", "throttle", False)),
        (400, "RequestLimitExceeded", ("rate_limited", "throttle", False)),
        (400, "ProvisionedThroughputExceededException", ("rate_limited", "throttle", False)),
        (503, "SlowDown", ("rate_limited", "throttle", True)),
        (403, "TooManyRequestsException", ("rate_limited", "throttle", False)),
        (400, "ExpiredToken", ("auth", "auth", False)),
        (400, "UnrecognizedClientException", ("auth", "auth", False)),
        (400, "AccessDeniedException", ("auth", "auth", False)),
        (403, "SignatureDoesNotMatch", ("auth", "auth", False)),
        (403, "InvalidClientTokenId", ("auth", "auth", False)),
        (400, "RequestTimeout", ("ambiguous", "server", True)),
        (400, "InvalidParameter", ("permanent", "client", False)),
        (404, "NotFound", ("permanent", "client", False)),
        (500, "InternalError", ("ambiguous", "server", True)),
    ],
)
def test_the_codes_of_aws_say_more_than_their_status(
    status: int, code: str, expected: tuple[str, str, bool]
) -> None:
    """RET-03, RET-05, RET-09."""
    body = f'{{"__type": "{code}", "message": "x"}}'.encode()
    with Server(answer(status, body, retry_after="5")) as server:
        write = verdict(partial(by_boto3, "POST", server.url))
        read = verdict(partial(by_boto3, "GET", server.url))

    assert (short(write), write.status, write.retry_after_s) == (expected, status, 5.0)
    assert read.kind == write.kind
    assert read.may_have_acted


def test_boto3_without_credentials_is_an_authentication_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """RET-09."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    client = boto3.session.Session().client("sqs", region_name="eu-central-1", endpoint_url=nobody())

    fault = verdict(client.list_queues)

    assert short(fault) == ("auth", "auth", True)


def test_parameters_that_boto3_refuses_do_not_fit_their_schema() -> None:
    """RET-07."""
    with aws("sqs", nobody()) as client:
        fault = verdict(partial(client.send_message, MessageBody=7))

    assert short(fault) == ("schema", "schema", True)
