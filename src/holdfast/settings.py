"""What may be tuned, with the value that holds when nobody does. Code > environment > default."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, Final

from holdfast._core.disturbance import Chaos, parse_chaos
from holdfast._core.duration import Duration, seconds
from holdfast._core.model import is_utf8
from holdfast.errors import InvalidCall, InvalidTool

DEFAULT_URL: Final = "sqlite:///holdfast.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Tuning of one ledger. Every field can be set as ``HOLDFAST_<NAME>`` too.

    Lengths of time are seconds, a ``timedelta`` or text such as ``"10s"``.

    Attributes:
        lease: How long a claim lives without being renewed; a crash is noticed after this.
        renew_every: How often living claims are renewed; at most half of *lease*.
        reconcile_skew: How long after an attempt's deadline a reconciler's "not done" starts to count.
        reconcile_timeout: How long a reconciler or a probe may take under asyncio; a ``SyncLedger`` asks it
            in the caller's own thread and waits.
        drain: How long ``close`` lets running handlers finish.
        store_patience: How long a claim is retried while the database is busy or away.
        max_args_bytes: Largest size of one call's arguments as JSON.
        max_result_bytes: Largest size of one result as JSON.
        max_memory_bytes: Largest size of one memory, or of one item of a hand-off, as JSON.
        max_handoff_items: Most items of one hand-off.
        max_crashes: So many workers in a row may die at a workflow before it is put aside as a dead letter.
        handler_threads: Threads for plain functions under asyncio.
        pool_size: Connections to PostgreSQL for queries, and for writes when *group_commit* is off.
        group_commit: Let concurrent calls share one commit.
        audit_key: Makes the audit chain an HMAC; text, at least 16 characters. Never shown.
        chaos: Dev mode: what befalls tools on purpose, e.g. ``"0.1"`` or ``"drop_after=0.1,crash=0.01"``;
            ``"0"`` for nothing. ``None``: what ``$HOLDFAST_CHAOS`` says, to settings made in code as well.
        production: Refuse what must not meet real payments: a store that forgets, and dev mode.
        environment: Where this ledger works, for rules that ask, e.g. ``production``.
        console_url: Where people find the console, e.g. ``https://ops.acme.example/holdfast``: what they are
            told of a question links to its page there.
        max_info_requests: So often at most people may ask for more before they decide on one question.
        backlog_size: When more questions than this wait for people, that is an alert.
        backlog_age: When one of them has waited for longer than this, that is one as well.
    """

    lease: Duration = 10.0
    renew_every: Duration = 3.0
    reconcile_skew: Duration = 5.0
    reconcile_timeout: Duration = 60.0
    drain: Duration = 30.0
    store_patience: Duration = 5.0
    max_args_bytes: int = 1 << 20
    max_result_bytes: int = 4 << 20
    max_memory_bytes: int = 64 << 10
    max_handoff_items: int = 1000
    max_crashes: int = 5
    handler_threads: int = 32
    pool_size: int = 8
    group_commit: bool = True
    audit_key: str | None = field(default=None, repr=False)
    chaos: str | None = None
    production: bool = False
    environment: str = "development"
    console_url: str = ""
    max_info_requests: int = 3
    backlog_size: int = 100
    backlog_age: Duration = 86_400.0

    def __post_init__(self) -> None:
        for name in _DURATIONS:
            object.__setattr__(self, name, seconds(getattr(self, name), name=f"Settings.{name}"))
        for name in _COUNTS:
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidTool(
                    f"Settings.{name}={value!r} is not a count", "give a whole number of at least 1"
                )
        if self.renew_every_s > self.lease_s / 2:
            what = f"Settings.renew_every={self.renew_every_s:g} is more than half of lease={self.lease_s:g}"
            raise InvalidTool(what, "a single lost renewal would cost the lease: renew more often")
        self._check_switches()
        secret: Any = self.audit_key
        if secret is not None and not isinstance(secret, str):
            raise InvalidTool(f"Settings.audit_key is {type(secret).__name__}", "give text")
        if self.audit_key is not None and not is_utf8(self.audit_key):
            raise InvalidTool("Settings.audit_key has a lone surrogate", "give text that can be encoded")
        if self.audit_key is not None and len(self.audit_key) < _KEY_LENGTH:
            raise InvalidTool(
                "Settings.audit_key is too short", f"use at least {_KEY_LENGTH} random characters"
            )
        place: Any = self.environment
        if not isinstance(place, str) or not place or not place.isprintable():
            raise InvalidTool("Settings.environment is no printable text", 'name it, e.g. "staging"')
        self._check_address()
        if self.chaos is not None:
            _read_chaos(self.chaos, "Settings.chaos")

    def _check_address(self) -> None:
        page: Any = self.console_url
        if not isinstance(page, str) or (page and not page.startswith(("https://", "http://"))):
            raise InvalidTool(
                "Settings.console_url is no address", 'give one, e.g. "https://ops.acme.example"'
            )

    def _check_switches(self) -> None:
        for name in _SWITCHES:
            switch: Any = getattr(self, name)
            if not isinstance(switch, bool):
                raise InvalidTool(f"Settings.{name}={switch!r} is no switch", "give True or False")

    @property
    def lease_s(self) -> float:
        """Seconds of *lease*."""
        return _as_float(self.lease)

    @property
    def renew_every_s(self) -> float:
        """Seconds of *renew_every*."""
        return _as_float(self.renew_every)

    @property
    def drain_s(self) -> float:
        """Seconds of *drain*."""
        return _as_float(self.drain)

    @property
    def store_patience_s(self) -> float:
        """Seconds of *store_patience*."""
        return _as_float(self.store_patience)

    @property
    def backlog_age_s(self) -> float:
        """Seconds of *backlog_age*."""
        return _as_float(self.backlog_age)

    @property
    def skew(self) -> timedelta:
        """*reconcile_skew* as a length of time."""
        return timedelta(seconds=_as_float(self.reconcile_skew))

    @property
    def reconcile_timeout_s(self) -> float:
        """Seconds of *reconcile_timeout*."""
        return _as_float(self.reconcile_timeout)

    @property
    def audit_secret(self) -> bytes | None:
        """The audit key's bytes."""
        return None if self.audit_key is None else self.audit_key.encode()


_DURATIONS: Final = (
    "lease",
    "renew_every",
    "reconcile_skew",
    "reconcile_timeout",
    "drain",
    "store_patience",
    "backlog_age",
)
_COUNTS: Final = (
    "max_args_bytes",
    "max_result_bytes",
    "max_memory_bytes",
    "max_handoff_items",
    "max_crashes",
    "handler_threads",
    "pool_size",
    "max_info_requests",
    "backlog_size",
)
_SWITCHES: Final = ("group_commit", "production")
_KEY_LENGTH: Final = 16
_TRUE: Final = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def _read_chaos(chaos: Any, name: str) -> Chaos:
    if not isinstance(chaos, str):
        raise InvalidTool(f"{name} is {type(chaos).__name__}", 'give text, e.g. "0.1"')
    try:
        return parse_chaos(chaos)
    except InvalidCall as error:
        raise InvalidTool(f"{name} cannot be read: {error.what}", error.fix) from error


def _as_float(value: Duration) -> float:
    return value if isinstance(value, float) else seconds(value, name="length")


def _flag(text: str) -> bool:
    return _TRUE[text.strip().lower()]


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    **dict.fromkeys(_COUNTS, int),
    **dict.fromkeys(_DURATIONS, lambda text: float(text) if text.replace(".", "", 1).isdigit() else text),
    **dict.fromkeys(_SWITCHES, _flag),
    "audit_key": str,
    "chaos": str,
    "environment": str,
    "console_url": str,
}


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that the environment asks for.

    Raises:
        InvalidTool: A variable cannot be read; the message names it.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, Any] = {}
    for item in fields(Settings):
        variable = f"HOLDFAST_{item.name.upper()}"
        if variable not in environ:
            continue
        try:
            found[item.name] = _READERS[item.name](environ[variable])
            Settings(**{item.name: found[item.name]})
        except InvalidTool as error:
            if item.name in {"lease", "renew_every"} and "more than half" in error.what:
                continue  # the two are judged together, below
            raise InvalidTool(f"${variable} cannot be used: {error.what}", error.fix) from error
        except (ValueError, KeyError) as error:
            raise InvalidTool(f"${variable} cannot be read", "see docs/reference/settings.md") from error
    return Settings(**found)


def chaos_of(settings: Settings, environ: Mapping[str, str] | None = None) -> Chaos:
    """Return what is to befall the tools of a ledger with *settings*: one variable reaches every program.

    Raises:
        InvalidTool: The variable cannot be read.
    """
    environ = os.environ if environ is None else environ
    if settings.chaos is not None:
        return _read_chaos(settings.chaos, "Settings.chaos")
    return _read_chaos(environ.get("HOLDFAST_CHAOS", ""), "$HOLDFAST_CHAOS")
