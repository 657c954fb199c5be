"""Equal intentions get equal keys, everywhere and forever; what has no JSON form is refused by its place."""

import json
import math
import os
import re
import runpy
import shutil
import struct
import subprocess
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import make_dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from itertools import count, product
from pathlib import Path
from typing import Any, TypedDict
from uuid import UUID

import pytest
import rfc8785
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import RootModel, SecretStr, create_model

from holdfast._core.canonical import _NEWER
from holdfast._core.identity import Identity, canonical, differing_paths, identify, read_args, read_result
from holdfast.errors import InvalidCall, NotSerializable

HERE = Path(__file__).parent
SOURCE = str(HERE.parents[1] / "src")
PAGE = (HERE.parents[1] / "docs" / "reference" / "identity.md").read_text(encoding="utf-8")
DATA = json.loads((HERE / "identity_v1.json").read_text(encoding="utf-8"))
GOLDEN = {case["case"]: case for case in DATA["calls"]}
SCOPE = {"tenant": "acme", "workflow_id": "order-123", "tool": "stripe.charge"}
MIB = 1 << 20
compute = runpy.run_path(str(HERE / "make_golden.py"), run_name="golden")["compute"]


def identity_of(args: Any, **named: Any) -> Identity:
    return identify(**{**SCOPE, "payload": read_args(args, max_bytes=MIB), **named})


def key_of(args: Any, **named: Any) -> str:
    return identity_of(args, **named).key


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_file_stays_true(name: str) -> None:
    """IDE-06, IDE-28: a key of any release is the key of every release, in one fixed format."""
    case = GOLDEN[name]

    made = compute(case["call"])

    assert made.canonical == case["canonical"]
    assert (made.key, made.fingerprint) == (case["key"], case["fingerprint"])
    assert re.fullmatch(r"v1:[0-9a-f]{64} [0-9a-f]{64}", f"{made.key} {made.fingerprint}")


def test_only_equal_intentions_share_a_key() -> None:
    """IDE-07, IDE-08, IDE-11, IDE-12 and X11: these calls of the golden file are equal, and no others."""
    by_key: dict[str, set[str]] = {}
    for name, case in GOLDEN.items():
        by_key.setdefault(case["key"], set()).add(name)

    shared = [names for names in by_key.values() if len(names) > 1]

    assert len(GOLDEN) >= 80
    assert sorted(map(sorted, shared)) == DATA["equal"]


def test_every_process_and_interpreter_makes_the_same_keys() -> None:
    """IDE-06: neither the hash seed nor the Python version is part of a key."""
    known = {sys.executable, *filter(None, map(shutil.which, ("python3.11", "python3.12", "python3.13")))}
    usable = [one for one in known if subprocess.call([one, "-c", "import tomllib"], stderr=-3) == 0]

    for interpreter, seed in product(usable, "12"):
        environment = {**os.environ, "PYTHONPATH": SOURCE, "PYTHONHASHSEED": seed}
        command = [interpreter, str(HERE / "make_golden.py")]
        made = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
        assert json.loads(made) == {name: [case["key"], case["fingerprint"]] for name, case in GOLDEN.items()}


def test_the_documented_program_makes_every_golden_key() -> None:
    """IDE-06: the published page is enough to write a second implementation."""
    documented: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], documented)

    for name, case in GOLDEN.items():
        made = documented["identify"](**{**SCOPE, **case["call"], "args": compute(case["call"]).plain})
        assert made == (case["key"], case["fingerprint"]), name
    assert documented["NEWER"].pattern == _NEWER.pattern


def test_the_documented_example_is_what_the_library_does() -> None:
    """IDE-06."""
    args = json.loads(re.findall(r"```json\n(.*?)\n```", PAGE)[0])
    _, compared, hashed, names = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)

    made = identity_of(args)

    assert canonical(args) == compared
    assert names.split() == [made.fingerprint, made.key]
    assert names.split() == [
        sha256(compared.encode()).hexdigest(),
        f"v1:{sha256(hashed.encode()).hexdigest()}",
    ]


@pytest.mark.parametrize(("bits", "text"), DATA["doubles of RFC 8785"].items())
def test_doubles_print_as_the_rfc_lists_them(bits: str, text: str) -> None:
    """IDE-07."""
    assert canonical(struct.unpack(">d", bytes.fromhex(bits))[0]) == text


def test_this_interpreter_knows_no_characters_that_would_change_keys() -> None:
    """IDE-06: fails on a Python whose Unicode moves characters that are not in the list of newer ones."""
    digest = sha256()
    for one in map(chr, range(sys.maxunicode + 1)):
        parts = unicodedata.decomposition(one)
        fact = (unicodedata.combining(one), "" if parts.startswith("<") else parts)
        if any(fact) and not _NEWER.fullmatch(one) and not "가" <= one <= "힣":
            digest.update(f"{ord(one):x} {fact}".encode())

    assert digest.hexdigest() == "d691400f830a94ff982af5507140ad9051cdd7f673f0841651215e80571900a5"


texts = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: not _NEWER.search(text))
texts |= st.sampled_from(
    ["e\u0301", "é", "\u212b", "K", "\u212a", "a\u0323\u0301", "\0", "\ue000", "\U0001f600"]
)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
plains = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=12)
calls = st.dictionaries(texts, plains, max_size=5)
offsets = st.none() | st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
special = st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.tuples(plains, plains)
special |= st.datetimes(timezones=offsets) | st.dates() | st.times() | st.uuids() | st.binary()


def normal(value: Any, form: Any) -> Any:
    if isinstance(value, dict):
        members = {normal(name, form): normal(item, form) for name, item in value.items()}
        assume(len(members) == len(value))
        return members
    if isinstance(value, list):
        return [normal(item, form) for item in value]
    return unicodedata.normalize(form, value) if isinstance(value, str) else value


@given(plains)
def test_in_its_domain_canonical_text_is_that_of_the_rfc(value: Any) -> None:
    """IDE-07: byte for byte what an independent implementation writes, and JSON of the same value."""
    composed = normal(value, "NFC")

    assert canonical(value).encode() == rfc8785.dumps(composed)
    assert json.loads(canonical(value), parse_int=float) == composed


@given(calls, st.randoms())
def test_neither_order_nor_spelling_changes_the_key(args: dict[str, Any], random: Any) -> None:
    """IDE-07."""
    composed, decomposed = normal(args, "NFC"), normal(args, "NFD")
    shuffled = dict(random.sample(list(args.items()), len(args)))

    assert key_of(args) == key_of(shuffled) == key_of(composed) == key_of(decomposed)


@given(calls, st.dictionaries(texts, special, max_size=5))
def test_what_is_stored_has_the_key_of_what_was_passed(args: dict[str, Any], more: dict[str, Any]) -> None:
    """IDE-06, IDE-07: a ledger's own record identifies the call that it records."""
    try:
        payload = read_args(args | more, max_bytes=MIB)
    except NotSerializable:
        assume(False)  # two spellings of one name, a moment before the calendar, too many digits

    assert payload.plain == json.loads(payload.text)
    assert key_of(payload.plain) == key_of(args | more)
    assert payload.args == args | more


def test_no_part_reaches_into_its_neighbour() -> None:
    """IDE-28, X11: delimiters, quotes and statements in a part are text like any other."""
    parts = ["a", "b", "a|b", "b|c", 'a","b', '"],["', "a\\", "a,b", "{}", "'; DROP TABLE effects; --", "é"]

    keys = {key_of({}, tenant=a, workflow_id=b, tool=c, key=d) for a, b, c, d in product(parts, repeat=4)}

    assert len(keys) == len(parts) ** 4


def test_an_argument_cannot_pose_as_an_explicit_key() -> None:
    """IDE-08, IDE-28."""
    posing = [{"key": "k"}, {"args": {}}, {"occurrence": 1}, {"args": {}, "occurrence": 1}]
    honest = [key_of({}, key="k"), key_of({}), key_of({}, occurrence=1), key_of({}, key='{"args":{}}')]

    assert len({*map(key_of, posing), *honest}) == len(posing) + len(honest)


def test_tenants_never_share_a_key() -> None:
    """IDE-11: equal calls and equal explicit keys of two tenants are two effects of one payload."""
    ours, theirs = (identity_of({"a": 1}, tenant=name, key="k") for name in ("acme", "globex"))
    assert (ours.key == theirs.key, ours.fingerprint == theirs.fingerprint) == (False, True)


def test_chosen_arguments_make_the_key_and_compared_ones_the_fingerprint() -> None:
    """IDE-12."""
    issue = {"owner": "octo", "titre\u0301": "Bug", "te\u0301xt": "It broke"}
    edited = {**issue, "te\u0301xt": "It broke again"}
    chosen = {"key_args": ["owner", "titr\u00e9"]}  # one name, typed in two ways

    first, second = identity_of(issue, **chosen), identity_of(edited, **chosen)
    third, fourth = (identity_of(args, **chosen, ignore=["t\u00e9xt"]) for args in (issue, edited))

    assert first.key == second.key == third.key == fourth.key
    assert first.fingerprint != second.fingerprint
    assert third == fourth


def test_a_missing_key_argument_names_the_tool_the_argument_and_the_fix() -> None:
    """IDE-12."""
    with pytest.raises(InvalidCall, match=r"tool 'stripe\.charge' is called without 'order_id'.*; pass it"):
        key_of({"amount": 1}, key_args=["amount", "order_id"])


NAMES = ["", "x" * 513, "\0", "a\r\nSet-Cookie: b", "a\x85", "a\ud800", None, b"a", 7]
UNFIT: dict[str, list[Any]] = {"tenant": NAMES, "workflow_id": NAMES, "tool": NAMES}
UNFIT |= {"key": ["", "k" * 1025, "\ud800", b"k", 7], "occurrence": [-1, True, 1.0, "1", None, 2**53]}


@pytest.mark.parametrize("part", UNFIT)
def test_a_part_that_cannot_be_used_is_refused(part: str) -> None:
    """IDE-08, IDE-28: too long, empty, unprintable or of another type."""
    for value in UNFIT[part]:
        with pytest.raises(InvalidCall, match=rf"^{part} (has|is) .*; (pass .* 1 to (512|1024) |count)"):
            key_of({}, **{part: value})


def leak(*_: Any) -> Any:
    raise RuntimeError("hunter2")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def made(name: str, base: type = object, **members: Any) -> Any:
    return type(name, (base,), members)


Refund = TypedDict("Refund", {"amount": Decimal})  # noqa: UP013
Order = create_model("Order", id=UUID, total=Decimal, at=datetime)
Login = create_model("Login", password=SecretStr)
Line = make_dataclass("Line", ["sku", ("inner", Any, None)])
ORDER = Order(id=UUID(int=1), total=Decimal("9.90"), at=datetime(2026, 1, 1, tzinfo=UTC))
Raising = made("Raising", model_fields=(), model_dump=leak, __iter__=leak, __repr__=leak, __hash__=leak)
Endless = made("Endless", model_fields=(), model_dump=lambda self: self)
HostileMapping = made("HostileMapping", Mapping, __getitem__=leak, __iter__=leak, __len__=leak)
EndlessMapping = made("EndlessMapping", HostileMapping, items=lambda _: ((str(n), n) for n in count()))
HostileMeta = made("HostileMeta", type, __getattribute__=leak)
NamelessMeta = made("NamelessMeta", type, __name__=property(leak))
HostileZone = made("HostileZone", tzinfo, utcoffset=leak)
Nanoseconds = made("Nanoseconds", datetime, nanosecond=1)
Same = made("Same", str, __hash__=object.__hash__, __eq__=object.__eq__)


class Cyclic(Enum):
    SELF = "hunter2"
    value = property(lambda self: self)


cycle: dict[str, Any] = {"list": []}
cycle["list"].append(cycle)
exponential: list[Any] = ["hunter2"]
for _ in range(60):
    exponential = [exponential] * 10

NAN, DEEP = "is not a finite number", "is nested more than 100 levels deep"
TWICE, LONE = "has two keys that are the same text", "has a lone surrogate"
LONG, RAISES = "is more than 1048576 bytes", "cannot be read: error of type "
DIGITS = "is an integer of more than 4300 digits"

# fmt: off
REFUSED: dict[str, tuple[str, Any, str]] = {
    "NaN": ("$.a", math.nan, NAN),
    "infinity": ("$.a.b[1]", {"b": [0, -math.inf], "c": Decimal(1)}, NAN),
    "decimal NaN": ("$.a", Decimal("NaN"), NAN),
    "decimal infinity": ("$.a", Decimal("-Infinity"), NAN),
    "huge decimal": ("$.a", Decimal("1E+4300"), "is a decimal of more than 4300 digits"),
    "tiny decimal": ("$.a", Decimal("1E-4301"), "is a decimal of more than 4300 digits"),
    "huge integer": ("$.a", 10**4300, DIGITS),
    "set": ("$.a", {"hunter2"}, "is of type set"),
    "generator": ("$.a", (n for n in "hunter2"), "is of type generator"),
    "function": ("$.a", lambda: "hunter2", "is of type function"),
    "dataclass, not an instance": ("$.a", Line, "is of type type"),
    "any object": ("$.a", object(), "is of type object"),
    "secret": ("$.a", SecretStr("hunter2"), "is of type SecretStr"),
    "secret in a model": ("$.a.password", Login(password=SecretStr("hunter2")), "is of type SecretStr"),
    "type with a hostile name": ("$.a", type("x\n" * 30, (), {})(), r"is of type 'x\nx\n"),
    "set in dataclasses": ("$.a.inner.inner[0]", Line("s", Line("t", [{1}])), "is of type set"),
    "name of words": ("$.a['a b']['']", {"a b": {"": {1}}}, "is of type set"),
    "name of letters": ("$.a.größe", {"größe": {1}}, "is of type set"),
    "name of control characters": (r"$.a['x\r\n\x1b[31m\u202e']", {"x\r\n\x1b[31m\u202e": {1}}, "is of type set"),
    "longest name": ("$.a." + "k" * 40, {"k" * 40: {1}}, "is of type set"),
    "longer name": ("$.a['" + "k" * 39 + "…']", {"k" * 41: {1}}, "is of type set"),
    "integer as name": ("$.a", {1: "hunter2"}, "has a key of type int"),
    "nothing as name": ("$.a[0]", [{None: "hunter2"}], "has a key of type NoneType"),
    "one name, two spellings": ("$.a", {"é": 1, "e\u0301": 2}, TWICE),
    "one name, kelvin": ("$.a", {"K": 1, "\u212a": 2}, TWICE),
    "one name, strange strings": ("$.a", {Same("k"): 1, Same("k"): 2}, TWICE),
    "lone surrogate": ("$.a[0]", ["x\udfff"], LONE),
    "lone surrogate in a name": (r"$.a['\ud800']", {"\ud800": 1}, LONE),
    "pair of surrogates": ("$.a", "\ud83d\ude00", LONE),
    "raising model": ("$.a[0].x", [{"x": Raising()}], f"{RAISES}RuntimeError"),
    "raising mapping": ("$.a", HostileMapping(), f"{RAISES}RuntimeError"),
    "raising type": ("$.a", HostileMeta("HostileType", (), {})(), f"{RAISES}RuntimeError"),
    "raising name": ("$.a", NamelessMeta("Nameless", (), {})(), "is of type Nameless"),
    "raising time zone": ("$.a", datetime(2026, 1, 1, tzinfo=HostileZone()), f"{RAISES}RuntimeError"),
    "before the calendar": ("$.a", datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), f"{RAISES}OverflowError"),
    "nanoseconds": ("$.a", Nanoseconds(2026, 1, 1, tzinfo=UTC), "has nanoseconds"),
    "endless model": ("$.a", Endless(), DEEP),
    "endless enum": ("$.a", Cyclic.SELF, DEEP),
    "too deep": ("$.a" + "[0]" * 99, nested(100), DEEP),
    "cycle": ("$.a" + ".list[0]" * 49 + ".list", cycle, DEEP),
    "endless mapping": ("$", EndlessMapping(), LONG),
    "exponential": ("$", exponential, LONG),
    "ten megabytes": ("$", "x" * 10_000_000, LONG),
    "two bytes each": ("$", "é" * 600_000, LONG),
    "six bytes each": ("$", "\x00" * 200_000, LONG),
    "bytes": ("$", bytes(900_000), LONG),
    "many long integers": ("$", [10**4000] * 1000, LONG),
}
RESULTS: list[Any] = [
    None, True, False, 0, -0.0, 0.1, 1.0, 1e22, 5e-324, 2**53 + 1, 10**400, -(10**400), "", "e\u0301", "\x00", "\ud800",
    "x\udfffy", "\u2028", [], {}, [None, [None]], {"b": 1, "a": {"z": None}}, {"e\u0301": 1, "é": 2}, {"\udc00": "é"},
]
# fmt: on


def refusal_of(read: Any, value: Any) -> NotSerializable:
    with pytest.raises(NotSerializable) as refusal:
        read(value, max_bytes=MIB)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__suppress_context__ > bool(refusal.value.__cause__)
    return refusal.value


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_json_form_is_refused_by_its_place(case: str) -> None:
    """IDE-07, IDE-28, X11: typed, and never with the value; results as arguments, but for their spelling."""
    path, value, why = REFUSED[case]

    refusal = refusal_of(read_args, {"a": value})
    assert (refusal.path, refusal.why[: len(why)], refusal.key) == (path, why, None)

    if why not in {TWICE, LONE}:
        refusal = refusal_of(read_result, [value])
        assert (refusal.path, refusal.why[: len(why)]) == (path.replace("$.a", "$[0]"), why)


def test_only_a_mapping_with_text_for_names_is_accepted() -> None:
    """IDE-07."""
    for args in ({1: 2}, {None: 1}, HostileMapping(), EndlessMapping()):
        assert refusal_of(read_args, args).path == "$"
    for other in (None, [], "text", 7, Line("s"), HostileMeta("HostileType", (), {})):
        with pytest.raises(InvalidCall, match=r"^args is of type .*; pass a dict"):
            read_args(other, max_bytes=MIB)


def test_the_digit_limit_of_the_interpreter_lets_nothing_more_in() -> None:
    """IDE-07: lowered, it refuses what cannot be printed; raised, it changes no key."""
    before = sys.get_int_max_str_digits()
    try:
        sys.set_int_max_str_digits(640)
        assert refusal_of(read_args, {"a": 10**640}).why == "is an integer of more than 640 digits"
        sys.set_int_max_str_digits(0)
        assert refusal_of(read_args, {"a": 10**4300}).why == DIGITS
    finally:
        sys.set_int_max_str_digits(before)


def test_the_limit_is_that_of_the_stored_text_in_bytes() -> None:
    """IDE-07."""
    plain, special = {"a": "x", "b": ["y", {"c": ""}]}, {"é": "ü", "n": Decimal("1.5"), "d": {"x": b""}}
    for args in ({}, plain, special):
        size = len(read_args(args, max_bytes=MIB).text.encode())

        assert read_args(args, max_bytes=size)
        with pytest.raises(NotSerializable, match=f"more than {size - 1} bytes"):
            read_args(args, max_bytes=size - 1)


def test_what_is_far_too_long_is_not_read_to_its_end() -> None:
    """IDE-07: refusing ten megabytes, or a mountain of references, costs no more than accepting the limit."""
    read = count()
    zone = made("Zone", tzinfo, utcoffset=lambda *_: timedelta(next(read) * 0))

    assert refusal_of(read_args, {"a": [datetime(2026, 1, 1, tzinfo=zone())] * 500_000}).path == "$"
    assert next(read) < 250_000


def test_a_hundred_levels_are_accepted() -> None:
    """IDE-07: the arguments themselves are the first."""
    payload = read_args({"a": nested(99)}, max_bytes=MIB)

    assert payload.args == payload.plain == {"a": nested(99)}
    assert read_args({"a": Line("s", nested(97)), "b": Decimal(1)}, max_bytes=MIB).plain["b"] == "1"
    assert canonical([[payload.plain]]) == f"[[{payload.text}]]"


def test_the_handler_gets_its_own_containers_and_the_callers_objects() -> None:
    """IDE-07: spelling and types survive, and a change on one side reaches neither the other nor the record."""
    args: dict[str, Any] = {"z": ["e\u0301", (1, [2])], "n": Decimal("1.50"), "m": ORDER, "s": Same("x")}

    payload = read_args(args, max_bytes=MIB)

    assert payload.args == args
    assert all(payload.args[name] is args[name] for name in "nms")
    assert payload.args["z"] is not args["z"]
    assert payload.args["z"][1][1] is not args["z"][1][1]
    assert payload.text.startswith('{"z":["e\u0301",[1,[2]]],"n":"1.5","m":{"id":"0000')
    payload.args["z"].append("changed")
    assert payload.plain["z"] == ["e\u0301", [1, [2]]]


def test_every_kind_of_object_has_its_documented_form() -> None:
    """IDE-07: with the real pydantic; the golden file has the other types."""
    odd = {"model": ORDER, "root": RootModel[list[int]]([1, 2]), "default": defaultdict(list, a=[1])}

    assert read_args({**odd, "typed": Refund(amount=Decimal(100))}, max_bytes=MIB).plain == {
        "model": {"id": str(UUID(int=1)), "total": "9.9", "at": "2026-01-01T00:00:00Z"},
        "root": [1, 2],
        "default": {"a": [1]},
        "typed": {"amount": "100"},
    }


def test_canonical_text_is_refused_to_what_is_not_json() -> None:
    """IDE-07."""
    for value in (math.nan, "\ud800", {"é": 1, "e\u0301": 2}, {1: 2}, [b"x"], {""}, nested(200), cycle):
        with pytest.raises(NotSerializable):
            canonical(value)


@pytest.mark.parametrize("value", RESULTS, ids=lambda value: ascii(value)[:30])
def test_a_result_comes_back_exactly(value: Any) -> None:
    """IDE-04: type for type, spelling and order included, and as a copy."""
    result = read_result(value, max_bytes=MIB)

    assert repr(result.plain) == repr(json.loads(result.text.encode())) == repr(value)
    assert result.plain is not value or not isinstance(value, list | dict)


def test_a_result_takes_its_documented_form() -> None:
    """IDE-04: the first caller gets what every later one will get; no part is lost in silence."""
    made = read_result((Line("s", Decimal("1.50")), "\ud83d\ude00"), max_bytes=MIB)

    assert made.plain == [{"sku": "s", "inner": "1.5"}, "😀"]
    assert refusal_of(read_result, {"😀": 1, "\ud83d\ude00": 2}).why == TWICE
    assert refusal_of(read_result, {Same("k"): 1, Same("k"): 2}).why == TWICE


def test_differences_are_named_by_place() -> None:
    """IDE-10: as the key compares them, the same from both sides, and at most twenty."""
    many = {f"a{n:03}": n for n in range(500)}
    generated = [
        [many, {}, [f"$.a{n:03}" for n in range(20)]],
        [{"damaged": math.nan}, {"damaged": math.nan}, ["$.damaged"]],
        [nested(500), nested(500), ["$" + "[0]" * 117]],
    ]

    for recorded, offered, paths in DATA["differences"] + generated:
        assert differing_paths(recorded, offered) == differing_paths(offered, recorded) == tuple(paths)


def test_ignored_arguments_are_no_difference() -> None:
    """IDE-12: only arguments are ignored, not members of the same name further in."""
    recorded, offered = {"body": 1, "a": {"body": 1}, "café": 1}, {"body": 2, "a": {"body": 2}, "café": 2}

    assert differing_paths(recorded, offered, ignore=["body", "cafe\u0301"]) == ("$.a.body",)


@given(calls, calls)
def test_payloads_differ_where_their_fingerprints_do(one: dict[str, Any], other: dict[str, Any]) -> None:
    """IDE-10."""
    assume(normal([one, other], "NFC"))  # each name is spelled once

    same = identity_of(one).fingerprint == identity_of(other).fingerprint

    assert same == (not differing_paths(one, other))
