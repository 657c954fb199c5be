"""Settings out of range, variables that cannot be read, keys of the wrong length: said before anything opens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from holdfast import Ledger, Settings, SyncLedger
from holdfast.codecs import AesGcmCodec
from holdfast.errors import InvalidTool
from holdfast.settings import from_environment

OUT_OF_RANGE: list[tuple[dict[str, Any], str]] = [
    ({"lease": 0}, "Settings.lease=0 is not a positive length of time"),
    ({"lease": -1}, "Settings.lease=-1"),
    ({"lease": float("nan")}, "Settings.lease=nan"),
    ({"lease": float("inf")}, "Settings.lease=inf"),
    ({"lease": "soon"}, "'1h30m'"),
    ({"lease": None}, "Settings.lease=None"),
    ({"lease": timedelta(0)}, "Settings.lease"),
    ({"lease": True}, "Settings.lease=True"),
    ({"lease": 3, "renew_every": 2}, "more than half of lease=3; .*renew more often"),
    ({"renew_every": 0}, "Settings.renew_every=0"),
    ({"reconcile_skew": -1}, "Settings.reconcile_skew"),
    ({"drain": "30 parsecs"}, "Settings.drain"),
    ({"store_patience": []}, "Settings.store_patience"),
    ({"pool_size": 0}, "Settings.pool_size=0 is not a count; give a whole number of at least 1"),
    ({"pool_size": 1.5}, "Settings.pool_size=1.5"),
    ({"pool_size": True}, "Settings.pool_size=True"),
    ({"handler_threads": -3}, "Settings.handler_threads"),
    ({"max_args_bytes": "1 MB"}, "Settings.max_args_bytes"),
    ({"max_result_bytes": 0}, "Settings.max_result_bytes"),
    ({"group_commit": "no"}, "Settings.group_commit"),
    ({"audit_key": "short"}, "at least 16 random characters"),
    ({"audit_key": b"0123456789abcdef"}, "Settings.audit_key"),
]


@pytest.mark.parametrize(("values", "says"), OUT_OF_RANGE, ids=lambda value: str(value)[:40])
def test_a_setting_out_of_range_is_refused_with_the_rule(values: dict[str, Any], says: str) -> None:
    """INT-13."""
    with pytest.raises(InvalidTool, match=says):
        Settings(**values)


VARIABLES = [
    ("HOLDFAST_LEASE", "soon"),
    ("HOLDFAST_LEASE", ""),
    ("HOLDFAST_LEASE", "-5"),
    ("HOLDFAST_POOL_SIZE", "many"),
    ("HOLDFAST_POOL_SIZE", "0"),
    ("HOLDFAST_GROUP_COMMIT", "maybe"),
    ("HOLDFAST_AUDIT_KEY", "short"),
]


@pytest.mark.parametrize("face", [Ledger, SyncLedger], ids=["async", "sync"])
@pytest.mark.parametrize(("name", "value"), VARIABLES)
def test_an_environment_variable_that_cannot_be_read_is_named(
    face: Any, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INT-13: nobody else knows where the value came from."""
    monkeypatch.setenv(name, value)

    with pytest.raises(InvalidTool, match=rf"\${name}\b"):
        face("memory://")


def test_variables_that_can_be_read_are_used() -> None:
    """INT-13."""
    read = from_environment(
        {
            "HOLDFAST_LEASE": "1m",
            "HOLDFAST_RENEW_EVERY": "2.5",
            "HOLDFAST_GROUP_COMMIT": "off",
            "HOLDFAST_URL": "x",
        }
    )

    assert (read.lease_s, read.renew_every_s, read.group_commit) == (60, 2.5, False)


def test_no_text_of_the_settings_shows_the_audit_key() -> None:
    """INT-13."""
    assert "hunter2" not in repr(Settings(audit_key="hunter2hunter2hunter2"))


KEYS: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    (({"k": b"short"},), {}, "has 5 bytes; give 32 random bytes"),
    (({"k": "x" * 32},), {}, "codec key 'k'.*32 random bytes"),
    (({},), {}, "name one with active="),
    (({"a": b"a" * 32, "b": b"b" * 32},), {}, "name one with active="),
    (({"a": b"a" * 32},), {"active": "b"}, "'b' is not among the keys"),
    ((b"a" * 32,), {}, "keys"),
]


@pytest.mark.parametrize(
    ("args", "options", "says"), KEYS, ids=["short", "text", "none", "two", "stranger", "bytes"]
)
def test_a_codec_key_that_cannot_be_used_is_refused_and_not_shown(
    args: tuple[Any, ...], options: dict[str, Any], says: str
) -> None:
    """STA-19."""
    with pytest.raises(InvalidTool, match=says) as refused:
        AesGcmCodec(*args, **options)

    assert "xxxx" not in str(refused.value)


SCOPES: list[tuple[dict[str, Any], str]] = [
    ({"tenant": ""}, "tenant.*name it"),
    ({"tenant": 7}, "tenant"),
    ({"tenant": "a\0"}, "tenant"),
    ({"tenant": "t" * 513}, "tenant"),
    ({"actor": ""}, "actor"),
    ({"actor": 7}, "actor"),
    ({"actor": "a\0"}, "actor"),
    ({"settings": {"lease": 5}}, "settings"),
    ({"codec": "aes"}, "codec"),
]


@pytest.mark.parametrize("face", [Ledger, SyncLedger], ids=["async", "sync"])
@pytest.mark.parametrize(("options", "says"), SCOPES, ids=lambda value: str(value)[:30])
def test_a_ledger_that_is_opened_with_nonsense_says_so_at_once(
    face: Any, options: dict[str, Any], says: str
) -> None:
    """IDE-11, INT-13."""
    with pytest.raises(InvalidTool, match=says):
        face("memory://", **options)


@pytest.mark.parametrize("face", [Ledger, SyncLedger], ids=["async", "sync"])
@pytest.mark.parametrize(
    "scope", [{"tenant": "a\0"}, {"tenant": 7}, {"actor": 7}, {"actor": "\ud800"}], ids=str
)
def test_a_scope_that_cannot_be_named_is_refused(face: Any, scope: dict[str, Any]) -> None:
    """IDE-11."""
    with pytest.raises(InvalidTool, match=next(iter(scope))):
        face("memory://").scoped(**scope)
