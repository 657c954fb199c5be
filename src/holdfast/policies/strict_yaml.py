"""YAML as far as a policy needs it: what is written is what is meant, or it is refused.

Anchors, aliases, merge keys and tags let a text say something else than it seems to, or grow without bound;
of two equal keys one would be lost; ``on``, ``1:30`` and ``0777`` would be read as no person reads them. So
plain scalars are JSON's (``true``, ``null``, ``12``, ``0.5``), and anything else is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from holdfast.errors import InvalidPolicy, MissingExtra

MOST_BYTES: Final = 256 * 1024
_MOST_DEPTH: Final = 16
_MOST_NODES: Final = 20_000
_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})\.\d{1,17}", re.ASCII)
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}
_ODD_NUMBER: Final = re.compile(  # what some reader of YAML would take for a number, and another for text
    r"[-+]?\.?\d[\d_.,:]*(?:[eE][-+]?\d+)?|[-+]?0[xXoObB][\da-fA-F_]+|[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)"
)
_HIDDEN: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
"""What editors do not show, or show as something else: YAML ends lines, and so comments, at some of them."""
_SPLIT: Final = "write it out: a policy says what it says where it says it"


class Section(dict[str, Any]):
    """A mapping, and the line on which it begins."""

    line: int = 0


def read_yaml(text: str, where: str) -> Any:
    """Return what *text* says: mappings, lists, texts, numbers, booleans.

    Raises:
        InvalidPolicy: It is empty, too large, too deep, or says anything by other means than plain YAML.
    """
    if len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise InvalidPolicy(where, "", f"it is larger than {MOST_BYTES} bytes", "split it into several files")
    for number, line in enumerate(text.split("\n"), 1):
        if hidden := _HIDDEN.search(line.removesuffix("\r")):
            what = f"it has the invisible character U+{ord(hidden[0]):04X}"
            raise InvalidPolicy(f"{where}:{number}", "", what, "drop it: what is read must be what is shown")
    yaml = _yaml()
    try:
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        return _document(_Reader(where, yaml.events, iter(events)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = where if mark is None else f"{where}:{mark.line + 1}"
        what = str(getattr(error, "problem", None) or "it is no text that could be YAML")
        raise InvalidPolicy(place, "", f"it is no YAML: {_one_line(what)}", "mend that line") from error


def _yaml() -> Any:
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore] # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra("policy", "pyyaml") from error
    return yaml


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]


class _Reader:
    """The events of one text, counted."""

    def __init__(self, where: str, kinds: Any, events: Iterator[Any]) -> None:
        self.where = where
        self.kinds = kinds
        self._events = events
        self._nodes = 0

    def next(self) -> Any:
        event = next(self._events)
        if isinstance(event, self.kinds.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self.refusal(event, "it has an anchor or an alias", _SPLIT)
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self.refusal(event, "it has a tag", "leave it out: types follow from the format")
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise self.refusal(event, f"it has more than {_MOST_NODES} parts", "split it into several files")
        return event

    def refusal(self, event: Any, what: str, fix: str) -> InvalidPolicy:
        return InvalidPolicy(f"{self.where}:{event.start_mark.line + 1}", "", what, fix)


def _document(reader: _Reader) -> Any:
    kinds = reader.kinds
    reader.next()  # the stream's start
    event = reader.next()
    if isinstance(event, kinds.StreamEndEvent):
        raise reader.refusal(event, "it is empty", "give rules: what none of them allows is denied")
    found = _node(reader, reader.next(), _MOST_DEPTH)
    reader.next()  # the document's end
    event = reader.next()
    if not isinstance(event, kinds.StreamEndEvent):
        raise reader.refusal(event, "it holds several documents", "give one file each")
    return found


def _node(reader: _Reader, event: Any, levels: int) -> Any:
    kinds = reader.kinds
    if not levels:
        raise reader.refusal(event, f"it is nested more than {_MOST_DEPTH} levels deep", "say it flatly")
    if isinstance(event, kinds.MappingStartEvent):
        return _mapping(reader, event, levels)
    if isinstance(event, kinds.SequenceStartEvent):
        items: list[Any] = []
        while not isinstance(event := reader.next(), kinds.SequenceEndEvent):
            items.append(_node(reader, event, levels - 1))
        return items
    return _scalar(reader, event)


def _mapping(reader: _Reader, start: Any, levels: int) -> Section:
    kinds = reader.kinds
    found = Section()
    found.line = start.start_mark.line + 1
    while not isinstance(event := reader.next(), kinds.MappingEndEvent):
        if not isinstance(event, kinds.ScalarEvent):
            raise reader.refusal(event, "a key that is no text", "give each key a name")
        key = event.value
        if key == "<<" and event.style is None:
            raise reader.refusal(event, "it merges mappings", _SPLIT)
        if key in found:
            raise reader.refusal(event, f"the key {key[:80]!r} is there twice", "one would be lost: drop it")
        found[key] = _node(reader, reader.next(), levels - 1)
    return found


def _scalar(reader: _Reader, event: Any) -> Any:
    text: str = event.value
    if event.style is not None:  # in quotes, or a block: text
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    if _ODD_NUMBER.fullmatch(text):
        what = f"{text[:40]!r} is no number as JSON has them"
        raise reader.refusal(event, what, "write digits, or put text into quotes")
    return text
