"""What a call is: its arguments, read once, and the key and fingerprint made from them.

Published in docs/reference/identity.md and frozen by a golden file: a change here is a new ``v2:``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from json import JSONEncoder, loads
from math import isfinite
from typing import Any, Final, cast

from holdfast._core.canonical import (
    LEAVES,
    MAX_DEPTH,
    SURROGATE,
    SURROGATES,
    TOO_DEEP,
    TWICE,
    Refused,
    canonical,
    differing_paths,
    is_settled,
    is_short,
    nfc,
    shown,
)
from holdfast._core.model import JSON, EffectKey, Fingerprint
from holdfast._core.value import value
from holdfast.errors import InvalidCall, NotSerializable

__all__ = [
    "MAX_DEPTH",
    "Identity",
    "Payload",
    "Result",
    "canonical",
    "differing_paths",
    "identify",
    "read_args",
    "read_result",
]

_MAX_NAME: Final = 512
_MAX_KEY: Final = 1024
_MAX_OCCURRENCE: Final = 2**53
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_AS_GIVEN: Final = JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
)


@value
class Payload:
    """The arguments of one call, read once.

    Attributes:
        args: For the handler: dicts, lists and tuples are copied, all else is the caller's own object.
        text: For the ledger: JSON text in the caller's key order and spelling.
        plain: What *text* reads as.
        canonical: The canonical text of *plain*.
    """

    args: dict[str, Any]
    text: str
    plain: dict[str, JSON]
    canonical: str


@value
class Result:
    """What a handler returned, read once: JSON text, and what it reads as."""

    plain: JSON
    text: str


@value
class Identity:
    """The two names of a call: *key* of the change it intends, *fingerprint* of its arguments."""

    key: EffectKey
    fingerprint: Fingerprint


def read_args(args: object, *, max_bytes: int) -> Payload:
    """Read a call's arguments: a copy for the handler, JSON for the ledger.

    Args:
        args: A mapping of argument names to JSON values and values of the documented types.
        max_bytes: Length of the longest JSON text (UTF-8). Far longer ones are refused unwritten.

    Raises:
        InvalidCall: *args* is not a mapping.
        NotSerializable: A value has no JSON form. Nothing else is raised, whatever comes in.
    """
    try:
        flat = _flat(args, max_bytes)
        if flat is not None:
            own, text = flat
            is_sorted = text.isascii() and list(own) == sorted(own)
            return Payload(
                args=own, text=text, plain=own.copy(), canonical=text if is_sorted else canonical(own)
            )
        copy = _Copy(max_bytes)
        own = copy.mapping(_mapping(args), MAX_DEPTH)
        text = _text_of(own, copy, is_args=True)
        plain = loads(text)
        return Payload(args=own, text=text, plain=plain, canonical=canonical(plain))
    except (InvalidCall, NotSerializable):
        raise
    except Exception as error:  # noqa: BLE001 - a stranger's items() may raise anything; nothing ran
        raise _refusal(error).located() from None


def read_result(value: object, *, max_bytes: int) -> Result:
    """Read what a handler returned: the JSON that is recorded and replayed.

    Raises:
        NotSerializable: It has no JSON form; the effect is done all the same.
    """
    try:
        flat = _flat(value, max_bytes)
        if flat is not None:
            return Result(plain=flat[0], text=flat[1])
        copy = _Copy(max_bytes)
        text = _text_of(copy.item(value, MAX_DEPTH), copy, is_args=False)
        return Result(plain=loads(text), text=text)
    except Exception as error:  # noqa: BLE001 - as above, but the effect is done, and the caller says so
        raise _refusal(error).located() from None


def identify(
    *,
    tenant: str,
    workflow_id: str,
    tool: str,
    payload: Payload,
    key: str | None = None,
    key_args: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    occurrence: int = 0,
    branch: str = "",
) -> Identity:
    """Name the change that a call intends.

    Args:
        tenant: Whose ledger it is; equal calls of two tenants are two changes.
        workflow_id: The execution that the call belongs to.
        tool: The tool's name.
        payload: The call's arguments, from `read_args`.
        key: Takes the place of all arguments, 1 to 1024 characters.
        key_args: The arguments that tell one change from another; ``None`` means all but *ignore*.
        ignore: Arguments that are not compared.
        occurrence: Tells deliberate repetitions apart; 0 is the first.
        branch: Of a workflow's code, that makes the call beside others; each counts its own repetitions.

    Raises:
        InvalidCall: A name, key or number cannot be used, or an argument of *key_args* is missing.
    """
    names = {"tenant": tenant, "workflow_id": workflow_id, "tool": tool}
    scope = ",".join([_part(name, text, _MAX_NAME, _UNFIT) for name, text in names.items()])
    compared = canonical(_without(payload.plain, ignore)) if ignore else payload.canonical
    if key is not None:
        part = f'"key":{_part("key", key, _MAX_KEY, SURROGATES)}'
    elif key_args is not None:
        part = f'"args":{canonical(_chosen(payload.plain, key_args, tool))}'
    else:
        part = f'"args":{compared}'
    if branch:
        part += f',"branch":"{branch}"'
    part += _repetition(occurrence)
    # The canonical text of a list, put together here: no part can reach into its neighbour (IDE-28).
    digest = sha256(f'["holdfast/1",{scope},{{{part}}}]'.encode()).hexdigest()
    fingerprint = sha256(compared.encode()).hexdigest()
    return Identity(key=EffectKey(f"v1:{digest}"), fingerprint=Fingerprint(fingerprint))


def _repetition(occurrence: int) -> str:
    if type(occurrence) is not int or not 0 <= occurrence < _MAX_OCCURRENCE:
        what = "occurrence is not a whole number from 0"
        raise InvalidCall(what, "count deliberate repetitions as 0, 1, 2 ...")
    return f',"occurrence":{occurrence}' if occurrence else ""


def _without(plain: Mapping[str, JSON], ignore: Sequence[str]) -> dict[str, JSON]:
    ignored = {nfc(name) for name in ignore}
    return {name: value for name, value in plain.items() if nfc(name) not in ignored}


def _chosen(plain: Mapping[str, JSON], key_args: Sequence[str], tool: str) -> dict[str, JSON]:
    named = {nfc(name): value for name, value in plain.items()}
    for name in key_args:
        if nfc(name) not in named:
            what = f"tool {tool!r} is called without {name!r}, which is part of its key"
            raise InvalidCall(what, "pass it, or declare the tool with another key=[...]")
    return {name: named[name] for name in map(nfc, key_args)}


def _part(name: str, text: Any, longest: int, unfit: re.Pattern[str]) -> str:
    # The same tenants, workflows and tools come again and again.
    return (_known_part if type(text) is str else _part_of)(name, text, longest, unfit)


def _part_of(name: str, text: Any, longest: int, unfit: re.Pattern[str]) -> str:
    if not issubclass(type(text), str):
        what = f"{name} is {_type_of(text)}"
    elif not 0 < len(nfc(text)) <= longest:
        what = f"{name} has {len(nfc(text))} characters"
    elif unfit.search(text):
        what = f"{name} has a control character or a lone surrogate"
    else:
        return canonical(text)
    raise InvalidCall(what, f"pass a text of 1 to {longest} printable characters")


_known_part: Final = lru_cache(maxsize=4096)(_part_of)


def _mapping(args: Any) -> Mapping[Any, Any]:
    if issubclass(type(args), Mapping):
        return cast("Mapping[Any, Any]", args)  # just looked at
    what = f"args is {_type_of(args)}"
    raise InvalidCall(what, "pass a dict of argument names and values")


def _text_of(own: Any, copy: _Copy, *, is_args: bool) -> str:
    text = _AS_GIVEN.encode(own) if copy.is_plain else ""
    if not copy.is_plain or not is_settled(text):  # look closer, at a type's form or a text's spelling
        text = _AS_GIVEN.encode(_Form(copy.max_bytes, is_args=is_args).item(own, MAX_DEPTH))
        if not is_args:
            text = SURROGATES.sub(lambda half: f"\\u{ord(half[0]):04x}", text)
    if (len(text) if text.isascii() else len(text.encode())) > copy.max_bytes:
        raise _TooLong(copy.max_bytes)
    return text


def _flat(value: object, max_bytes: int) -> tuple[dict[str, Any], str] | None:
    """Read what most payloads are, texts and short numbers by name, at once; ``None``: look closer."""
    if type(value) is not dict:
        return None
    own: dict[Any, Any] = value.copy()  # pyright: ignore[reportUnknownVariableType] - anything may be in it
    room = max_bytes
    for name, item in own.items():
        kind = type(item)  # pyright: ignore[reportUnknownVariableType]
        if kind is str:
            room -= len(item)
        elif not (item is None or kind is bool or (kind is int and is_short(item))):
            return None
        if type(name) is not str or room < 0:
            return None
        room -= len(name)
    text = _AS_GIVEN.encode(own)
    if not is_settled(text) or (len(text) if text.isascii() else len(text.encode())) > max_bytes:
        return None
    return own, text


def _type_of(value: object) -> str:
    # Read past the metaclass, which may answer anything.
    return f"of type {shown(type.__dict__['__name__'].__get__(type(value)))}"


def _refusal(error: Exception) -> Refused:
    # Only the error's type is told: its text may quote the value.
    return error if isinstance(error, Refused) else Refused(f"cannot be read: error {_type_of(error)}")


class _TooLong(Refused):
    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"is more than {max_bytes} bytes of JSON")

    def add(self, step: str | int) -> None:
        """Stay at the root: the payload as a whole is too long, wherever that was noticed."""


class _Walk(ABC):
    """Walks a payload, bounded in depth, and in length before anything is written."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.room = max_bytes

    def spend(self, size: int) -> None:
        """Take note that at least *size* bytes more would be written."""
        self.room -= size
        if self.room < 0:
            raise _TooLong(self.max_bytes)

    @abstractmethod
    def key(self, key: Any) -> Any:
        """Return what a member's name becomes."""

    @abstractmethod
    def item(self, value: Any, levels: int) -> Any:
        """Return what *value* becomes; *levels* more may follow."""

    def mapping(self, value: Mapping[Any, Any], levels: int) -> dict[Any, Any]:
        """Return what a mapping becomes."""
        if levels <= 0:
            raise Refused(TOO_DEEP)
        self.spend(1)
        walked: dict[Any, Any] = {}
        for count, (key, item) in enumerate(value.items(), 1):
            if not issubclass(type(key), str):
                why = f"has a key {_type_of(key)}"
                raise Refused(why)
            self.spend(str.__len__(key) + 4)
            try:
                walked[self.key(key)] = self.item(item, levels - 1)
            except Refused as refused:
                refused.add(str.__str__(key))
                raise
            if len(walked) < count:  # subclasses of str may differ and yet be the same text
                raise Refused(TWICE)
        return walked

    def sequence(self, value: Iterable[Any], levels: int) -> list[Any]:
        """Return what a list or tuple becomes."""
        if levels <= 0:
            raise Refused(TOO_DEEP)
        self.spend(1)
        walked: list[Any] = []
        for item in value:
            self.spend(1)
            try:
                walked.append(self.item(item, levels - 1))
            except Refused as refused:
                refused.add(len(walked))
                raise
        return walked


class _Copy(_Walk):
    """Copies the containers of a payload, and notices whether there is more in it than plain JSON."""

    is_plain = True

    def key(self, key: Any) -> Any:
        """Keep the caller's own."""
        self.is_plain = self.is_plain and type(key) is str
        return key

    def item(self, value: Any, levels: int) -> Any:
        """Copy a container, keep all else."""
        kind = type(value)  # pyright: ignore[reportUnknownVariableType] - anything may come
        if kind is str:
            self.spend(len(value) + 2)
        elif kind is dict:
            return self.mapping(value, levels)
        elif kind is list:
            return self.sequence(value, levels)
        elif kind is tuple:
            return tuple(self.sequence(value, levels))
        elif not (value is None or kind is bool or (kind is int and is_short(value))):
            self.is_plain = self.is_plain and kind is float and isfinite(value)
        return value


class _Form(_Walk):
    """Gives every value of a documented type its JSON form, and refuses all others."""

    def __init__(self, max_bytes: int, *, is_args: bool) -> None:
        super().__init__(max_bytes)
        self.is_args = is_args

    def key(self, key: Any) -> str:
        """Keep its text."""
        return self._text(key)

    def mapping(self, value: Mapping[Any, Any], levels: int) -> dict[Any, Any]:
        """Refuse two spellings of one name."""
        walked = super().mapping(value, levels)
        if self.is_args and len({nfc(name) for name in walked}) < len(walked):
            raise Refused(TWICE)
        return walked

    def item(self, value: Any, levels: int) -> JSON:
        """Give *value* its form, and whatever its own methods raise, refuse it."""
        kind = type(value)  # pyright: ignore[reportUnknownVariableType] - anything may come
        if kind is dict:
            return self.mapping(value, levels)
        if kind is list or kind is tuple:
            return self.sequence(value, levels)
        try:
            return self._form(value, kind, levels)
        except Exception as error:  # noqa: BLE001 - a stranger's method may raise anything
            raise _refusal(error) from None

    def _form(self, value: Any, kind: Any, levels: int) -> JSON:
        if kind is str or (issubclass(kind, str) and not issubclass(kind, Enum)):
            self.spend(str.__len__(value) + 2)
            return self._text(value)
        if issubclass(kind, Enum):
            return self._instead(value.value, levels)
        for types, form in LEAVES:
            if issubclass(kind, types):
                plain = form(value)
                self.spend(len(str(plain)))
                return plain
        if callable(getattr(kind, "model_dump", None)) and hasattr(kind, "model_fields"):
            return self._instead(value.model_dump(), levels)
        if hasattr(kind, "__dataclass_fields__"):
            return self.mapping({field.name: getattr(value, field.name) for field in fields(value)}, levels)
        if issubclass(kind, Mapping):
            return self.mapping(value, levels)
        if issubclass(kind, list | tuple):
            return self.sequence(value, levels)
        why = f"is {_type_of(value)}"
        raise Refused(why)

    def _instead(self, value: Any, levels: int) -> JSON:
        if levels < 0:  # a chain of values that stand for others may be endless, too
            raise Refused(TOO_DEEP)
        return self.item(value, levels - 1)

    def _text(self, value: str) -> str:
        text = str.__str__(value)
        if SURROGATES.search(text) is None:
            return text
        if self.is_args:
            raise Refused(SURROGATE)
        # Two halves side by side are one character to every reader of JSON.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
