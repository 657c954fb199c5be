"""Errors that are called and furnished like those of the libraries, which the core never imports."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Final

from holdfast._core.fault import Fault, fault_of

NOW: Final = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


def kind_of(name: str, base: type[BaseException] = Exception) -> type[BaseException]:
    """A class that is called like one of a library's."""
    package, _, short = name.rpartition(".")
    return type(short, (base,), {"__module__": f"{package}.exceptions"})


def make(name: str, *args: Any, base: type[BaseException] = Exception, **fields: Any) -> BaseException:
    error = kind_of(name, base)(*args)
    for field, value in fields.items():
        setattr(error, field, value)
    return error


def request(method: str = "POST", **fields: Any) -> SimpleNamespace:
    return SimpleNamespace(method=method, headers={}, **fields)


def refused(status: int = 409, method: str = "POST", **fields: Any) -> BaseException:
    response = SimpleNamespace(status_code=status, headers={})
    return make("httpx.HTTPStatusError", request=request(method), response=response, **fields)


def after(error: BaseException, before: BaseException) -> BaseException:
    """*error*, raised while *before* was being handled."""
    error.__context__ = before
    return error


def because(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def judge(error: BaseException) -> Fault:
    return fault_of(error, now=NOW)


def short(error: BaseException) -> tuple[str, str, bool]:
    fault = judge(error)
    return fault.kind.value, fault.cause.value, fault.may_have_acted
