"""A policy's files: what stands where, and nothing that has no meaning there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from holdfast.errors import InvalidPolicy
from holdfast.policies.kinds import is_list
from holdfast.policies.model import (
    FORMAT,
    Agent,
    Approve,
    Band,
    Count,
    PolicySet,
    Rule,
    Sample,
    Then,
    ToolRules,
)
from holdfast.policies.reading_chains import chain
from holdfast.policies.sections import Place, length, mapping, only, plain, section, text, texts
from holdfast.policies.strict_yaml import MOST_BYTES, Section, read_yaml

_MOST_FILES: Final = 200
_PARTS: Final = (
    "version",
    "default",
    "roles",
    "agents",
    "tools",
    "windows",
    "chains",
    "confidence",
    "sample",
    "rules",
    "tests",
)


def read_files(path: str | Path) -> list[tuple[str, str]]:
    """Return the files of a policy, by name, with what they say.

    Args:
        path: A file, or a directory: all its ``*.yaml`` and ``*.yml`` together are one policy.

    Raises:
        InvalidPolicy: There is none, or one cannot be read.
    """
    place = Path(path)
    found = [place]
    try:
        if place.is_dir():
            found = sorted(item for item in place.iterdir() if item.suffix in {".yaml", ".yml"})
            if not found:
                raise InvalidPolicy(
                    str(place), "", "no *.yaml is in it", "write rules: without any all is denied"
                )
            if len(found) > _MOST_FILES:
                raise InvalidPolicy(
                    str(place), "", f"it has more than {_MOST_FILES} files", "join some of them"
                )
        return [(str(item), _content(item)) for item in found]
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InvalidPolicy(str(place), "", f"it cannot be read ({why})", "give a file that can") from error


def _content(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)  # one more is refused when it is read as YAML
    return content.decode("utf-8")


def read_policy(documents: Sequence[tuple[str, str]]) -> PolicySet:
    """Return what several documents, each a name and a text, say together.

    Raises:
        InvalidPolicy: One of them cannot be understood, or two say the same thing twice.
    """
    parts = [_document(where, content) for where, content in documents]
    if not parts:
        raise InvalidPolicy("policy", "", "it has no file", "write rules: without any all is denied")
    whole = parts[0]
    for (where, _), part in zip(documents[1:], parts[1:], strict=True):
        whole = _joined(whole, part, where)
    return whole


def _document(where: str, content: str) -> PolicySet:
    told = section(read_yaml(content, where), Place(where))
    place = Place(where, told)
    only(told, place, *_PARTS)
    if told.get("version") != FORMAT or isinstance(told.get("version"), bool):
        raise place.refusal("it does not say `version: 1`", "say so: it is the version of the format")
    if told.get("default", "deny") != "deny":
        raise place.refusal("its default is not deny", "leave it out: what no rule allows is denied")
    places: dict[str, str] = {}
    rules: list[Rule] = []
    for item in _list(told, "rules", place):
        rule, at = _rule(item, where)
        rules.append(rule)
        places.setdefault(f"rule {plain(rule.id)}", at)
    chains = {name: chain(item, at) for name, item, at in _named(told, "chains", "chain", where, places)}
    tests = [dict(section(item, Place(where, part="tests"))) for item in _list(told, "tests", place)]
    return PolicySet(
        rules=tuple(rules),
        chains=chains,
        agents={name: _agent(item, at) for name, item, at in _named(told, "agents", "agent", where, places)},
        tools={name: _tool(item, at) for name, item, at in _named(told, "tools", "tool", where, places)},
        windows={
            name: _count(item, at) for name, item, at in _named(told, "windows", "window", where, places)
        },
        confidence={
            name: _band(item, at)
            for name, item, at in _named(told, "confidence", "confidence", where, places)
        },
        samples=tuple(_samples(told, Place(where, told, "sample"))),
        roles=None if "roles" not in told else texts(told, "roles", Place(where, told, "roles")),
        tests=tuple(tests),
        places=places,
    )


def _joined(first: PolicySet, second: PolicySet, where: str) -> PolicySet:
    joined: dict[str, Any] = {}
    for one in fields(PolicySet):
        ours, theirs = getattr(first, one.name), getattr(second, one.name)
        if isinstance(ours, Mapping):
            twice = sorted(ours.keys() & theirs.keys()) if one.name != "places" else []
            if twice:
                what = f"{one.name} {twice[0]!r} stands in another file as well"
                raise InvalidPolicy(where, "", what, "one of the two would be lost: drop it")
            joined[one.name] = {**theirs, **ours}
        elif one.name == "roles":
            joined[one.name] = ours if theirs is None else (*(ours or ()), *theirs)
        else:
            joined[one.name] = (*ours, *theirs)
    return replace(first, **joined)


def _list(told: Mapping[str, Any], key: str, place: Place) -> list[Any]:
    found = told.get(key, [])
    if not is_list(found):
        raise place.refusal(f"{key} is no list", f"write {key} as a list")
    return found


def _named(
    told: Mapping[str, Any], key: str, noun: str, where: str, places: dict[str, str]
) -> Iterable[tuple[str, Any, Place]]:
    for name, item in mapping(told, key, Place(where, told, key)).items():
        place = Place(where, item, f"{noun} {plain(name)}")
        places[place.part] = place.at
        yield name, item, place


def _rule(item: Any, where: str) -> tuple[Rule, str]:
    told = section(item, Place(where, part="rules"))
    name = told.get("id")
    place = Place(where, told, f"rule {plain(name)}" if isinstance(name, str) else "rules")
    only(told, place, "id", "tool", "when", "then", "reason")
    tool = told.get("tool")
    rule = Rule(
        id=text(told, "id", place),
        tool=texts(told, "tool", place) if isinstance(tool, list) else text(told, "tool", place),
        when=_when(told, "when", place),
        then=_then(told.get("then"), place),
        reason=text(told, "reason", place, default=""),
    )
    return rule, place.at


def _when(told: Mapping[str, Any], key: str, place: Place) -> str:
    if isinstance(told.get(key), bool):
        return "true" if told[key] else "false"
    return text(told, key, place, default="true")


def _then(given: Any, place: Place) -> Then:
    if given == "allow":
        return "allow"
    if given == "deny":
        return "deny"
    if isinstance(given, Section) and given.keys() == {"approve"}:
        return Approve(chain=text(given, "approve", place))
    if isinstance(given, Section) and given.keys() == {"also"}:
        return Approve(chain=text(given, "also", place), allows=False)
    what = "then is none of allow, deny, {approve: CHAIN}, {also: CHAIN}"
    raise place.refusal(what, "say one of the four")


def _agent(item: Any, place: Place) -> Agent:
    told = section(item, place)
    only(told, place, "tools", "owner")
    return Agent(tools=texts(told, "tools", place), owner=text(told, "owner", place, default=""))


def _tool(item: Any, place: Place) -> ToolRules:
    told = section(item, place)
    only(told, place, "args", "optional", "open", "amount", "currency")
    args = mapping(told, "args", place) if "args" in told else None
    for name, kind in (args or {}).items():
        if not isinstance(kind, str):
            raise place.refusal(f"the type of {name!r} is no text", "name a type, e.g. int or string")
    is_open = told.get("open", False)
    if not isinstance(is_open, bool):
        raise place.refusal("open is neither true nor false", "say one of the two")
    return ToolRules(
        args=args,
        optional=mapping(told, "optional", place),
        is_open=is_open,
        amount=text(told, "amount", place, default=""),
        currency=text(told, "currency", place, default=""),
    )


def _count(item: Any, place: Place) -> Count:
    told = section(item, place)
    only(told, place, "tool", "over", "sum", "by", "per")
    per = text(told, "per", place, default="everybody")
    if per not in {"everybody", "actor", "workflow"}:
        raise place.refusal("per is none of everybody, actor, workflow", "say one of the three")
    return Count(
        tool=text(told, "tool", place),
        over_s=length(told, "over", place),
        sum=text(told, "sum", place, default="").removeprefix("args."),
        by=tuple(name.removeprefix("args.") for name in (texts(told, "by", place) if "by" in told else ())),
        per="actor" if per == "actor" else "workflow" if per == "workflow" else "everybody",
    )


def _band(item: Any, place: Place) -> Band:
    told = section(item, place)
    only(told, place, "review_below", "reject_below", "approve")
    return Band(
        review_below=told.get("review_below"),
        reject_below=told.get("reject_below"),
        approve=text(told, "approve", place, default=""),
    )


def _samples(told: Mapping[str, Any], place: Place) -> Iterable[Sample]:
    given = told.get("sample", [])
    for item in given if is_list(given) else [given]:
        one = section(item, place)
        only(one, place, "rate", "tool", "of")
        if one.get("of", "allowed") != "allowed":
            raise place.refusal("of is not allowed", "only what was allowed is sampled: leave it out")
        yield Sample(rate=_rate(one.get("rate"), place), tool=text(one, "tool", place, default="*"))


def _rate(given: Any, place: Place) -> float:
    if isinstance(given, str) and given.endswith("%"):
        try:
            return float(given[:-1]) / 100
        except ValueError:
            given = None
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    raise place.refusal("rate is no share", "say it like 5% or 0.05")
