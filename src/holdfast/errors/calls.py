"""What can be wrong with a call, a tool or a ledger, and what forbids it: nothing ran."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.errors.base import HoldfastError


class InvalidCall(HoldfastError, ValueError):
    """The call cannot be understood. Nothing was recorded and nothing ran.

    Attributes:
        what: What is wrong.
        fix: What to do about it.
    """

    code = "invalid-call"

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"


class SchemaMismatch(InvalidCall):
    """The arguments do not fit the tool. Nothing was recorded and nothing ran.

    In a turn the first one goes back to the model, in its receipt; the second one for the same tool and
    workflow is raised.
    """

    code = "schema-mismatch"


class InvalidTool(HoldfastError, TypeError):
    """A tool, handler or ledger is declared in a way that cannot be honoured. Nothing ran.

    Attributes:
        what: What is wrong.
        fix: What to do about it.
    """

    code = "invalid-tool"

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"


class NotSerializable(HoldfastError, TypeError):
    """A value has no JSON form.

    For an argument nothing was recorded and nothing ran. For a handler's result the effect *is done*
    and recorded as ``succeeded`` without its result; calling again raises this error again.

    Attributes:
        path: Where the value sits, e.g. ``$.customer.tags[2]``.
        why: What is wrong with it (a type's name, a limit; never the value).
        key: The effect's key when this is about a result, else ``None``.
        result: The handler's own result, in the process that ran it; lost by pickling.
    """

    code = "not-serializable"

    def __init__(self, path: str, why: str, key: str | None = None) -> None:
        super().__init__(path, why, key)
        self.path = path
        self.why = why
        self.key = key
        self.result: object = None

    def __str__(self) -> str:
        if self.key is None:
            return f"argument {self.path} {self.why}; nothing ran: pass JSON values or a documented type"
        return (
            f"effect {self.key!r} is done, but its result at {self.path} {self.why}, so it was recorded as "
            f"succeeded without it; return a JSON value from the handler (the effect will not run again)"
        )


class PayloadConflict(HoldfastError):
    """The same key was used with another payload. Nothing ran.

    Attributes:
        key: The effect's key.
        paths: Where the payloads differ. Values are shown only by ``holdfast show KEY --diff ARGS.json``.
        fingerprints: SHA-256 of the recorded and of the offered payload.
    """

    code = "payload-conflict"

    def __init__(self, key: str, paths: Sequence[str], fingerprints: tuple[str, str]) -> None:
        super().__init__(key, tuple(paths), fingerprints)
        self.key = key
        self.paths = tuple(paths)
        self.fingerprints = fingerprints

    def __str__(self) -> str:
        where = ", ".join(self.paths) or "(recorded payload no longer readable)"
        recorded, offered = self.fingerprints
        return (
            f"effect {self.key!r} is already recorded with another payload: {where} differ "
            f"(recorded {recorded[:12]}, offered {offered[:12]}); nothing ran. "
            f"Use another key for another effect, or see `holdfast show {self.key} --diff ARGS.json`"
        )


class PolicyDenied(HoldfastError):
    """A rule decided against it. Nothing ran.

    Attributes:
        tool: The tool's name.
        reason: The rule's reason.
    """

    code = "policy-denied"

    def __init__(self, tool: str, reason: str) -> None:
        super().__init__(tool, reason)
        self.tool = tool
        self.reason = reason

    def __str__(self) -> str:
        return f"call of {self.tool!r} is not allowed: {self.reason}; nothing ran"


class LedgerClosed(HoldfastError):
    """The ledger was closed. Nothing new was begun."""

    code = "ledger-closed"

    def __str__(self) -> str:
        return (
            "this ledger is closed; nothing was begun: open a new Ledger, or keep it open with `async with`"
        )


class MissingExtra(HoldfastError, ImportError):
    """An optional package is not installed.

    Attributes:
        extra: The extra that brings it.
        package: The package that is missing.
    """

    code = "missing-extra"

    def __init__(self, extra: str, package: str) -> None:
        super().__init__(extra, package)
        self.extra = extra
        self.package = package

    def __str__(self) -> str:
        return f"{self.package} is not installed; run: pip install 'holdfast[{self.extra}]'"
