"""INT-13: every error has a code, a page in the docs, and survives a process boundary."""

from __future__ import annotations

import copy
import pickle
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast import errors
from holdfast.errors import AttemptInfo, HoldfastError

ROOT = Path(__file__).resolve().parents[2]
KEY = "v1:" + "a" * 64
NOW = datetime(2026, 11, 21, tzinfo=UTC)
ATTEMPT = AttemptInfo(number=1, started_at=NOW, ended_at=None, outcome="failed", error="CardDeclined")

EXAMPLES: dict[str, HoldfastError] = {
    "LoopDetected": errors.LoopDetected("order-123", "ping_pong", 4, "You go back and forth."),
    "AgentStuck": errors.AgentStuck("order-123", "steps", 25),
    "ApprovalDenied": errors.ApprovalDenied(KEY, "too much"),
    "ApprovalExpired": errors.ApprovalExpired(KEY, "nobody answered in time"),
    "ApprovalNotFound": errors.ApprovalNotFound("5f12c6"),
    "ApprovalVoid": errors.ApprovalVoid(KEY, "its row is not what the audit trail tells of it"),
    "DecisionRefused": errors.DecisionRefused("5f12c6", "voted", "ana has answered already"),
    "ApprovalRequired": errors.ApprovalRequired(KEY, "over 500"),
    "BudgetExceeded": errors.BudgetExceeded(
        "tenant", "usd", "day", used=7, held=2, cap=10, needed=3, key=KEY
    ),
    "CapConflict": errors.CapConflict("tenant", "usd", "day", 7_000_000, 2_000_000),
    "CapRefused": errors.CapRefused("tenant", "usd", "ben", "ben is nobody who may change caps"),
    "CircuitOpen": errors.CircuitOpen(KEY, "stripe", NOW),
    "CurrencyMismatch": errors.CurrencyMismatch("USD", "EUR"),
    "EffectCancelled": errors.EffectCancelled(KEY),
    "EffectFailed": errors.EffectFailed(
        KEY, "CardDeclined", "no funds", "retryable", [ATTEMPT], spent=True, retry_at=NOW
    ),
    "EffectNotFound": errors.EffectNotFound(KEY),
    "ExecutionTaken": errors.ExecutionTaken("order-123", "worker-7"),
    "EngineUnavailable": errors.EngineUnavailable("order-123", "connection refused"),
    "InformationRequested": errors.InformationRequested(
        KEY, "over 500", "5f12c6", NOW, "which invoice?", "ana", "5f12c6-1"
    ),
    "InProgress": errors.InProgress(KEY, NOW),
    "InvalidCall": errors.InvalidCall("what is wrong", "what to do"),
    "InvalidPolicy": errors.InvalidPolicy("pay.yaml:7", "rule big", "what is wrong", "what to do"),
    "InvalidPrice": errors.InvalidPrice("openai/x, input", "what is wrong", "what to do"),
    "InvalidTool": errors.InvalidTool("what is wrong", "what to do"),
    "InvalidURL": errors.InvalidURL("ftp://x", "names no store"),
    "LeaseLost": errors.LeaseLost(KEY, "succeeded"),
    "LedgerClosed": errors.LedgerClosed(),
    "MissingExtra": errors.MissingExtra("postgres", "psycopg"),
    "NonDeterminism": errors.NonDeterminism(3, "step 'a'", "step 'b'"),
    "NotResolvable": errors.NotResolvable(KEY, "succeeded"),
    "NoteTooLarge": errors.NoteTooLarge(70_000, 65_536, "bytes", "max_memory_bytes"),
    "NotSerializable": errors.NotSerializable("$.a", "is a set", KEY),
    "OutcomeUnknown": errors.OutcomeUnknown(KEY, "attempt 1 ended without evidence"),
    "PayloadConflict": errors.PayloadConflict(KEY, ["$.amount"], ("a" * 64, "b" * 64)),
    "PayloadSealed": errors.PayloadSealed(KEY, "the payload is sealed"),
    "PolicyDenied": errors.PolicyDenied("charge", "after hours"),
    "SchemaMismatch": errors.SchemaMismatch("what is wrong", "what to do"),
    "SchemaOutdated": errors.SchemaOutdated([], ["0001_pre_initial"]),
    "StepCollision": errors.StepCollision("research", "ask", "ask", ["$.0"]),
    "StepFailed": errors.StepFailed("plan", "ValueError", "no", 3),
    "StoreInvariant": errors.StoreInvariant("record an outcome", "its row vanished", KEY),
    "StoreUnavailable": errors.StoreUnavailable("commit a change", "connection refused", KEY),
    "UnknownWorkflow": errors.UnknownWorkflow("support", ["refund"]),
    "UnboundedRequest": errors.UnboundedRequest("openai/gpt-5", "tenant", ["messages[0]: a document"]),
    "UnpricedModel": errors.UnpricedModel("openai", "gpt-99", "it has no price"),
    "VersionMismatch": errors.VersionMismatch("order-123", "1", "2", "missing argument 'amount'"),
    "WindowExceeded": errors.WindowExceeded(9000, 8000),
    "WorkflowConflict": errors.WorkflowConflict("order-123", "another input"),
    "WorkflowFailed": errors.WorkflowFailed("order-123", "ValueError", "no"),
    "WorkflowNotFound": errors.WorkflowNotFound("order-123"),
    "WorkflowStopped": errors.WorkflowStopped("order-123", "authentication failed"),
    "WorkflowWaiting": errors.WorkflowWaiting("order-123", "signal 'go'"),
}
ABSTRACT = {"HoldfastError", "StoreError"}
NO_ERRORS_OF_OURS = {
    "NotDone",
    "Permanent",
    "AttemptInfo",
    "Suspended",
}  # raised by handlers; a value; a pause
NEXT_STEP = re.compile(
    r"`holdfast|what to do|Open the ledger with the codec|call again|call it again|Use another|use (another|sqlite)|open a new Ledger|pip install"
    r"|it is final|nothing ran|only doubt can be resolved|return a JSON value"
    r"|give prices and caps|give its price|run it again|behind ctx\.patched|give each a name|import the module|goes on when"
)


def test_every_public_error_has_an_example_here() -> None:
    """INT-13."""
    assert EXAMPLES.keys() | ABSTRACT | NO_ERRORS_OF_OURS == set(errors.__all__)


@pytest.mark.parametrize("error", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_an_error_survives_pickling_and_copying(error: HoldfastError) -> None:
    """INT-13."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert (str(twin), twin.args) == (str(error), error.args)
        assert vars(twin) == vars(error)


@pytest.mark.parametrize("error", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_an_error_says_what_which_and_what_next(error: HoldfastError) -> None:
    """INT-13: in one line, with the key whole, so that it can be pasted after a command."""
    text = str(error)

    assert "\n" not in text
    assert NEXT_STEP.search(text), text
    key = getattr(error, "key", None)
    assert key is None or key in text


def test_codes_are_unique_slugs() -> None:
    """INT-13."""
    codes = [getattr(errors, name).code for name in (*EXAMPLES, *ABSTRACT)]

    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("error", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_an_errors_code_is_its_anchor_in_the_docs(error: HoldfastError) -> None:
    """INT-13."""
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    anchors = re.findall(r"""\{ *#([\w-]+) *\}|id=["']([\w-]+)["']""", page)
    known = {part for pair in anchors for part in pair} | {re.sub(r"[^\w-]", "", h.lower()) for h in headings}

    assert error.code in known


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"AttemptInfo"}))
def test_every_error_is_documented_where_it_is_defined(name: str) -> None:
    """INT-13."""
    assert getattr(errors, name).__doc__.strip()
    assert re.search(rf"^[ *+-]+{name}\b", errors.__doc__ or "", re.MULTILINE)
